// A member that was away for longer than the log reaches.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "base/metrics.h"
#include "base/random.h"
#include "members_fixture.h"
#include "server/snapshot_metrics.h"

namespace kv::server {
namespace {

namespace fs = std::filesystem;

// In this process, so of all members together.
uint64_t snapshots_installed() { return Metrics::global().counter("kvd_snapshots_installed_total", "").value(); }

// The sum over the members that a metric is told of by a label.
double sum_of(const std::string& metric) {
  std::istringstream lines(Metrics::global().render());
  double sum = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(metric + "{")) sum += std::stod(line.substr(line.rfind(' ') + 1));
  }
  return sum;
}

class ShortLog : public ThreeMembers {
 protected:
  ShortLog() : ThreeMembers(shorten_log) {}

  size_t follower_place() const { return (leader_place() + 1) % members_.size(); }

  // Any running member but the one at `place`.
  Member& other_than(size_t place) { return *members_[(place + 1) % members_.size()]; }

  void write(Member& member, const std::string& key, const std::string& value) {
    const auto answer = put(member, key, value);
    EXPECT_TRUE(answer.status.ok()) << answer.status.to_string();
  }

  bool same_hash(Member& a, Member& b) {
    const auto x = call(a, &Member::hash_kv, etcdserverpb::HashKVRequest());
    const auto y = call(b, &Member::hash_kv, etcdserverpb::HashKVRequest());
    return x.status.ok() && y.status.ok() && x.response.hash() == y.response.hash() &&
           x.response.header().revision() == y.response.header().revision();
  }
};

TEST_F(ShortLog, A_member_that_was_away_for_longer_catches_up_by_a_snapshot) {
  const size_t away = follower_place();
  const uint64_t before = snapshots_installed();
  const double sent = sum_of("etcd_network_snapshot_send_success");
  const double received = sum_of("etcd_network_snapshot_receive_success");
  const double sent_in_time = sum_of("etcd_network_snapshot_send_total_duration_seconds_count");
  const double received_in_time = sum_of("etcd_network_snapshot_receive_total_duration_seconds_count");
  const uint64_t copied = snapshot_metrics().copy_seconds.count();
  const uint64_t saved = snapshot_metrics().save_seconds.count();
  const uint64_t synced = snapshot_metrics().sync_seconds.count();
  // The log is kept for a while for one that was heard of just now: so it is away for longer when it was not cut yet.
  for (int writes = 300; snapshots_installed() == before && writes < 100'000; writes *= 2) {
    members_[away].reset();
    for (int i = 0; i < writes; ++i)
      write(other_than(away), "key" + std::to_string(i % 50), std::string(500, 'v') + std::to_string(i));
    members_[away] = start(options_[away]);
    ASSERT_TRUE(eventually([&] { return same_hash(*members_[away], other_than(away)); }));
  }
  EXPECT_GT(snapshots_installed(), before) << "the log was not cut, so this test has shown nothing";
  EXPECT_GT(sum_of("etcd_network_snapshot_send_success"), sent);
  EXPECT_GT(sum_of("etcd_network_snapshot_receive_success"), received);
  EXPECT_GT(sum_of("etcd_network_snapshot_send_total_duration_seconds_count"), sent_in_time);
  EXPECT_GT(sum_of("etcd_network_snapshot_receive_total_duration_seconds_count"), received_in_time);
  EXPECT_GT(snapshot_metrics().copy_seconds.count(), copied);
  EXPECT_GT(snapshot_metrics().save_seconds.count(), saved);
  EXPECT_GT(snapshot_metrics().sync_seconds.count(), synced + 1) << "it has several files";
  EXPECT_EQ(sum_of("etcd_network_snapshot_send_inflights_total"), 0);
  EXPECT_EQ(sum_of("etcd_network_snapshot_receive_inflights_total"), 0);
  // It goes on as any other, through the log.
  for (int i = 0; i < 20; ++i) write(*members_[away], "more" + std::to_string(i), "1");
  ASSERT_TRUE(eventually([&] { return same_hash(*members_[away], other_than(away)); }));
  // And once more, from where it is put now.
  members_[away].reset();
  members_[away] = start(options_[away]);
  ASSERT_TRUE(eventually([&] { return same_hash(*members_[away], other_than(away)); }));
  EXPECT_TRUE(fs::exists(options_[away].data_dir + "/state"));
  for (const auto& entry : fs::directory_iterator(options_[away].data_dir)) {
    EXPECT_FALSE(entry.path().filename().string().starts_with("state-")) << entry.path();
  }
}

// Threads that put, one after the other each, to the members that run.
class Load {
 public:
  Load(std::vector<std::shared_ptr<Member>> members, size_t threads) {
    for (size_t t = 0; t < threads; ++t) {
      threads_.emplace_back([this, members, t] {
        Member& member = *members[t % members.size()];
        for (uint64_t i = 0; !stopping_; ++i) {
          const auto answer = put(member, "load" + std::to_string(t) + "/" + std::to_string(i % 5000),
                                  std::string(1000, 'v') + std::to_string(i));
          if (answer.status.ok()) ++done_;
        }
      });
    }
  }
  ~Load() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  uint64_t done() const { return done_; }

 private:
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> done_{0};
  std::vector<std::thread> threads_;
};

double seconds_since(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

TEST_F(ShortLog, A_member_catches_up_while_others_are_written_to) {
  const size_t away = follower_place();
  members_[away].reset();
  std::vector<std::shared_ptr<Member>> here;
  for (const auto& member : members_) {
    if (member) here.push_back(member);
  }
  const uint64_t installed = snapshots_installed();
  {
    Load load(here, 32);
    const uint64_t enough = std::getenv("KVD_TEST_LONG") != nullptr ? 200'000 : 5'000;
    ASSERT_TRUE(eventually([&] { return load.done() >= enough; }, 600));
    auto from = std::chrono::steady_clock::now();
    uint64_t before = load.done();
    ASSERT_TRUE(eventually([&] { return seconds_since(from) > 2; }));
    const double with_two = static_cast<double>(load.done() - before) / seconds_since(from);

    const int64_t behind = get(*here[0], "load").response.header().revision();
    from = std::chrono::steady_clock::now();
    before = load.done();
    members_[away] = start(options_[away]);
    ASSERT_TRUE(eventually(
        [&] {
          const auto status = call(*members_[away], &Member::status, etcdserverpb::StatusRequest());
          return status.response.header().revision() >= behind;
        },
        300));
    const double took = seconds_since(from);
    const double meanwhile = static_cast<double>(load.done() - before) / took;
    from = std::chrono::steady_clock::now();
    before = load.done();
    ASSERT_TRUE(eventually([&] { return seconds_since(from) > 2; }));
    const double with_three = static_cast<double>(load.done() - before) / seconds_since(from);
    std::printf("writes a second: %.0f with two members, %.0f while the third caught up for %.1f s, %.0f with three\n",
                with_two, meanwhile, took, with_three);
    EXPECT_GT(meanwhile, 0);
  }
  EXPECT_GT(snapshots_installed(), installed) << "the log was not cut, so this test has shown nothing";
  EXPECT_TRUE(eventually([&] { return same_hash(*members_[away], *here[0]); }, 60));
}

// A member in a process of its own. What it says goes to a file.
class MemberProcess {
 public:
  MemberProcess(const MemberOptions& options, const std::string& log) {
    std::string cluster;
    for (const auto& [name, urls] : options.initial_cluster) {
      cluster += (cluster.empty() ? "" : ",") + name + "=" + urls[0];
    }
    int in[2];
    EXPECT_EQ(pipe2(in, O_CLOEXEC), 0);
    input_ = in[1];
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in[0], STDIN_FILENO);
      const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      dup2(out, STDOUT_FILENO);
      dup2(out, STDERR_FILENO);
      execl(KVD_MEMBER_CHILD, KVD_MEMBER_CHILD, options.name.c_str(), options.data_dir.c_str(), cluster.c_str(),
            nullptr);
      _exit(3);
    }
    close(in[0]);
  }
  // Kills it with -9. False: it had ended by itself.
  bool kill() {
    int status = 0;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, &status, 0);
    close(input_);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

 private:
  pid_t pid_ = 0;
  int input_ = -1;
};

int lines_with(const std::string& path, const std::string& words) {
  std::ifstream file(path);
  int count = 0;
  for (std::string line; std::getline(file, line);) count += line.find(words) != std::string::npos ? 1 : 0;
  return count;
}

TEST_F(ShortLog, A_member_that_is_killed_while_it_fetches_always_recovers) {
  const size_t away = follower_place();
  members_[away].reset();
  std::vector<std::shared_ptr<Member>> here;
  for (const auto& member : members_) {
    if (member) here.push_back(member);
  }
  const std::string log = directory_.path() + "/child.log";
  {
    Load load(here, 8);
    ASSERT_TRUE(eventually([&] { return load.done() >= 3'000; }, 200));
    const uint64_t seed = std::random_device()();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    Random random(seed);
    for (int round = 0; round < 10; ++round) {
      const uint64_t before = load.done();
      // A leader keeps what somebody who fetches will need; another knows nothing of that, so there is always something
      // to fetch.
      etcdserverpb::MoveLeaderRequest move;
      const size_t leads = here[0]->leader() == here[0]->id() ? 0 : 1;
      move.set_targetid(here[1 - leads]->id());
      (void)call(*here[leads], &Member::move_leader, move);
      const int begun = lines_with(log, "fetching a snapshot") + lines_with(log, "a snapshot is installed");
      MemberProcess child(options_[away], log);
      // Any moment: before it is begun, under way, being installed, done.
      const int more = static_cast<int>(random.below(3));
      eventually([&] {
        return lines_with(log, "fetching a snapshot") + lines_with(log, "a snapshot is installed") >= begun + more;
      });
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(200'000)));
      ASSERT_TRUE(child.kill()) << "round " << round << ": it ended by itself";
      ASSERT_TRUE(eventually([&] { return load.done() >= before + 500; }, 100));
    }
    EXPECT_GT(lines_with(log, "fetching a snapshot"), 0) << "nothing was fetched, so this test has shown nothing";
    std::printf(
        "%d fetches begun, %d went on where an earlier one ended, %d installed by a running member, %d by a start\n",
        lines_with(log, "fetching a snapshot"), lines_with(log, "goes_on=true"),
        lines_with(log, "a snapshot is installed"), lines_with(log, "takes the place of the state"));
    members_[away] = start(options_[away]);
    ASSERT_TRUE(members_[away]);
    const int64_t behind = get(*here[0], "load").response.header().revision();
    EXPECT_TRUE(eventually(
        [&] {
          return call(*members_[away], &Member::status, etcdserverpb::StatusRequest()).response.header().revision() >=
                 behind;
        },
        100));
  }
  EXPECT_TRUE(eventually([&] { return same_hash(*members_[away], *here[0]); }, 60));
}

}  // namespace
}  // namespace kv::server
