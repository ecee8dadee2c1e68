// The simulator with the real store, its leases and its watches, over many seeds. KVD_SIM_SEEDS=N runs N of them
// instead of 300; KVD_SIM_FIRST=S begins at another one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "sim/runner.h"
#include "sim/store/store_machine.h"

namespace kv::sim {
namespace {

constexpr uint64_t kParts = 6;

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

SimOptions run_of(uint64_t seed) {
  SimOptions options;
  options.seed = seed;
  options.machine = &kStoreMachine;
  return options;
}

class StoreSimulation : public testing::TestWithParam<uint64_t> {};

TEST_P(StoreSimulation, Keeps_every_promise_and_recovers) {
  const uint64_t seeds = from_environment("KVD_SIM_SEEDS", 300);
  const uint64_t first = from_environment("KVD_SIM_FIRST", 1);
  for (uint64_t i = GetParam(); i < seeds; i += kParts) {
    const Finding finding = run_seed(run_of(first + i));
    EXPECT_FALSE(finding.failed) << finding.text;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, StoreSimulation, testing::Range(uint64_t{0}, kParts));

// Whatever RocksDB's threads and the store's housekeeper do meanwhile. In processes of their own, as all runs are: a
// process that has had RocksDB's threads can't be forked. With text the second time, which must not matter.
TEST(StoreSimulation, Same_seed_gives_the_same_run) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const Finding first = run_in_child(run_of(seed), false);
    const Finding second = run_in_child(run_of(seed), true);
    ASSERT_FALSE(first.failed) << first.text;
    EXPECT_EQ(first.stats.trace_hash, second.stats.trace_hash) << "seed " << seed;
    EXPECT_EQ(first.stats.events, second.stats.events) << "seed " << seed;
  }
}

// What is never reached is never tested.
TEST(StoreSimulation, Reaches_what_it_is_for) {
  RunStats sum;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    const Finding finding = run_in_child(run_of(seed), false);
    ASSERT_FALSE(finding.failed) << finding.text;
    const RunStats& s = finding.stats;
    sum.counters.crashes += s.counters.crashes;
    sum.counters.snapshots_installed += s.counters.snapshots_installed;
    sum.revisions += s.revisions;
    sum.answers += s.answers;
    sum.keep_alives += s.keep_alives;
    sum.leases_expired += s.leases_expired;
    sum.leases_checkpointed += s.leases_checkpointed;
    sum.watch_events += s.watch_events;
    sum.watches_resumed += s.watches_resumed;
    sum.watches_compacted += s.watches_compacted;
    sum.progress_notes += s.progress_notes;
    sum.leaders += s.leaders;
  }
  EXPECT_GT(sum.counters.crashes, 30u);
  EXPECT_GT(sum.counters.snapshots_installed, 10u);
  EXPECT_GT(sum.leaders, 60u);
  EXPECT_GT(sum.revisions, 3'000u);
  EXPECT_GT(sum.answers, 1'000u);
  EXPECT_GT(sum.keep_alives, 100u);
  EXPECT_GT(sum.leases_expired, 50u);
  EXPECT_GT(sum.leases_checkpointed, 100u);
  EXPECT_GT(sum.watch_events, 5'000u);
  EXPECT_GT(sum.watches_resumed, 100u);
  EXPECT_GT(sum.watches_compacted, 20u);
  EXPECT_GT(sum.progress_notes, 100u);
}

}  // namespace
}  // namespace kv::sim
