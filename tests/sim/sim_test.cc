// The simulator over many seeds. KVD_SIM_SEEDS=N runs N of them instead of 300 (in parts, which ctest runs in
// parallel); KVD_SIM_FIRST=S begins at another one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "sim/runner.h"

namespace kv::sim {
namespace {

constexpr uint64_t kParts = 6;

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

class Simulation : public testing::TestWithParam<uint64_t> {};

TEST_P(Simulation, Keeps_every_invariant_and_recovers) {
  const uint64_t seeds = from_environment("KVD_SIM_SEEDS", 300);
  const uint64_t first = from_environment("KVD_SIM_FIRST", 1);
  for (uint64_t i = GetParam(); i < seeds; i += kParts) {
    SimOptions options;
    options.seed = first + i;
    options.steps = 20'000;
    const Finding finding = run_seed(options);
    EXPECT_FALSE(finding.failed) << finding.text;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Simulation, testing::Range(uint64_t{0}, kParts));

TEST(Simulation, Long_runs_keep_every_invariant) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimOptions options;
    options.seed = 1'000'000 + seed;
    options.steps = 60'000;
    const Finding finding = run_seed(options);
    EXPECT_FALSE(finding.failed) << finding.text;
  }
}

TEST(Simulation, Same_seed_gives_the_same_run) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SimOptions options;
    options.seed = seed;
    // Twice in this process, whose memory looks different the second time, and with text, which must not matter.
    const RunStats first = Cluster(options, Trace::Text::kNone).run().stats;
    const RunStats second = Cluster(options, Trace::Text::kTail).run().stats;
    EXPECT_EQ(first.trace_hash, second.trace_hash) << "seed " << seed;
    EXPECT_EQ(first.events, second.events) << "seed " << seed;
    EXPECT_EQ(first.simulated_us, second.simulated_us) << "seed " << seed;
    options.seed = seed + 1;
    EXPECT_NE(first.trace_hash, Cluster(options, Trace::Text::kNone).run().stats.trace_hash) << "seed " << seed;
  }
}

// A longer run begins with the shorter one: --steps cuts a failure short without changing what led to it.
TEST(Simulation, Steps_only_say_when_the_faults_stop) {
  SimOptions options;
  options.seed = 5;
  EXPECT_EQ(describe(draw_options(options)).substr(40), [&] {
    SimOptions longer = options;
    longer.steps = 99'999;
    return describe(draw_options(longer)).substr(40);
  }());
}

// What is never reached is never tested: over some seeds everything that the simulator can do must have been done.
TEST(Simulation, Reaches_what_it_is_for) {
  Counters sum;
  RunStats totals;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SimOptions options;
    options.seed = seed;
    const Finding finding = run_in_child(options, false);
    const Counters& c = finding.stats.counters;
    sum.entries_applied += c.entries_applied;
    sum.crashes += c.crashes;
    sum.writes_lost += c.writes_lost;
    sum.pauses += c.pauses;
    sum.partitions += c.partitions;
    sum.compactions += c.compactions;
    sum.snapshots_installed += c.snapshots_installed;
    sum.snapshots_failed += c.snapshots_failed;
    sum.installs_interrupted += c.installs_interrupted;
    sum.configurations += c.configurations;
    sum.joint_configurations += c.joint_configurations;
    sum.transfers += c.transfers;
    sum.writes_proposed_again += c.writes_proposed_again;
    totals.leaders += finding.stats.leaders;
    totals.committed += finding.stats.committed;
    totals.writes_acknowledged += finding.stats.writes_acknowledged;
    totals.reads_answered += finding.stats.reads_answered;
  }
  EXPECT_GT(totals.leaders, 300u);
  EXPECT_GT(totals.committed, 10'000u);
  EXPECT_GT(totals.writes_acknowledged, 5'000u);
  EXPECT_GT(totals.reads_answered, 2'000u);
  EXPECT_GT(sum.entries_applied, 30'000u);
  EXPECT_GT(sum.crashes, 500u);
  EXPECT_GT(sum.writes_lost, 100u);
  EXPECT_GT(sum.writes_proposed_again, 100u);
  EXPECT_GT(sum.pauses, 100u);
  EXPECT_GT(sum.partitions, 100u);
  EXPECT_GT(sum.compactions, 500u);
  EXPECT_GT(sum.snapshots_installed, 50u);
  EXPECT_GT(sum.snapshots_failed, 5u);
  EXPECT_GT(sum.installs_interrupted, 2u);
  EXPECT_GT(sum.configurations, 200u);
  EXPECT_GT(sum.joint_configurations, 50u);
  EXPECT_GT(sum.transfers, 50u);
}

}  // namespace
}  // namespace kv::sim
