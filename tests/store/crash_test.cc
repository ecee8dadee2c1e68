// Killed at any moment, the state is what it was after some batch, whole, and not before what durable_index() had
// promised.
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "base/random.h"
#include "crash_script.h"
#include "temp_store.h"

extern char** environ;

namespace kv::store {
namespace {

// Runs the child until it has applied about so many batches, and kills it.
void run_and_kill(const std::string& path, uint64_t seed, uint64_t batches, uint64_t spins) {
  int out[2];
  ASSERT_EQ(::pipe(out), 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, out[0]);
  const std::string binary = (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "store_crash_child");
  const std::string seed_text = std::to_string(seed);
  const char* argv[] = {binary.c_str(), path.c_str(), seed_text.c_str(), nullptr};
  pid_t pid;
  ASSERT_EQ(::posix_spawn(&pid, binary.c_str(), &actions, nullptr, const_cast<char**>(argv), environ), 0) << binary;
  posix_spawn_file_actions_destroy(&actions);
  ::close(out[1]);
  bool alive = true;
  for (uint64_t done = 0; alive && done < batches; done += 10) {
    char byte;
    alive = ::read(out[0], &byte, 1) == 1;
  }
  // Not always at the moment when the byte is written.
  std::atomic<uint64_t> spun{0};
  while (spun.fetch_add(1, std::memory_order_relaxed) < spins) continue;
  ::kill(pid, SIGKILL);
  ::close(out[0]);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(alive && WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
}

class CrashTest : public testing::TestWithParam<uint64_t> {};

TEST_P(CrashTest, State_is_whole_after_a_kill_at_any_moment) {
  const uint64_t seed = GetParam();
  const CrashScript script(seed);
  Random random(seed);
  TempDir directory;
  const std::string path = directory.path() + "/state";
  Model model;
  uint64_t index = 0, moved = 0;
  for (int round = 0; round < 10; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    run_and_kill(path, seed, 10 + random.below(800), random.below(1'000'000));
    if (HasFatalFailure()) return;

    auto opened = Store::open(crash_options(path));
    ASSERT_TRUE(opened.ok()) << opened.status().to_string();
    const std::unique_ptr<Store> store = std::move(*opened);
    const uint64_t applied = store->applied_index();
    ASSERT_GE(applied, index) << "what an earlier life had flushed is gone";
    ASSERT_EQ(store->durable_index(), applied) << "it came from the files, so it is in them";
    moved += applied > index;
    for (; index < applied;) {
      ++index;
      script.apply(index, [&](const auto& request) {
        ResponseOf<decltype(request)> response;
        return apply_to(model, request, &response);
      });
    }

    ASSERT_EQ(store->revision().value(), model.revision());
    ASSERT_EQ(store->stats().compact_revision, model.compact_revision());
    const int64_t oldest = std::max<int64_t>(model.compact_revision(), 1);
    for (int i = 0; i < 40; ++i) {
      auto request = range_request(kZero, kZero);
      request.set_revision(oldest +
                           static_cast<int64_t>(random.below(static_cast<uint64_t>(model.revision() - oldest + 1))));
      if (i == 0) request.set_revision(oldest);
      if (i == 1) request.set_revision(model.revision());
      if (i % 4 == 3) request.set_limit(2);  // then the counts say how many there are
      etcdserverpb::RangeResponse expected, response;
      ASSERT_TRUE(model.range(request, &expected).ok());
      ASSERT_TRUE(store->range(request, &response).ok());
      ASSERT_EQ(response.SerializeAsString(), expected.SerializeAsString()) << request.ShortDebugString();
    }
    const std::vector<Lease> leases = store->leases();
    ASSERT_EQ(leases.size(), model.leases().size());
    for (const Lease& lease : leases) {
      ASSERT_TRUE(model.leases().contains(lease.id));
      ASSERT_EQ(store->lease_keys(lease.id).value(), model.lease_keys(lease.id));
    }
    // It can be gone on with from here: the next life starts with what this one leaves.
  }
  EXPECT_GT(moved, 3u) << "the child was always killed before it had flushed anything";
}

INSTANTIATE_TEST_SUITE_P(Seeds, CrashTest, testing::Range<uint64_t>(1, 5));

}  // namespace
}  // namespace kv::store
