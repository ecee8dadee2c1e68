// Random requests to two servers, answers compared. See README.md.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <cstdlib>
#include <map>

#include "conformance/differential/differences.h"
#include "conformance/differential/json_exchange.h"
#include "conformance/differential/pair.h"

namespace kv::differential {
namespace {

struct Options {
  PairOptions pair;
  uint64_t seed = 1;
  uint64_t seeds = 1;
  uint64_t long_seeds = 0;
  size_t steps = 500;
  int shrink_tries = 40;
  bool plant = false;
  bool differences = false;
};

// Makes the third listing with more than one key claim a key less: small enough to be overlooked.
std::function<void(const Request&, Answer&)> planted_lie() {
  return [left = 3](const Request& request, Answer& answer) mutable {
    const std::string name = answer.response.starts_with('{') ? "\"count\": \"" : "count: ";
    const size_t at = answer.response.rfind(name);
    if (!std::holds_alternative<etcdserverpb::RangeRequest>(request) || at == std::string::npos) return;
    char& digit = answer.response[at + name.size()];
    if (digit > '1' && --left == 0) --digit;
  };
}

void print(const Mismatch& m) {
  std::printf("step %zu: %s\n---- a\n%s\n---- b\n%s\n", m.step, describe(m.request).c_str(), m.a.to_string().c_str(),
              m.b.to_string().c_str());
}

// True when both answered the same all along.
bool run_seed(const Options& options, uint64_t seed) {
  std::vector<Request> asked;
  std::map<std::string, int> answers;
  std::map<std::string, int> excused;
  std::optional<Mismatch> found;
  {
    Pair pair(options.pair);
    if (options.plant) pair.plant = planted_lie();
    Generator generator(seed, {.one_member = options.pair.members == 1});
    for (size_t step = 0; step < options.steps && !found; ++step) {
      asked.push_back(generator.next(pair.known));
      found = pair.ask_both(step, asked.back());
      ++answers[pair.last().code == grpc::StatusCode::OK ? "OK" : pair.last().message];
    }
    excused = pair.excused;
  }
  if (!found) {
    std::printf("seed %llu: %zu requests, all answers equal:\n", static_cast<unsigned long long>(seed), asked.size());
    for (const auto& [text, count] : answers) std::printf("  %5d  %s\n", count, text.c_str());
    for (const auto& [reason, count] : excused) std::printf("  excused %d times: %s\n", count, reason.c_str());
    return true;
  }
  std::printf("seed %llu: MISMATCH\n", static_cast<unsigned long long>(seed));
  print(*found);
  if (options.shrink_tries > 0 && !options.plant) {
    const auto replay = [&](const std::vector<Request>& requests) { return Pair(options.pair).play(requests); };
    const std::vector<Request> few = shrink(asked, replay, options.shrink_tries);
    std::printf("---- shrunk to %zu of %zu requests:\n", few.size(), asked.size());
    for (const Request& request : few) std::printf("%s\n", describe(request).c_str());
    if (const auto again = replay(few)) print(*again);
  }
  return false;
}

// Asks for each known difference: kvd must answer as the table says, and etcd must still answer otherwise, or the
// entry is an excuse for nothing.
bool run_differences(const Options& options) {
  Pair pair(options.pair);
  bool good = true;
  for (const Difference& difference : known_differences()) {
    Answer b = ask(pair.b().client(0), difference.request);
    if (difference.expected.code != grpc::StatusCode::OK) b.revision = 0;
    const bool as_told = b == difference.expected;
    const bool still_differs = !difference.safe_for_a || ask(pair.a().client(0), difference.request) != b;
    std::printf("%s: %s (%s)\n", difference.name.c_str(),
                !as_told        ? "NOT as the table says"
                : still_differs ? "as the table says"
                                : "etcd answers the same: the entry must go",
                difference.reason.c_str());
    if (!as_told)
      std::printf("---- expected\n%s\n---- b\n%s\n", difference.expected.to_string().c_str(), b.to_string().c_str());
    good = good && as_told && still_differs;
  }
  return good;
}

bool run_gateway_differences(const Options& options) {
  Pair pair(options.pair);
  bool good = true;
  for (const GatewayDifference& d : known_gateway_differences()) {
    const std::string a = ask_http(pair.a().endpoint(0), d.method, d.path, d.body);
    const std::string b = ask_http(pair.b().endpoint(0), d.method, d.path, d.body);
    const bool as_told = a == d.a && b == d.b;
    std::printf("%s: %s (%s)\n", d.name.c_str(), as_told ? "as the table says" : "NOT as the table says",
                d.reason.c_str());
    if (!as_told) std::printf("---- a: %s\n---- b: %s\n", a.c_str(), b.c_str());
    good = good && as_told;
  }
  return good;
}

}  // namespace
}  // namespace kv::differential

int main(int argc, char** argv) {
  kv::differential::Options options;
  CLI::App app{"Random requests to two servers, answers compared"};
  app.add_option("--a", options.pair.a, "the oracle's program (etcd)");
  app.add_option("--b", options.pair.b, "the program under test")->required();
  app.add_option("--members", options.pair.members, "members a side; requests go to each in turn");
  app.add_flag("--json", options.pair.json, "ask through the JSON gateways instead of gRPC");
  app.add_option("--seed", options.seed, "the first seed");
  app.add_option("--seeds", options.seeds, "how many seeds, ascending");
  app.add_option("--long-seeds", options.long_seeds, "how many instead, when KVD_TEST_LONG is set");
  app.add_option("--steps", options.steps, "requests per seed");
  app.add_option("--shrink", options.shrink_tries, "how often a failed sequence may be tried shortened; 0: not at all");
  app.add_flag("--plant", options.plant, "falsify an answer of b, to see that it is noticed");
  app.add_flag("--differences", options.differences, "check the table of known differences instead");
  CLI11_PARSE(app, argc, argv);
  if (options.long_seeds > 0 && std::getenv("KVD_TEST_LONG") != nullptr) options.seeds = options.long_seeds;
  setvbuf(stdout, nullptr, _IOLBF, 0);

  try {
    if (options.differences) {
      const bool good = options.pair.json ? kv::differential::run_gateway_differences(options)
                                          : kv::differential::run_differences(options);
      return good ? 0 : 1;
    }
    int bad = 0;
    for (uint64_t seed = options.seed; seed < options.seed + options.seeds; ++seed) {
      if (!kv::differential::run_seed(options, seed)) ++bad;
    }
    std::printf("%llu seeds, %d with a difference\n", static_cast<unsigned long long>(options.seeds), bad);
    return bad == 0 ? 0 : 1;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 2;
  }
}
