// Crashes: the power fails at random moments, and the process is killed while it writes.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raft/crash_file_system.h"
#include "raft/log_fixture.h"
#include "raft/log_store.h"
#include "raft/no_sync_file_system.h"

namespace kv::raft {
namespace {

// At many moments, most of them inside a sync, an image of the disk as a power failure would leave it is opened. It
// must hold exactly what had been acknowledged, or that and the write in flight; and it must never be taken for
// damage. Sometimes the run goes on from the image, so that crash follows crash.
void power_fails(uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  TempDir dir;
  Random random(seed);
  auto files = std::make_shared<CrashFileSystem>();
  LogStore::Options options = log_options(dir / "log");
  options.memtable_bytes = 64 << 10;
  options.cache_bytes = 16 << 10;
  options.prepare_files = seed % 2 == 0;
  options.file_system = files;
  // What the log may be after a crash: as the last synced write left it, or as any write after that one did (a file
  // is synced before the next is begun), the one in flight included. One of these, never anything between.
  std::vector<LogModel> allowed(1);
  LogModel recovered;  // what the last image held
  size_t images = 0, lost = 0;

  const auto check = [&](const std::string& image) {
    ++images;
    LogStore::Options plain = log_options(image);
    plain.memtable_bytes = options.memtable_bytes;
    plain.file_system = std::make_shared<NoSyncFileSystem>();
    auto opened = LogStore::open(plain);
    ASSERT_TRUE(opened.ok()) << opened.status().to_string();
    recovered = model_of(**opened);
    const auto found = std::find(allowed.begin(), allowed.end(), recovered);
    ASSERT_TRUE(found != allowed.end()) << same(recovered, allowed.front()).message();
    if (found != allowed.end() - 1) ++lost;
  };
  const auto check_image = [&] {
    files->image(options.path, dir / "image", random);
    check(dir / "image");
  };

  auto log = open_log(options);
  for (int round = 0; round < 6; ++round) {
    files->hook = [&](CrashFileSystem::Call call, const std::string& name) {
      if (!name.ends_with(".log") || !random.one_in(call == CrashFileSystem::Call::kSync ? 12 : 60)) return false;
      check_image();
      return false;
    };
    for (int i = 0; i < 120 && !::testing::Test::HasFatalFailure(); ++i) {
      const LogStep step = random_step(random, allowed.back(), random.one_in(10) ? 20000 : 300);
      allowed.push_back(allowed.back());
      apply(step, allowed.back());
      ASSERT_TRUE(apply(step, *log).ok());
      if (step.sync || step.truncate) allowed.erase(allowed.begin(), allowed.end() - 1);
      if (random.one_in(100)) check_image();
    }
    if (::testing::Test::HasFatalFailure()) return;
    // The power fails for real; the next round begins with what the disk holds.
    files->hook = nullptr;
    const std::string image = dir / ("round-" + std::to_string(round));
    files->image(options.path, image, random);
    log.reset();
    options.path = image;
    log = open_log(options);
    ASSERT_TRUE(log);
    recovered = model_of(*log);
    ASSERT_TRUE(std::find(allowed.begin(), allowed.end(), recovered) != allowed.end()) << "round " << round;
    allowed = {recovered};
  }
  EXPECT_GT(images, 20u);
  EXPECT_GT(lost, 5u) << "the images lose too little to test anything";
}

TEST(LogStoreCrash, What_was_acknowledged_survives_power_failures_and_the_rest_is_whole_or_gone) {
  for (uint64_t seed = 1; seed <= 8 && !::testing::Test::HasFailure(); ++seed) power_fails(seed);
}

// The child writes and says over a pipe what was acknowledged; it is killed at a random moment.
TEST(LogStoreCrash, What_a_killed_process_had_acknowledged_is_there) {
  TempDir dir;
  LogStore::Options options = log_options(dir / "log");
  options.memtable_bytes = 256 << 10;
  Random random(1);
  uint64_t acknowledged = 0;
  for (int round = 0; round < 15; ++round) {
    int pipes[2];
    ASSERT_EQ(::pipe(pipes), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(pipes[0]);
      auto log = LogStore::open(options);
      if (!log.ok()) ::_exit(2);
      for (uint64_t next = (*log)->last_index().value() + 1;; ++next) {
        const std::string data = std::to_string(next) + std::string(next * 37 % 3000, 'k');
        const HardState state{Term(1), NodeId(1), Index(next - 1)};
        if (!(*log)->write(state, {make_entry(next, 1, data)}, true).ok()) ::_exit(3);
        if (next % 50 == 0 && !(*log)->truncate_prefix({Index(next - 20), Term(1), {}}).ok()) ::_exit(4);
        if (::write(pipes[1], &next, sizeof next) != sizeof next) ::_exit(5);
      }
    }
    ::close(pipes[1]);
    const uint64_t target = acknowledged + 20 + random.below(200);
    uint64_t said = 0;
    while (acknowledged < target && ::read(pipes[0], &said, sizeof said) == sizeof said) acknowledged = said;
    ::kill(child, SIGKILL);
    // What it said before it died counts too.
    while (::read(pipes[0], &said, sizeof said) == sizeof said) acknowledged = said;
    ::close(pipes[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
    ASSERT_GE(acknowledged, target);
    const auto log = open_log(options);
    ASSERT_TRUE(log) << "round " << round;
    ASSERT_GE(log->last_index(), Index(acknowledged));
    ASSERT_LE(log->last_index(), Index(acknowledged + 1));
    for (const Entry& entry : log->entries(log->first_index(), log->last_index() + 1, SIZE_MAX)) {
      const uint64_t i = entry.index.value();
      ASSERT_EQ(*entry.data, std::to_string(i) + std::string(i * 37 % 3000, 'k'));
    }
    ASSERT_GE(log->hard_state().commit, Index(acknowledged - 1));
    acknowledged = log->last_index().value();
  }
}

}  // namespace
}  // namespace kv::raft
