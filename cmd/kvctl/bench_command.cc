// bench: how fast a cluster is, measured with keys of its own.
#include <algorithm>
#include <atomic>
#include <charconv>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <random>
#include <thread>
#include <utility>

#include "kvctl/bench_report.h"
#include "kvctl/commands.h"
#include "kvctl/go_format.h"
#include "kvctl/progress.h"
#include "kvctl/signals.h"

namespace kv::kvctl {
namespace {

using Arguments = std::vector<std::string>;
using Clients = std::vector<std::unique_ptr<Client>>;
using Clock = std::chrono::steady_clock;

constexpr int64_t kMaxClients = 10'000;
constexpr int64_t kMaxConnections = 1'000;
constexpr int64_t kMaxWatches = 10'000;
constexpr int64_t kMaxKeyBytes = 4'096;
constexpr int64_t kMaxValueBytes = 64 << 20;  // more than any server takes
constexpr int64_t kMaxTxnOps = 10'000;
constexpr auto kWaitForEvents = std::chrono::seconds(30);
constexpr size_t kTimeDigits = 20;  // a watched value begins with the time of its put

struct BenchFlags {
  int64_t clients = 1;
  int64_t connections = 1;
  int64_t total = 10'000;
  int64_t rate = 0;
  int64_t key_bytes = 8;
  int64_t value_bytes = 8;
  int64_t keys = 10'000;
  bool sequential = false;
  std::string prefix = "/kvctl-bench/";
  // range
  std::string consistency = "l";
  int64_t span = 1;
  // txn
  int64_t puts = 1;
  int64_t gets = 0;
  // watch
  int64_t watches = 10;
  // lease-keepalive
  int64_t ttl = 600;
};

struct Bound {
  const char* flag;
  int64_t value, least, most;
};

std::optional<Exit> refuse(const Context& context, const BenchFlags& flags) {
  const Bound bounds[] = {{"clients", flags.clients, 1, kMaxClients},
                          {"connections", flags.connections, 1, kMaxConnections},
                          {"total", flags.total, 1, INT64_MAX - 1},
                          {"rate", flags.rate, 0, INT64_MAX},
                          {"key-size", flags.key_bytes, 1, kMaxKeyBytes},
                          {"val-size", flags.value_bytes, 0, kMaxValueBytes},
                          {"keys", flags.keys, 1, INT64_MAX},
                          {"span", flags.span, 1, flags.keys},
                          {"puts", flags.puts, 0, kMaxTxnOps},
                          {"gets", flags.gets, 0, kMaxTxnOps},
                          {"watches", flags.watches, 1, kMaxWatches},
                          {"ttl", flags.ttl, 1, 9'000'000'000}};
  for (const Bound& bound : bounds) {
    if (bound.value >= bound.least && bound.value <= bound.most) continue;
    return bad_args("--" + std::string(bound.flag) + " " + std::to_string(bound.value) + " is not possible",
                    "It takes " + std::to_string(bound.least) + " to " + std::to_string(bound.most) + ".");
  }
  if (std::to_string(flags.keys - 1).size() > static_cast<size_t>(flags.key_bytes)) {
    return bad_args(
        "--keys " + std::to_string(flags.keys) + " have no room in --key-size " + std::to_string(flags.key_bytes),
        "A key is its number in digits, filled up with zeros: give more --key-size or fewer --keys.");
  }
  if (flags.puts + flags.gets == 0) return bad_args("--puts 0 and --gets 0 leave a transaction empty");
  if (flags.consistency != "l" && flags.consistency != "s") {
    return bad_feature("unknown consistency flag " + go_quote(flags.consistency),
                       "--consistency takes l (through consensus) or s (what the member has).");
  }
  if (flags.prefix.empty()) return bad_args("--prefix must not be empty", "Leave it out: keys go under /kvctl-bench/.");
  const std::string& format = context.globals.write_out;
  if (format != "simple" && format != "json") {
    return bad_feature(format + " not supported as output format", "This is printed as simple or json.");
  }
  return std::nullopt;
}

// A run of `bench`: its clients, its keys under a prefix that nobody else has, and its progress.
class Bench {
 public:
  Bench(const Context& context, const BenchFlags& flags) : context_(context), flags_(flags) {
    std::random_device random;
    const uint64_t id = static_cast<uint64_t>(random() & INT32_MAX) << 32 | random();
    prefix_ = flags.prefix + (flags.prefix.ends_with('/') ? "" : "/") + hex16(static_cast<int64_t>(id)) + "/";
    value_.assign(static_cast<size_t>(flags.value_bytes), 'v');
    for (int64_t i = 0; i < flags.clients; ++i) random_.emplace_back(random());
  }

  std::optional<Exit> connect() {
    for (int64_t i = 0; i < std::min(flags_.connections, flags_.clients); ++i) {
      auto client = context_.client();
      if (auto* exit = std::get_if<Exit>(&client)) return std::move(*exit);
      clients_.push_back(std::get<0>(std::move(client)));
    }
    // Also says early that a cluster can't be reached, or that the keys are not ours to write.
    const auto found = clients_[0]->get(prefix_, {.range_end = client::prefix_end(prefix_), .limit = 1}, call());
    if (!found.ok()) return failed(found.status());
    if (!found->kvs.empty()) return Exit{kExitError, "prefix " + go_quote(prefix_) + " has keys", "Try again."};
    return std::nullopt;
  }

  const BenchFlags& flags() const { return flags_; }
  const std::string& prefix() const { return prefix_; }
  client::CallOptions call() const { return context_.call_options(); }
  const Signals& signals() const { return signals_; }
  Clients& clients() { return clients_; }
  Client& client_of(int thread) { return *clients_[static_cast<size_t>(thread) % clients_.size()]; }
  const std::string& value() const { return value_; }

  std::string key(int64_t number) const {
    const std::string digits = std::to_string(number);
    return prefix_ + std::string(static_cast<size_t>(flags_.key_bytes) - digits.size(), '0') + digits;
  }
  // The number of the key that is next for a call, of those below `end`.
  int64_t next_key(int thread, int64_t turn, int64_t end) {
    if (flags_.sequential) return turn % end;
    return std::uniform_int_distribution<int64_t>(0, end - 1)(random_[static_cast<size_t>(thread)]);
  }

  LoadReport run(const std::string& what, int64_t calls, int64_t rate, const LoadCall& call) {
    Progress progress(context_.err, context_.err_terminal.is_terminal, what, Progress::Unit::kCalls);
    const LoadPlan plan{
        .threads = static_cast<int>(flags_.clients), .calls = calls, .calls_per_s = rate, .from_due = true};
    return run_load(plan, call, signals_.token(), [&](int64_t done, double) {
      progress.show(static_cast<uint64_t>(done), static_cast<uint64_t>(calls));
    });
  }

  // Writes the keys that are then read.
  Status fill() {
    constexpr int64_t kPutsEach = 100;
    const int64_t puts_each =
        std::clamp<int64_t>((512 << 10) / (flags_.key_bytes + flags_.value_bytes + 1), 1, kPutsEach);
    const int64_t calls = (flags_.keys + puts_each - 1) / puts_each;
    const LoadReport filled = run("writing keys", calls, 0, [&](int thread, int64_t turn) {
      std::vector<client::Op> ops;
      for (int64_t i = turn * puts_each; i < std::min(flags_.keys, (turn + 1) * puts_each); ++i) {
        ops.push_back(client::put_op(key(i), value_));
      }
      client::Txn txn;
      txn.then(std::move(ops));
      return client_of(thread).commit(txn, call()).status();
    });
    if (filled.errors.empty()) return {};
    return Status(Code::kUnavailable, "the keys could not be written: " + filled.errors.begin()->first);
  }

  // A few thousand keys at a time, so that no call takes long.
  Status clean_up() {
    constexpr int64_t kKeysEach = 5'000;
    const std::string end = client::prefix_end(prefix_);
    for (;;) {
      const auto page = clients_[0]->get(prefix_, {.range_end = end, .limit = kKeysEach, .keys_only = true}, call());
      if (!page.ok()) return page.status();
      if (page->kvs.empty()) return {};
      const auto removed = clients_[0]->remove(prefix_, {.range_end = page->kvs.back().key + '\0'},
                                               {.timeout = std::chrono::seconds(30)});
      if (!removed.ok()) return removed.status();
    }
  }

 private:
  const Context& context_;
  const BenchFlags& flags_;
  const Signals signals_{};  // before the clients, which have threads
  Clients clients_;
  std::string prefix_;
  std::string value_;
  std::vector<std::mt19937_64> random_;
};

// ---- what is measured ----

Result<BenchReport> bench_put(Bench& bench) {
  BenchReport report{.calls = "puts"};
  report.load = bench.run("put", bench.flags().total, bench.flags().rate, [&](int thread, int64_t turn) {
    const int64_t number = bench.next_key(thread, turn, bench.flags().keys);
    return bench.client_of(thread).put(bench.key(number), bench.value(), {}, bench.call()).status();
  });
  return report;
}

Result<BenchReport> bench_range(Bench& bench) {
  if (Status status = bench.fill(); !status.ok()) return status;
  BenchReport report{.calls = "ranges"};
  const BenchFlags& flags = bench.flags();
  report.load = bench.run("range", flags.total, flags.rate, [&](int thread, int64_t turn) {
    const int64_t number = bench.next_key(thread, turn, flags.keys - flags.span + 1);
    client::GetOptions options{.serializable = flags.consistency == "s"};
    if (flags.span > 1) options.range_end = bench.key(number + flags.span - 1) + '\0';
    const auto got = bench.client_of(thread).get(bench.key(number), options, bench.call());
    if (got.ok() && got->count != flags.span && !bench.signals().received()) {
      return Status(Code::kDataLoss, "a range had other keys than were written");
    }
    return got.status();
  });
  return report;
}

Result<BenchReport> bench_txn(Bench& bench) {
  BenchReport report{.calls = "transactions"};
  const BenchFlags& flags = bench.flags();
  report.load = bench.run("txn", flags.total, flags.rate, [&](int thread, int64_t turn) {
    std::vector<client::Op> ops;
    // A key may be put only once in a transaction: they stand one behind the other.
    const int64_t first = bench.next_key(thread, turn, flags.keys);
    for (int64_t i = 0; i < flags.puts; ++i) {
      ops.push_back(client::put_op(bench.key((first + i) % flags.keys), bench.value()));
    }
    for (int64_t i = 0; i < flags.gets; ++i) ops.push_back(client::get_op(bench.key((first + i) % flags.keys)));
    client::Txn txn;
    txn.then(std::move(ops));
    return bench.client_of(thread).commit(txn, bench.call()).status();
  });
  return report;
}

// The events that came by one client; its callbacks run one at a time.
struct Arrivals {
  std::mutex mutex;  // guards all, last, ended
  Latencies all{};
  Clock::time_point last{};
  std::optional<Status> ended{};
};

int64_t nanos_since_boot(Clock::time_point when) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count();
}

Result<BenchReport> bench_watch(Bench& bench) {
  const BenchFlags& flags = bench.flags();
  std::vector<Arrivals> arrivals(bench.clients().size());
  std::vector<client::Watcher> watchers;  // ended before the arrivals are
  for (int64_t i = 0; i < flags.watches; ++i) {
    const auto number = static_cast<size_t>(i) % arrivals.size();
    Arrivals& to = arrivals[number];
    watchers.push_back(bench.clients()[number]->watch(
        bench.prefix(), {.range_end = client::prefix_end(bench.prefix())},
        {.on_response =
             [&to](client::WatchResponse&& response) {
               const auto now = Clock::now();
               const std::lock_guard lock(to.mutex);
               for (const client::Event& event : response.events) {
                 int64_t begin = 0;
                 const std::string& value = event.kv.value;
                 std::from_chars(value.data(), value.data() + std::min(value.size(), kTimeDigits), begin);
                 to.all.add(std::chrono::nanoseconds(nanos_since_boot(now) - begin));
                 to.last = now;
               }
             },
         .on_end =
             [&to](const client::WatchEnd& end) {
               const std::lock_guard lock(to.mutex);
               to.ended = end.status;
             }}));
  }
  for (client::Watcher& watcher : watchers) {
    const auto created = watcher.wait_created(client::at_most(std::chrono::seconds(30)));
    if (!created.ok()) return created.status();
  }
  BenchReport report{.calls = "puts", .watched = true};
  const auto begin = Clock::now();
  report.load = bench.run("watch", flags.total, flags.rate, [&](int thread, int64_t turn) {
    std::string value = std::to_string(nanos_since_boot(Clock::now()));
    value.insert(0, kTimeDigits - std::min(kTimeDigits, value.size()), '0');
    if (value.size() < static_cast<size_t>(flags.value_bytes))
      value.resize(static_cast<size_t>(flags.value_bytes), 'v');
    const int64_t number = bench.next_key(thread, turn, flags.keys);
    return bench.client_of(thread).put(bench.key(number), value, {}, bench.call()).status();
  });
  // A put that failed may have happened even so: its events may come, and are not waited for.
  const int64_t wanted = report.load.done() * flags.watches;
  const auto give_up = Clock::now() + kWaitForEvents;
  Clock::time_point last = begin;
  for (;;) {
    report.events = {};
    for (Arrivals& each : arrivals) {
      const std::lock_guard lock(each.mutex);
      if (each.ended) return *each.ended;
      report.events.add(each.all);
      last = std::max(last, each.last);
    }
    if (report.events.count() >= wanted || Clock::now() >= give_up || bench.signals().received()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  report.events_seconds = std::chrono::duration<double>(last - begin).count();
  report.events_missing = std::max<int64_t>(0, wanted - report.events.count());
  return report;
}

Result<BenchReport> bench_lease_keepalive(Bench& bench) {
  const BenchFlags& flags = bench.flags();
  std::vector<int64_t> leases;
  Status status;
  for (int64_t i = 0; i < flags.clients && status.ok() && !bench.signals().received(); ++i) {
    const auto granted = bench.client_of(static_cast<int>(i)).lease_grant(flags.ttl, 0, bench.call());
    if (granted.ok()) leases.push_back(granted->id);
    status = granted.status();
  }
  BenchReport report{.calls = "keep-alives"};
  if (status.ok() && !bench.signals().received()) {
    report.load = bench.run("lease-keepalive", flags.total, flags.rate, [&](int thread, int64_t) {
      return bench.client_of(thread).lease_keep_alive_once(leases[static_cast<size_t>(thread)], bench.call()).status();
    });
  }
  for (const int64_t lease : leases) {
    const Status revoked = bench.clients()[0]->lease_revoke(lease, bench.call()).status();
    if (status.ok()) status = revoked;
  }
  if (!status.ok()) return status;
  return report;
}

using Measure = Result<BenchReport> (*)(Bench&);

Exit run_bench(const Context& context, const BenchFlags& flags, const std::string& name, Measure measure,
               const Arguments& arguments) {
  if (!arguments.empty()) return bad_args("bench " + name + " takes no arguments", "kvctl bench " + name + " --help");
  if (auto refused = refuse(context, flags)) return *refused;
  Bench bench(context, flags);
  if (auto exit = bench.connect()) return *exit;
  const bool leases = name == "lease-keepalive";
  context.err << (leases ? "Makes " + std::to_string(flags.clients) + " leases, and revokes them at the end."
                         : "Writes keys under " + printable(bench.prefix()) + ", and removes them at the end.")
              << " The cluster is under load meanwhile.\n"
              << std::flush;
  auto report = measure(bench);
  const Status cleaned = leases ? Status() : bench.clean_up();
  if (report.ok()) {
    report->name = name;
    context.out << (context.globals.write_out == "json" ? bench_json(*report)
                                                        : bench_text(*report, context.out_terminal));
  }
  if (!cleaned.ok()) {
    return {kExitError, "the keys could not be removed: " + error_text(cleaned),
            "Remove them: kvctl del --prefix " + printable(bench.prefix())};
  }
  if (!report.ok()) return failed(report.status());
  if (bench.signals().received()) return {kExitError, "interrupted"};
  if (report->events_missing > 0) {
    return {kExitError, std::to_string(report->events_missing) + " events did not arrive within 30 s",
            "Fewer --watches, or a --rate, keep the watches closer to the puts."};
  }
  if (report->load.failed() > 0) {
    return {kExitError, std::to_string(report->load.failed()) + " calls failed",
            "See how the members are: kvctl endpoint status --cluster"};
  }
  return {};
}

std::unique_ptr<Command> bench_command(Context& context, std::string name, std::string summary, std::string examples,
                                       Measure measure, const std::shared_ptr<BenchFlags>& flags) {
  auto command = std::make_unique<Command>();
  command->name = name;
  command->arguments = "[options]";
  command->summary = std::move(summary);
  command->examples = std::move(examples);
  command->flags.add("clients", flags->clients, "so many calls at a time");
  command->flags.add("connections", flags->connections, "connections that the clients share");
  command->flags.add("total", flags->total, "so many calls in all");
  command->flags.add("rate", flags->rate, "so many calls a second; a call is timed from when it was due (0: no limit)");
  command->run = [&context, flags, name, measure](const Arguments& arguments) {
    return run_bench(context, *flags, name, measure, arguments);
  };
  return command;
}

void add_key_flags(Command& command, BenchFlags& flags) {
  command.flags.add("keys", flags.keys, "so many different keys");
  command.flags.add("key-size", flags.key_bytes, "bytes of a key, behind the prefix");
  command.flags.add("val-size", flags.value_bytes, "bytes of a value");
  command.flags.add("sequential", flags.sequential, "take the keys in order, not at random");
  command.flags.add("prefix", flags.prefix, "where the keys are written, under a random name, and removed again");
}

}  // namespace

void add_bench_command(Command& root, Context& context) {
  auto bench = std::make_unique<Command>();
  bench->name = "bench";
  bench->arguments = "<command>";
  bench->summary = "Measures how fast a cluster is";
  bench->description =
      "Measures how many calls a second a cluster answers and how long they take, with a histogram. It writes keys\n"
      "under a prefix of its own and removes them at the end, and puts the cluster under load: think twice before it\n"
      "runs on one that others use. The writes stay in the history until they are compacted.";
  bench->examples =
      "  kvctl bench put --clients 100 --connections 10 --total 100000 --val-size 256\n"
      "  kvctl bench range --clients 100 --consistency s\n"
      "  kvctl bench watch --watches 1000 --rate 100 --total 1000 -w json";
  bench->group = kToolsGroup;
  const auto add = [&](std::string name, std::string summary, std::string examples, Measure measure) {
    const auto flags = std::make_shared<BenchFlags>();
    bench->children.push_back(
        bench_command(context, std::move(name), std::move(summary), std::move(examples), measure, flags));
    return std::pair<Command&, BenchFlags&>(*bench->children.back(), *flags);
  };
  {
    auto [command, flags] =
        add("put", "Writes keys", "  kvctl bench put --clients 100 --total 100000 --val-size 256", bench_put);
    add_key_flags(command, flags);
  }
  {
    auto [command, flags] = add("range", "Writes keys, and reads them",
                                "  kvctl bench range --clients 100 --total 100000\n"
                                "  kvctl bench range --span 100 --consistency s",
                                bench_range);
    add_key_flags(command, flags);
    command.flags.add("consistency", flags.consistency, "l (through consensus) or s (what the member has)");
    command.flags.add("span", flags.span, "so many keys in each read");
  }
  {
    auto [command, flags] =
        add("txn", "Writes, and reads, several keys at once", "  kvctl bench txn --puts 10 --gets 10", bench_txn);
    add_key_flags(command, flags);
    command.flags.add("puts", flags.puts, "puts in each transaction");
    command.flags.add("gets", flags.gets, "reads in each transaction");
  }
  {
    auto [command, flags] =
        add("watch", "Writes keys that are watched, and times the events",
            "  kvctl bench watch --watches 1000 --connections 10 --rate 100 --total 1000", bench_watch);
    add_key_flags(command, flags);
    command.flags.add("watches", flags.watches, "so many watches on all of the keys");
  }
  {
    auto [command, flags] = add("lease-keepalive", "Keeps leases alive, one for each client",
                                "  kvctl bench lease-keepalive --clients 100 --total 100000", bench_lease_keepalive);
    command.flags.add("ttl", flags.ttl, "seconds that a lease has");
  }
  root.children.push_back(std::move(bench));
}

}  // namespace kv::kvctl
