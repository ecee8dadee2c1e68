// kvd_load: a fixed number of calls in flight, their rate and latencies. See README.md.
#include <sys/epoll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "bench/load/h2_client.h"
#include "bench/load/histogram.h"
#include "bench/load/watch_load.h"
#include "bench/load/workload.h"

namespace kv::load {
namespace {

struct Options {
  std::string kind = "put";
  std::vector<std::string> endpoints = {"127.0.0.1:2379"};
  uint32_t connections = 8;
  uint32_t in_flight = 16;
  double seconds = 5;
  double warmup_s = 0.5;
  uint64_t errors_max = 0;
  double patience_s = 10;
  bool json = false;
  std::vector<int> server_pids;  // whose CPU time is measured too
  WorkloadOptions workload;
  uint32_t watchers = 1000;
};

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
int64_t ns(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

// User and system time that the processes have used; those that can't be read count as nothing.
double cpu_s(const std::vector<int>& pids) {
  double ticks = 0;
  for (const int pid : pids) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    std::string stat;
    std::getline(in, stat);
    // The name, in parentheses, may hold anything; utime and stime are fields 14 and 15 of the line.
    std::istringstream fields(stat.substr(std::min(stat.size(), stat.rfind(')') + 1)));
    std::string skipped;
    for (int i = 3; i < 14; ++i) fields >> skipped;
    double user = 0;
    double system = 0;
    fields >> user >> system;
    ticks += user + system;
  }
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// More failed calls than these, or silence: the run says nothing about speed and ends.
struct Failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options),
        workload_(options.workload, options.connections * options.in_flight),
        started_ns_(static_cast<size_t>(options.connections) * options.in_flight) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < options.connections; ++i) {
      clients_.push_back(
          std::make_unique<H2Client>(options.endpoints[i % options.endpoints.size()], options.in_flight));
      epoll_event event{.events = EPOLLIN, .data = {.u32 = i}};
      epoll_ctl(epoll_, EPOLL_CTL_ADD, clients_[i]->fd(), &event);
    }
    wants_write_.resize(clients_.size());
  }
  ~Load() { close(epoll_); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Puts what the workload reads, as fast as it goes.
  void preload() { run(INT64_MAX, true); }
  // Runs for so long, and ends when the last call has been answered.
  void run_for(double seconds) { run(now_ns() + ns(seconds), false); }

  void reset_figures() {
    histogram_ = std::make_unique<LatencyHistogram>();
    measured_from_ns_ = now_ns();
    cpu_from_s_ = cpu_s(options_.server_pids);
  }
  double server_cpu_s() const { return cpu_s(options_.server_pids) - cpu_from_s_; }
  const LatencyHistogram& histogram() const { return *histogram_; }
  double measured_s() const { return static_cast<double>(last_answer_ns_ - measured_from_ns_) / 1e9; }
  const std::map<std::string, uint64_t>& errors() const { return errors_; }

 private:
  // False when the caller has nothing more to ask.
  bool ask(uint32_t connection, uint32_t slot, int64_t now, bool loading) {
    const uint32_t caller = connection * options_.in_flight + slot;
    if (loading) {
      const auto request = workload_.next_to_load(caller);
      if (!request) return false;
      clients_[connection]->call(slot, *request->path, request->message);
    } else {
      const Workload::Request request = workload_.next(caller);
      clients_[connection]->call(slot, *request.path, request.message);
    }
    started_ns_[caller] = now;
    return true;
  }

  void run(int64_t until, bool loading) {
    uint64_t in_flight = 0;
    int64_t now = now_ns();
    for (uint32_t c = 0; c < clients_.size(); ++c) {
      for (uint32_t slot = 0; slot < options_.in_flight; ++slot) in_flight += ask(c, slot, now, loading) ? 1 : 0;
      flush(c);
    }
    last_answer_ns_ = now;
    std::vector<epoll_event> events(clients_.size());
    std::vector<uint32_t> free_slots;
    while (in_flight > 0) {
      const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 1000);
      if (ready == 0 && now_ns() - last_answer_ns_ > ns(options_.patience_s)) {
        throw Failed(std::to_string(in_flight) + " calls have had no answer for " +
                     std::to_string(static_cast<int>(options_.patience_s)) + " s");
      }
      for (int i = 0; i < ready; ++i) {
        const uint32_t c = events[static_cast<size_t>(i)].data.u32;
        free_slots.clear();
        if ((events[static_cast<size_t>(i)].events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) {
          now = now_ns();
          clients_[c]->read([&](const Outcome& outcome) {
            answered(c, outcome, now);
            free_slots.push_back(outcome.slot);
          });
        }
        if (!free_slots.empty()) {
          last_answer_ns_ = now;
          in_flight -= free_slots.size();
          now = now_ns();
          if (now < until) {
            for (const uint32_t slot : free_slots) in_flight += ask(c, slot, now, loading) ? 1 : 0;
          }
        }
        flush(c);
      }
    }
  }

  void answered(uint32_t connection, const Outcome& outcome, int64_t now) {
    const uint32_t caller = connection * options_.in_flight + outcome.slot;
    std::string error;
    if (outcome.grpc_status != 0) {
      error = "code " + std::to_string(outcome.grpc_status) + ": " + std::string(outcome.grpc_message);
    } else {
      error = workload_.check(caller, outcome.body);
    }
    if (error.empty()) {
      histogram_->record(now - started_ns_[caller]);
      return;
    }
    ++errors_[error];
    if (++error_count_ > options_.errors_max) throw Failed("too many errors");
  }

  void flush(uint32_t c) {
    const bool blocked = !clients_[c]->flush();
    if (blocked == wants_write_[c]) return;
    wants_write_[c] = blocked;
    epoll_event event{.events = EPOLLIN | (blocked ? static_cast<uint32_t>(EPOLLOUT) : 0U), .data = {.u32 = c}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, clients_[c]->fd(), &event);
  }

  const Options& options_;
  Workload workload_;
  std::vector<int64_t> started_ns_;  // by caller
  int epoll_ = -1;
  std::vector<std::unique_ptr<H2Client>> clients_;
  std::vector<bool> wants_write_;
  std::unique_ptr<LatencyHistogram> histogram_ = std::make_unique<LatencyHistogram>();
  int64_t measured_from_ns_ = 0;
  double cpu_from_s_ = 0;
  int64_t last_answer_ns_ = 0;
  std::map<std::string, uint64_t> errors_;
  uint64_t error_count_ = 0;
};

void report(const Options& options, const Load& load) {
  const LatencyHistogram& latency = load.histogram();
  const double rate = static_cast<double>(latency.count()) / load.measured_s();
  const auto us = [](double value_ns) { return value_ns / 1e3; };
  const auto quantile_us = [&](double q) { return us(static_cast<double>(latency.quantile_ns(q))); };
  if (options.json) {
    const nlohmann::json out = {{"kind", options.kind},
                                {"endpoints", options.endpoints},
                                {"connections", options.connections},
                                {"in_flight", options.in_flight},
                                {"keys", options.workload.keys},
                                {"value_bytes", options.workload.value_bytes},
                                {"seconds", load.measured_s()},
                                {"calls", latency.count()},
                                {"calls_per_s", rate},
                                {"server_cpu_s", load.server_cpu_s()},
                                {"latency_us",
                                 {{"mean", us(latency.mean_ns())},
                                  {"p50", quantile_us(0.5)},
                                  {"p90", quantile_us(0.9)},
                                  {"p99", quantile_us(0.99)},
                                  {"p99.9", quantile_us(0.999)},
                                  {"max", us(static_cast<double>(latency.max_ns()))}}},
                                {"errors", load.errors()}};
    std::printf("%s\n", out.dump().c_str());
    return;
  }
  std::printf("%s, %u x %u in flight: %.0f calls/s (%llu in %.2f s)\n", options.kind.c_str(), options.connections,
              options.in_flight, rate, static_cast<unsigned long long>(latency.count()), load.measured_s());
  std::printf("latency in us: mean %.0f, p50 %.0f, p90 %.0f, p99 %.0f, p99.9 %.0f, max %.0f\n", us(latency.mean_ns()),
              quantile_us(0.5), quantile_us(0.9), quantile_us(0.99), quantile_us(0.999),
              us(static_cast<double>(latency.max_ns())));
}

// Watchers, and a writer whose puts in flight end when all their events have come.
int run_watch(const Options& options, bool distinct) {
  WatchLoadOptions watch;
  watch.endpoints = options.endpoints;
  watch.connections = options.connections;
  watch.watchers = options.watchers;
  watch.distinct = distinct;
  watch.in_flight = options.in_flight;
  watch.value_bytes = options.workload.value_bytes;
  watch.seconds = options.seconds;
  watch.warmup_s = options.warmup_s;
  watch.patience_s = options.patience_s;
  double cpu_from_s = 0;
  const WatchLoadResult result = run_watch_load(watch, [&] { cpu_from_s = cpu_s(options.server_pids); });
  const double server_cpu_s = cpu_s(options.server_pids) - cpu_from_s;
  const LatencyHistogram& latency = result.latency;
  const auto quantile_us = [&](double q) { return static_cast<double>(latency.quantile_ns(q)) / 1e3; };
  const double rate = static_cast<double>(latency.count()) / result.seconds;
  if (options.json) {
    const nlohmann::json out = {{"kind", options.kind},
                                {"endpoints", options.endpoints},
                                {"connections", options.connections},
                                {"in_flight", options.in_flight},
                                {"watchers", options.watchers},
                                {"value_bytes", options.workload.value_bytes},
                                {"seconds", result.seconds},
                                {"puts", result.puts},
                                {"calls", latency.count()},
                                {"calls_per_s", rate},
                                {"server_cpu_s", server_cpu_s},
                                {"latency_us",
                                 {{"mean", latency.mean_ns() / 1e3},
                                  {"p50", quantile_us(0.5)},
                                  {"p90", quantile_us(0.9)},
                                  {"p99", quantile_us(0.99)},
                                  {"p99.9", quantile_us(0.999)},
                                  {"max", static_cast<double>(latency.max_ns()) / 1e3}}}};
    std::printf("%s\n", out.dump().c_str());
    return 0;
  }
  std::printf("%s, %u watchers on %u streams, %u puts in flight: %.0f events/s, %.0f puts/s\n", options.kind.c_str(),
              options.watchers, options.connections, options.in_flight, rate,
              static_cast<double>(result.puts) / result.seconds);
  std::printf("from put to event in us: mean %.0f, p50 %.0f, p90 %.0f, p99 %.0f, max %.0f\n", latency.mean_ns() / 1e3,
              quantile_us(0.5), quantile_us(0.9), quantile_us(0.99), static_cast<double>(latency.max_ns()) / 1e3);
  return 0;
}

int run(Options options) {
  if (options.kind == "watch-prefix" || options.kind == "watch-keys") {
    try {
      return run_watch(options, options.kind == "watch-keys");
    } catch (const std::exception& failure) {
      std::fprintf(stderr, "kvd_load: %s\n", failure.what());
      return 1;
    }
  }
  const auto kind = kind_of(options.kind);
  if (!kind) {
    std::fprintf(stderr, "kvd_load: no kind of load is called %s\n", options.kind.c_str());
    return 1;
  }
  options.workload.kind = *kind;
  try {
    Load load(options);
    const auto print_errors = [&load] {
      for (const auto& [text, count] : load.errors()) {
        std::fprintf(stderr, "kvd_load: %llu x %s\n", static_cast<unsigned long long>(count), text.c_str());
      }
    };
    try {
      load.preload();
      if (options.warmup_s > 0) load.run_for(options.warmup_s);
      load.reset_figures();
      load.run_for(options.seconds);
    } catch (const Failed&) {
      print_errors();
      throw;
    }
    print_errors();
    if (load.histogram().count() == 0) throw Failed("no call was answered");
    report(options, load);
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "kvd_load: %s\n", failure.what());
    return 1;
  }
}

}  // namespace
}  // namespace kv::load

int main(int argc, char** argv) {
  kv::load::Options options;
  CLI::App app{"Load on kvd or etcd: a fixed number of calls in flight, their rate and latencies"};
  app.add_option("kind", options.kind,
                 "put, get (linearizable), sget (serializable), txn (compare and put), mixed, null,\nwatch-prefix (all "
                 "watchers on one prefix), "
                 "watch-keys (each on a key of its own)")
      ->required();
  app.add_option("--endpoints", options.endpoints, "connections go to each in turn")->delimiter(',');
  app.add_option("--connections", options.connections)->check(CLI::Range(1, 4096));
  app.add_option("--in-flight", options.in_flight, "calls at a time on each connection")->check(CLI::Range(1, 65536));
  app.add_option("--seconds", options.seconds, "how long to measure")->check(CLI::Range(0.1, 3600.0));
  app.add_option("--warmup", options.warmup_s, "seconds of the same load before")->check(CLI::Range(0.0, 600.0));
  app.add_option("--keys", options.workload.keys, "how many different keys")->check(CLI::Range(1, 1000000000));
  app.add_flag("--sequential", options.workload.sequential, "each key in turn instead of random ones");
  app.add_option("--watchers", options.watchers, "for watch-*: how many, on one stream per connection")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--key-bytes", options.workload.key_bytes)->check(CLI::Range(12, 126));
  app.add_option("--value-bytes", options.workload.value_bytes)->check(CLI::Range(0, 60000));
  app.add_option("--seed", options.workload.seed);
  app.add_option("--errors-max", options.errors_max,
                 "failed calls that are borne; one more ends the run with exit code 1");
  app.add_option("--patience", options.patience_s, "seconds without an answer after which the run has failed");
  app.add_option("--server-pids", options.server_pids, "processes whose CPU time is measured too")->delimiter(',');
  app.add_flag("--json", options.json, "one JSON object instead of text");
  CLI11_PARSE(app, argc, argv);
  return kv::load::run(std::move(options));
}
