// kvd_chaos: members are killed and stopped under load. See README.md.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <stdexcept>

#include "base/random.h"
#include "chaos/writers.h"

namespace kv::chaos {
namespace {

namespace pb = etcdserverpb;
using harness::Cluster;
using std::chrono::seconds;

struct Options {
  std::string binary;
  int rounds = 0;       // 0: the mode's own number
  int long_rounds = 0;  // instead, when KVD_TEST_LONG is set
  uint64_t seed = 1;
  milliseconds election_timeout{1000};  // etcd's and kvd's default
  milliseconds stop_limit{1000};        // from SIGTERM to the process's end
  int fill_mebibytes = 0;               // 0: the mode's own number
  bool plant = false;
  bool keep = false;
};

struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};
void need(bool holds, const std::string& else_say) {
  if (!holds) throw Broken(else_say);
}
void need_nothing_wrong(const std::string& wrong) { need(wrong.empty(), wrong); }

constexpr WriterOptions kWriters;

milliseconds since(Clock::time_point from) { return std::chrono::duration_cast<milliseconds>(Clock::now() - from); }

template <typename T>
T median(std::vector<T> values) {
  std::sort(values.begin(), values.end());
  return values.at(values.size() / 2);
}

int64_t revision_of(harness::Client& client) {
  pb::StatusResponse status;
  const grpc::Status answer = client.maintenance->Status(harness::within(seconds(5)).get(), {}, &status);
  need(answer.ok(), "Maintenance.Status: " + answer.error_message());
  return status.header().revision();
}

void print_refusals(const Writers& writers) {
  for (const auto& [text, count] : writers.refusals()) {
    std::printf("  %llu writes ended with: %s\n", static_cast<unsigned long long>(count), text.c_str());
  }
}

// A write that never happened; the checks must miss it.
Ack never_written(const std::vector<Ack>& acks) {
  Ack lie = acks.back();
  lie.sequence += 1000000;
  return lie;
}

// One member is killed with -9 at random moments while it is written to, and started again at once.
void kills(const Options& options, Cluster& cluster) {
  const int rounds = options.rounds > 0 ? options.rounds : 100;
  Random random(options.seed);
  cluster.start(0);
  need(cluster.wait_ready(), "the member does not serve:\n" + cluster.last_words(0));
  Writers writers(cluster, kWriters);
  std::vector<Ack> all;
  std::vector<milliseconds> restarts;
  for (int round = 1; round <= rounds; ++round) {
    writers.start();
    // At least one write is under way or answered; then any moment of the next 150 ms.
    need(writers.wait_acknowledged(1, seconds(30)), "no write is acknowledged:\n" + cluster.last_words(0));
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(150000)));
    cluster.process(0).kill();
    writers.stop();
    std::vector<Ack> acks = writers.take_acks();
    const auto restarted = Clock::now();
    cluster.start(0);
    need(cluster.wait_ready(),
         "round " + std::to_string(round) + ": the member does not come back:\n" + cluster.last_words(0));
    restarts.push_back(since(restarted));
    if (options.plant) acks.push_back(never_written(acks));

    int64_t highest = 0;
    for (const Ack& ack : acks) highest = std::max(highest, ack.mod_revision);
    need(revision_of(cluster.client(0)) >= highest, "the revision went back below " + std::to_string(highest));
    need_nothing_wrong(check_acks(cluster.client(0), acks, kWriters.value_bytes, false));
    all.insert(all.end(), acks.begin(), acks.end());
  }
  std::printf("%d kills; checking all %zu acknowledged writes once more\n", rounds, all.size());
  need_nothing_wrong(check_acks(cluster.client(0), all, kWriters.value_bytes, false));
  need_nothing_wrong(check_keys(cluster.client(0), writers, all));
  print_refusals(writers);
  std::printf("every acknowledged write is there; served again after %lld ms (median), %lld ms (longest)\n",
              static_cast<long long>(median(restarts).count()),
              static_cast<long long>(std::max_element(restarts.begin(), restarts.end())->count()));
}

// Waits until all members are at one revision, and compares their hashes of everything up to it.
void need_equal_hashes(Cluster& cluster) {
  const auto deadline = Clock::now() + seconds(30);
  std::vector<int64_t> revisions;
  do {
    need(Clock::now() < deadline, "the members do not come to one revision");
    revisions.clear();
    for (int i = 0; i < cluster.size(); ++i) revisions.push_back(revision_of(cluster.client(i)));
  } while (std::count(revisions.begin(), revisions.end(), revisions.front()) != cluster.size());

  pb::HashKVRequest request;
  request.set_revision(revisions.front());
  std::vector<pb::HashKVResponse> hashes(static_cast<size_t>(cluster.size()));
  for (int i = 0; i < cluster.size(); ++i) {
    pb::HashKVResponse& hash = hashes[static_cast<size_t>(i)];
    const grpc::Status answer =
        cluster.client(i).maintenance->HashKV(harness::within(seconds(30)).get(), request, &hash);
    need(answer.ok(), "HashKV: " + answer.error_message());
    need(hash.hash() == hashes[0].hash() && hash.compact_revision() == hashes[0].compact_revision(),
         "at revision " + std::to_string(revisions.front()) + " the hash of member " + std::to_string(i) + " is " +
             std::to_string(hash.hash()) + ", of member 0 " + std::to_string(hashes[0].hash()));
  }
  std::printf("all members' HashKV agree at revision %lld: %u\n", static_cast<long long>(revisions.front()),
              hashes[0].hash());
}

void start_three(Cluster& cluster) {
  cluster.start_all();
  need(cluster.wait_ready() && cluster.wait_leader(), "three members do not come to serve:\n" + cluster.last_words(0));
}

// Every acknowledged write, read from each member's own data.
void check_all_members(Cluster& cluster, Writers& writers, const std::vector<Ack>& all) {
  need_equal_hashes(cluster);
  std::printf("checking all %zu acknowledged writes on each member\n", all.size());
  for (int i = 0; i < cluster.size(); ++i) {
    need_nothing_wrong(check_acks(cluster.client(i), all, kWriters.value_bytes, true));
    need_nothing_wrong(check_keys(cluster.client(i), writers, all));
  }
}

// The leader of three is killed with -9 under load; it comes back after the others have gone on.
void leaders(const Options& options, Cluster& cluster) {
  const int rounds = options.rounds > 0 ? options.rounds : 5;
  start_three(cluster);
  Writers writers(cluster, kWriters);
  writers.start();
  std::vector<milliseconds> gaps;
  std::vector<Ack> all;
  for (int round = 1; round <= rounds; ++round) {
    need(writers.wait_acknowledged(1000, seconds(60)), "writes do not go on");
    const auto leader = cluster.wait_leader();
    need(leader.has_value(), "there is no leader");
    cluster.process(*leader).kill();
    const auto killed = Clock::now();
    const auto gap = writers.gap_since(killed, seconds(60));
    need(gap.has_value(), "no write is acknowledged after the leader was killed");
    gaps.push_back(*gap);
    need(writers.wait_acknowledged(1000, seconds(60)), "writes do not go on without the killed leader");

    const std::vector<Ack> acks = writers.take_acks();
    all.insert(all.end(), acks.begin(), acks.end());
    const int64_t behind = acks.back().mod_revision;
    const auto restarted = Clock::now();
    cluster.start(*leader);
    need(cluster.wait_ready(*leader, seconds(30)),
         "the killed leader does not come back:\n" + cluster.last_words(*leader));
    while (revision_of(cluster.client(*leader)) < behind) {
      need(since(restarted) < seconds(30), "the killed leader does not catch up");
    }
    std::printf("leader m%d killed: writes stood still for %lld ms; back and caught up after %lld ms\n", *leader,
                static_cast<long long>(gap->count()), static_cast<long long>(since(restarted).count()));
  }
  writers.stop();
  const std::vector<Ack> rest = writers.take_acks();
  all.insert(all.end(), rest.begin(), rest.end());
  if (options.plant) all.push_back(never_written(all));
  print_refusals(writers);
  check_all_members(cluster, writers, all);

  // A follower waits between one and two election timeouts; one gap may be a little longer, half of them may not.
  std::printf("gap after a kill: median %lld ms\n", static_cast<long long>(median(gaps).count()));
  need(median(gaps) <= 2 * options.election_timeout, "the median gap is longer than two election timeouts");
  need(*std::max_element(gaps.begin(), gaps.end()) <= 3 * options.election_timeout,
       "a gap is longer than three election timeouts");
}

// SIGTERM: the leader hands over and is gone within a second; writes hardly notice.
void stops(const Options& options, Cluster& cluster) {
  const int rounds = options.rounds > 0 ? options.rounds : 5;
  start_three(cluster);
  Writers writers(cluster, kWriters);
  writers.start();
  std::vector<milliseconds> gaps;
  std::vector<Ack> all;
  for (int round = 1; round <= rounds; ++round) {
    need(writers.wait_acknowledged(1000, seconds(60)), "writes do not go on");
    const auto leader = cluster.wait_leader();
    need(leader.has_value(), "there is no leader");
    const auto stopped = Clock::now();
    cluster.process(*leader).signal(SIGTERM);
    const auto ended = cluster.process(*leader).wait(seconds(20));
    const milliseconds took = since(stopped);
    need(ended.has_value(), "SIGTERM does not stop the member in 20 s");
    need(*ended == 0 || *ended == -SIGTERM,
         "SIGTERM ends the member with exit code " + std::to_string(*ended) + ":\n" + cluster.last_words(*leader));
    const auto gap = writers.gap_since(stopped + took, seconds(60));
    need(gap.has_value(), "no write is acknowledged after the leader was stopped");
    gaps.push_back(*gap);
    std::printf("leader m%d stopped: gone after %lld ms; the next write was acknowledged %lld ms later\n", *leader,
                static_cast<long long>(took.count()), static_cast<long long>(gap->count()));
    need(took <= options.stop_limit, "SIGTERM takes longer than a second");
    const std::vector<Ack> acks = writers.take_acks();
    all.insert(all.end(), acks.begin(), acks.end());
    cluster.start(*leader);
    need(cluster.wait_ready(*leader, seconds(30)),
         "the stopped leader does not come back:\n" + cluster.last_words(*leader));
  }
  writers.stop();
  const std::vector<Ack> rest = writers.take_acks();
  all.insert(all.end(), rest.begin(), rest.end());
  print_refusals(writers);
  check_all_members(cluster, writers, all);
  // Without a handover the others would first have to miss the leader, for one election timeout at least.
  need(median(gaps) < options.election_timeout / 2, "writes stop as if leadership had not been handed over");
}

// How often a member said this, over all its lives.
int times_said(const Cluster& cluster, int member, const std::string& text) {
  std::ifstream log(cluster.log_path(member));
  int times = 0;
  for (std::string line; std::getline(log, line);) times += line.find(text) != std::string::npos ? 1 : 0;
  return times;
}

// Values that don't compress, so that a snapshot has about so many bytes.
void fill(Cluster& cluster, int mebibytes) {
  constexpr int kThreads = 4;
  constexpr size_t kValueBytes = 64 << 10;
  const int values = mebibytes * 16;
  std::vector<std::thread> threads;
  std::vector<std::string> errors(kThreads);
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      Random random(static_cast<uint64_t>(thread));
      const auto client = cluster.connect(0);
      for (int i = thread; i < values; i += kThreads) {
        pb::PutRequest request;
        request.set_key("fill/" + std::to_string(i));
        std::string* value = request.mutable_value();
        while (value->size() < kValueBytes) value->push_back(static_cast<char>(random.below(256)));
        pb::PutResponse response;
        const grpc::Status answer = client->kv->Put(harness::within(seconds(30)).get(), request, &response);
        if (answer.ok()) continue;
        errors[static_cast<size_t>(thread)] = answer.error_message();
        return;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& error : errors) need(error.empty(), "filling the state: " + error);
}

// Acknowledged writes per second, over an interval that ends when the caller says so.
class Rate {
 public:
  explicit Rate(const Writers& writers) : writers_(writers), from_(writers.acknowledged()) {}
  double now() const {
    const std::chrono::duration<double> took = Clock::now() - began_;
    return static_cast<double>(writers_.acknowledged() - from_) / took.count();
  }

 private:
  const Writers& writers_;
  const uint64_t from_;
  const Clock::time_point began_ = Clock::now();
};

double rate_of(Writers& writers, uint64_t writes) {
  const Rate rate(writers);
  need(writers.wait_acknowledged(writes, seconds(120)), "writes do not go on");
  return rate.now();
}

struct CatchUp {
  double part = 0;         // the rate of the others' writes meanwhile, as a part of what it is with three members
  bool cut_short = false;  // the receiver was killed before it had the whole state
};

// A follower is away for longer than the log reaches. It comes back under load, is killed with -9 at a random moment
// of its catching up, and comes back once more; the others' writes must go on meanwhile. `fetch_lasts` is how long a
// fetch took the last time: the moment is drawn from that.
CatchUp catch_up(const Options& options, Cluster& cluster, Random& random, milliseconds& fetch_lasts) {
  const std::string kBegun = "fetching a snapshot";
  const std::string kFetched = "a snapshot was fetched";
  start_three(cluster);
  fill(cluster, options.fill_mebibytes);
  const auto leader = cluster.wait_leader();
  need(leader.has_value(), "there is no leader");
  const int away = (*leader + 1) % cluster.size();
  WriterOptions with = kWriters;
  with.members = {*leader, 3 - *leader - away};  // the others' clients
  with.timeout = seconds(5);                     // a slow write is to be seen in the rate, and not as a refused one
  Writers writers(cluster, with);
  writers.start();
  const double before = rate_of(writers, 3000);
  cluster.process(away).kill();
  // The log is held for whoever was heard of since the last check of the quorum, or the one before it.
  const auto killed = Clock::now();
  while (since(killed) < 3 * options.election_timeout) (void)rate_of(writers, 100);
  // 16 writers share log entries: so many writes are 300 entries at least, and 250 are kept at most.
  need(writers.wait_acknowledged(5000, seconds(120)), "writes do not go on while a follower is away");

  std::vector<Ack> all = writers.take_acks();
  int64_t behind = 0;
  for (const Ack& ack : all) behind = std::max(behind, ack.mod_revision);
  const Rate rate(writers);
  const auto restarted = Clock::now();
  const auto wait_said = [&](const std::string& text, const std::string& else_say) {
    while (times_said(cluster, away, text) == 0) {
      need(cluster.running(away), "the member ended by itself");
      need(since(restarted) < seconds(120), else_say);
      std::this_thread::sleep_for(milliseconds(5));
    }
  };
  cluster.start(away);
  wait_said(kBegun, "the member does not ask for a snapshot");
  const auto asked = Clock::now();
  std::this_thread::sleep_for(std::chrono::microseconds(random.below(1000 * fetch_lasts.count())));
  const milliseconds into = since(asked);
  cluster.process(away).kill();
  CatchUp result;
  result.cut_short = times_said(cluster, away, kFetched) == 0;
  const auto back = Clock::now();
  cluster.start(away);
  wait_said(kFetched, "the killed receiver does not fetch the state");
  if (result.cut_short) fetch_lasts = std::clamp(into + since(back), milliseconds(50), milliseconds(2000));
  need(cluster.wait_ready(away, seconds(60)), "the killed receiver does not serve");
  while (revision_of(cluster.client(away)) < behind) {
    need(since(restarted) < seconds(120), "the killed receiver does not catch up");
  }
  const double meanwhile = rate.now();
  const milliseconds took = since(restarted);
  const double after = rate_of(writers, 3000);
  result.part = 2 * meanwhile / (before + after);
  std::printf(
      "m%d was killed %lld ms after it had asked for a snapshot (%s), and was there %lld ms after its first start\n",
      away, static_cast<long long>(into.count()), result.cut_short ? "and had not got it" : "and had it",
      static_cast<long long>(took.count()));
  std::printf("writes a second: %.0f before, %.0f meanwhile, %.0f after: %.2f of what three members do\n", before,
              meanwhile, after, result.part);

  writers.stop();
  const std::vector<Ack> rest = writers.take_acks();
  all.insert(all.end(), rest.begin(), rest.end());
  if (options.plant) all.push_back(never_written(all));
  print_refusals(writers);
  // The others' data is the same; so it is enough to read every write from the one that fetched.
  need_equal_hashes(cluster);
  std::printf("checking all %zu acknowledged writes on m%d\n", all.size(), away);
  need_nothing_wrong(check_acks(cluster.client(away), all, kWriters.value_bytes, true));
  need_nothing_wrong(check_keys(cluster.client(away), writers, all));
  return result;
}

// True when `work` is done; else it is said what broke, and what the members said last.
bool done(const Options& options, const std::string& mode, Cluster& cluster, const std::function<void()>& work) {
  try {
    work();
    return true;
  } catch (const std::exception& broken) {
    std::printf("%s (seed %llu): BROKEN\n%s\n", mode.c_str(), static_cast<unsigned long long>(options.seed),
                broken.what());
    for (int i = 0; i < cluster.size(); ++i) {
      std::printf("---- last words of m%d\n%s\n", i, cluster.last_words(i).c_str());
    }
    if (options.keep) std::printf("data and logs are kept in %s\n", cluster.keep().c_str());
    return false;
  }
}

bool snapshots(Options options) {
  const bool is_long = std::getenv("KVD_TEST_LONG") != nullptr;
  const int rounds = options.rounds > 0 ? options.rounds : 1;
  if (options.fill_mebibytes == 0) options.fill_mebibytes = is_long ? 256 : 64;
  Random random(options.seed);
  milliseconds fetch_lasts(500);
  std::vector<double> parts;
  int cut_short = 0;
  for (int round = 1; round <= rounds; ++round) {
    // A new cluster each time: a log is held for a while for whoever has fetched a snapshot. It is short, on disk as
    // in memory, so that whoever is away for a moment needs one.
    Cluster cluster(
        {.binary = options.binary,
         .members = 3,
         .extra_flags = {"--snapshot-count=200", "--snapshot-catchup-entries=50", "--log-cache-bytes=65536"}});
    const bool passed = done(options, "snapshots", cluster, [&] {
      const CatchUp result = catch_up(options, cluster, random, fetch_lasts);
      parts.push_back(result.part);
      cut_short += result.cut_short ? 1 : 0;
    });
    if (!passed) return false;
  }
  std::printf("%d of %d receivers were killed before they had the state; writes went on at %.2f (median)\n", cut_short,
              rounds, median(parts));
  // A moment's rate says little on a machine that does other things too: only the long form decides by it.
  if (!is_long) return true;
  if (cut_short == 0) std::printf("BROKEN: no receiver was killed before it had the state\n");
  const bool fast_enough = median(parts) >= 2.0 / 3;
  if (!fast_enough) std::printf("BROKEN: a member that catches up slows the others by more than a third\n");
  return cut_short > 0 && fast_enough;
}

int run(const Options& options, const std::string& mode) {
  const auto started = Clock::now();
  bool passed = false;
  if (mode == "snapshots") {
    passed = snapshots(options);
  } else {
    Cluster cluster({.binary = options.binary, .members = mode == "kills" ? 1 : 3});
    passed = done(options, mode, cluster, [&] {
      if (mode == "kills") kills(options, cluster);
      if (mode == "leaders") leaders(options, cluster);
      if (mode == "stops") stops(options, cluster);
    });
  }
  if (passed)
    std::printf("%s: passed in %lld s\n", mode.c_str(), static_cast<long long>(since(started).count() / 1000));
  return passed ? 0 : 1;
}

}  // namespace
}  // namespace kv::chaos

int main(int argc, char** argv) {
  kv::chaos::Options options;
  int64_t election_timeout_ms = options.election_timeout.count();
  CLI::App app{"Members are killed and stopped under load; nothing acknowledged may be missing"};
  app.add_option("--binary", options.binary, "kvd, or etcd")->required();
  app.add_option("--rounds", options.rounds, "how many kills or stops");
  app.add_option("--long-rounds", options.long_rounds, "how many instead, when KVD_TEST_LONG is set");
  app.add_option("--seed", options.seed, "of the moments at which a member is killed");
  app.add_option("--election-timeout", election_timeout_ms, "ms, as the members have it");
  app.add_option("--fill", options.fill_mebibytes, "MiB of the state that is fetched as a snapshot");
  app.add_flag("--plant", options.plant, "add a write that never happened, to see that it is missed");
  app.add_flag("--keep", options.keep, "keep data and logs of a failed run");
  std::string mode;
  app.add_option("mode", mode, "kills, leaders, stops or snapshots")
      ->required()
      ->check(CLI::IsMember({"kills", "leaders", "stops", "snapshots"}));
  CLI11_PARSE(app, argc, argv);
  options.election_timeout = kv::chaos::milliseconds(election_timeout_ms);
  if (options.long_rounds > 0 && std::getenv("KVD_TEST_LONG") != nullptr) options.rounds = options.long_rounds;
  setvbuf(stdout, nullptr, _IOLBF, 0);
  return kv::chaos::run(options, mode);
}
