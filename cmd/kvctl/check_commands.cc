// What a cluster can take: `check perf` and `check datascale`, with etcdctl's loads and verdicts.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <ostream>
#include <random>
#include <utility>

#include "kvctl/check_report.h"
#include "kvctl/client_options.h"
#include "kvctl/commands.h"
#include "kvctl/go_format.h"
#include "kvctl/load.h"
#include "kvctl/metrics_reader.h"
#include "kvctl/signals.h"

namespace kv::kvctl {
namespace {

using Arguments = std::vector<std::string>;

constexpr int64_t kPerfSeconds = 60;
// One connection serves many threads; etcdctl opens one each.
constexpr int kMaxConnections = 16;

// etcdctl's workloads.
struct Workload {
  const char* short_name;
  const char* name;
  int64_t perf_puts_per_s;
  int64_t datascale_puts;
  int threads;
};
constexpr Workload kWorkloads[] = {{"s", "small", 150, 10'000, 50},
                                   {"m", "medium", 1'000, 100'000, 200},
                                   {"l", "large", 8'000, 1'000'000, 500},
                                   {"xl", "xLarge", 15'000, 3'000'000, 1'000}};

struct CheckFlags {
  std::string load = "s";
  std::string prefix;
  bool auto_compact = false;
  bool auto_defragment = false;
};

std::variant<Workload, Exit> workload_of(const std::string& load) {
  for (const Workload& w : kWorkloads)
    if (load == w.short_name || load == w.name) return w;
  return bad_feature("unknown load option " + load, "--load takes s, m, l or xl.");
}

std::variant<std::vector<std::unique_ptr<Client>>, Exit> connect(const Context& context, int threads) {
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < std::min(threads, kMaxConnections); ++i) {
    auto client = context.client();
    if (auto* exit = std::get_if<Exit>(&client)) return std::move(*exit);
    clients.push_back(std::get<0>(std::move(client)));
  }
  return clients;
}

// The load writes and deletes everything under its prefix: nobody's keys may be there.
std::optional<Exit> refuse_used_prefix(Client& client, const Context& context, const std::string& prefix,
                                       const std::string& advice) {
  const auto found = client.get(prefix, {.range_end = client::prefix_end(prefix), .limit = 1}, context.call_options());
  if (!found.ok()) return failed(found.status());
  if (found->kvs.empty()) return std::nullopt;
  return Exit{kExitInvalidInput, "prefix " + go_quote(prefix) + " has keys. Delete with " + advice + " first"};
}

void clean_up(Client& client, const Context& context, const CheckFlags& flags) {
  const auto removed = client.remove(flags.prefix, {.range_end = client::prefix_end(flags.prefix)},
                                     {.timeout = std::chrono::seconds(30)});
  if (!removed.ok()) {
    context.out << "FAIL: Cleanup failed during key deletion: ERROR(" << error_text(removed.status()) << ")\n";
    return;
  }
  if (flags.auto_compact) {
    context.out << "Compacting with revision " << removed->header.revision << '\n';
    const auto compacted =
        client.compact(removed->header.revision, {.physical = true}, {.timeout = std::chrono::seconds(30)});
    if (!compacted.ok()) {
      context.out << "FAIL: Compaction failed: ERROR(" << error_text(compacted.status()) << ")\n";
      return;
    }
    context.out << "Compacted with revision " << removed->header.revision << '\n';
  }
  if (!flags.auto_defragment) return;
  for (const std::string& endpoint : context.globals.endpoints) {
    context.out << "Defragmenting " << go_quote(endpoint) << '\n' << std::flush;
    const Status defragmented = client.defragment(endpoint, {.timeout = std::chrono::seconds(30)});
    if (!defragmented.ok()) {
      context.out << "FAIL: Defragmentation failed: ERROR(" << error_text(defragmented) << ")\n";
      return;
    }
    context.out << "Defragmented " << go_quote(endpoint) << '\n';
  }
}

// encoding/binary's PutVarint of a number that is not negative, and zeros: how etcdctl makes its keys.
std::string random_key(std::mt19937_64& random, size_t bytes) {
  uint64_t number = (random() >> 1) << 1;
  std::string key;
  for (; number >= 0x80; number >>= 7) key += static_cast<char>(number | 0x80);
  key += static_cast<char>(number);
  key.resize(bytes, '\0');
  return key;
}

// Puts to random keys under the prefix; the threads share the clients.
struct Puts {
  std::string prefix;
  size_t key_bytes;  // of random key behind the prefix, zeros after its first ten bytes
  size_t value_bytes;
  std::chrono::milliseconds timeout;
};
LoadReport run_puts(const LoadPlan& plan, const Puts& puts, const std::vector<std::unique_ptr<Client>>& clients,
                    const Signals& signals, const std::function<void(double)>& progress) {
  std::vector<std::mt19937_64> random;
  std::random_device seed;
  for (int i = 0; i < plan.threads; ++i) random.emplace_back(seed());
  const std::string value(puts.value_bytes, '\0');
  const auto put = [&](int thread, int64_t) {
    const auto number = static_cast<size_t>(thread);
    return clients[number % clients.size()]
        ->put(puts.prefix + random_key(random[number], puts.key_bytes), value, {}, {.timeout = puts.timeout})
        .status();
  };
  LoadReport report = run_load(plan, put, signals.token(), [&](int64_t, double part) { progress(part); });
  progress(1);
  return report;
}

// On a terminal, how much is done.
std::function<void(double)> progress_on(std::ostream& err) {
  if (isatty(STDERR_FILENO) == 0) return [](double) {};
  return [&err](double done) {
    const int filled = static_cast<int>(done * 50);
    err << "\r [" << std::string(static_cast<size_t>(filled), '=') << std::string(static_cast<size_t>(50 - filled), ' ')
        << "] " << static_cast<int>(done * 100) << '%' << (done >= 1 ? "\n" : "") << std::flush;
  };
}

// ---- perf ----

Exit run_perf(const Context& context, const CheckFlags& flags, const Arguments&) {
  const auto workload = workload_of(flags.load);
  if (const auto* exit = std::get_if<Exit>(&workload)) return *exit;
  const Workload& w = std::get<Workload>(workload);
  const Signals signals;
  auto connected = connect(context, w.threads);
  if (auto* exit = std::get_if<Exit>(&connected)) return std::move(*exit);
  const auto& clients = std::get<0>(connected);
  if (auto exit = refuse_used_prefix(*clients[0], context, flags.prefix, "'kvctl del --prefix " + flags.prefix + "'"))
    return *exit;
  const LoadPlan plan{
      .threads = w.threads, .calls_per_s = w.perf_puts_per_s, .duration = std::chrono::seconds(kPerfSeconds)};
  const LoadReport report =
      run_puts(plan, {flags.prefix, 256, 1024, std::chrono::seconds(10)}, clients, signals, progress_on(context.err));
  clean_up(*clients[0], context, flags);
  if (signals.received()) return {kExitError, "interrupted"};

  return judge_perf(report, w.perf_puts_per_s, context.out) ? Exit{} : Exit{kExitError};
}

// ---- datascale ----

// 0 when it can't be had.
double resident_bytes(const Context& context) {
  const std::string& endpoint = context.globals.endpoints.front();
  const auto options = client_options(context, {endpoint});
  if (std::holds_alternative<Exit>(options)) return 0;
  const auto metrics = read_metrics(endpoint, std::get<ClientOptions>(options).tls, std::chrono::seconds(5));
  if (!metrics.ok()) return 0;
  const auto found = metrics->find("process_resident_memory_bytes");
  return found == metrics->end() ? 0 : found->second;
}

Exit run_datascale(const Context& context, const CheckFlags& flags, const Arguments&) {
  const auto workload = workload_of(flags.load);
  if (const auto* exit = std::get_if<Exit>(&workload)) return *exit;
  const Workload& w = std::get<Workload>(workload);
  const Signals signals;
  auto connected = connect(context, w.threads);
  if (auto* exit = std::get_if<Exit>(&connected)) return std::move(*exit);
  const auto& clients = std::get<0>(connected);
  if (auto exit = refuse_used_prefix(*clients[0], context, flags.prefix, "kvctl del --prefix " + flags.prefix))
    return *exit;
  std::ostream& out = context.out;
  const double before = resident_bytes(context);
  if (before == 0) {
    out << "FAIL: Could not read process_resident_memory_bytes before the put operations.\n";
    return {kExitError};
  }
  out << "Start data scale check for work load [" << w.datascale_puts << " key-value pairs, 1024 bytes per key-value, "
      << w.threads << " concurrent clients].\n"
      << std::flush;
  const LoadPlan plan{.threads = w.threads, .calls = w.datascale_puts};
  const LoadReport report =
      run_puts(plan, {flags.prefix, 512, 512, std::chrono::seconds(30)}, clients, signals, progress_on(context.err));
  const double after = resident_bytes(context);
  clean_up(*clients[0], context, flags);
  if (signals.received()) return {kExitError, "interrupted"};
  return judge_datascale(report, before, after, out) ? Exit{} : Exit{kExitError};
}

void add(Command& check, Context& context, std::string name, std::string summary, std::string prefix,
         std::string examples, Exit (*run)(const Context&, const CheckFlags&, const Arguments&)) {
  auto flags = std::make_shared<CheckFlags>();
  flags->prefix = std::move(prefix);
  auto command = std::make_unique<Command>();
  command->name = std::move(name);
  command->arguments = "[options]";
  command->summary = std::move(summary);
  command->examples = std::move(examples);
  command->flags.add("load", flags->load, "how large: s(small), m(medium), l(large), xl(xLarge)");
  command->flags.add("prefix", flags->prefix, "where the keys are written, and deleted again");
  command->flags.add("auto-compact", flags->auto_compact, "forget the history of the keys at the end");
  command->flags.add("auto-defrag", flags->auto_defragment, "give the disk space of the keys back at the end");
  command->run = [&context, flags, run](const Arguments& arguments) { return run(context, *flags, arguments); };
  check.children.push_back(std::move(command));
}

}  // namespace

void add_check_commands(Command& root, Context& context) {
  auto check = std::make_unique<Command>();
  check->name = "check";
  check->arguments = "<command>";
  check->summary = "Tries what a cluster can take";
  check->description =
      "Tries what a cluster can take, and judges it. It writes keys under a prefix that nobody may use, and deletes\n"
      "them at the end; their history stays unless --auto-compact is given. The cluster is under load meanwhile.";
  check->examples =
      "  kvctl check perf --load s\n"
      "  kvctl check datascale --load s --auto-compact";
  check->group = kToolsGroup;
  add(*check, context, "perf", "Writes for a minute at a steady rate, and judges rate and delays",
      "/etcdctl-check-perf/", "  kvctl check perf\n  kvctl check perf --load m --auto-compact", run_perf);
  add(*check, context, "datascale",
      "Writes many keys, and says how much memory the first endpoint's server took for them",
      "/etcdctl-check-datascale/", "  kvctl check datascale --load s --auto-compact", run_datascale);
  root.children.push_back(std::move(check));
}

}  // namespace kv::kvctl
