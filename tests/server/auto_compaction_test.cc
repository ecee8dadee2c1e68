#include "server/auto_compaction.h"

#include <gtest/gtest.h>

namespace kv::server {
namespace {

constexpr int64_t kSecond = 1000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;

AutoCompactionPolicy periodic(int64_t retention_ms) {
  return {AutoCompactionPolicy::Mode::kPeriodic, retention_ms};
}
AutoCompactionPolicy by_revision(int64_t revisions) { return {AutoCompactionPolicy::Mode::kRevision, revisions}; }

TEST(AutoCompaction, Zero_never_compacts) {
  AutoCompaction off(periodic(0), 0);
  EXPECT_EQ(off.next_ms(), INT64_MAX);
  EXPECT_EQ(off.poll(100 * kHour, 1000, true), 0);
}

TEST(AutoCompaction, Periodic_compacts_to_what_was_current_a_period_ago) {
  AutoCompaction five(periodic(5 * kMinute), 0);
  // Revision n at n seconds.
  int64_t first_ms = 0;
  for (int64_t now = 0; now <= 20 * kMinute; now += kSecond) {
    const int64_t target = five.poll(now, now / kSecond, true);
    if (target == 0) continue;
    if (first_ms == 0) first_ms = now;
    const int64_t age_ms = now - target * kSecond;
    EXPECT_GE(age_ms, 5 * kMinute) << "nothing younger than the retention may go";
    EXPECT_LE(age_ms, 5 * kMinute + 31 * kSecond) << "a tenth of the period late at most";
    five.ended(now, true);
  }
  EXPECT_GE(first_ms, 5 * kMinute);
  EXPECT_LE(first_ms, 5 * kMinute + 31 * kSecond);
}

TEST(AutoCompaction, Long_periods_compact_hourly) {
  AutoCompaction day(periodic(24 * kHour), 0);
  std::vector<int64_t> times;
  for (int64_t now = 0; now <= 30 * kHour; now += kMinute) {
    if (day.poll(now, 10 + now / kMinute, true) != 0) {
      times.push_back(now);
      day.ended(now, true);
    }
  }
  ASSERT_EQ(times.size(), 7u);
  EXPECT_EQ(times[0], 24 * kHour);
  for (size_t i = 1; i < times.size(); ++i) EXPECT_EQ(times[i] - times[i - 1], kHour);
}

TEST(AutoCompaction, Does_not_compact_to_the_same_revision_twice) {
  AutoCompaction five(periodic(5 * kMinute), 0);
  int count = 0;
  for (int64_t now = 0; now <= kHour; now += kSecond) {
    if (five.poll(now, 7, true) == 0) continue;
    ++count;
    five.ended(now, true);
  }
  EXPECT_EQ(count, 1);
}

TEST(AutoCompaction, Tries_again_after_a_failure_and_not_while_one_runs) {
  AutoCompaction ten(periodic(10 * kSecond), 0);
  int64_t now = 0;
  int64_t target = 0;
  for (; target == 0; now += 100) target = ten.poll(now, now, true);
  for (int i = 0; i < 50; ++i, now += 100) EXPECT_EQ(ten.poll(now, now, true), 0) << "one runs";
  ten.ended(now, false);
  int64_t again = 0;
  const int64_t failed_ms = now;
  for (; again == 0; now += 100) again = ten.poll(now, now, true);
  EXPECT_LE(now - failed_ms, 1200);
  EXPECT_GT(again, target);
}

TEST(AutoCompaction, A_new_leader_knows_what_it_saw_as_a_follower) {
  AutoCompaction five(periodic(5 * kMinute), 0);
  int64_t now = 0;
  for (; now < 10 * kMinute; now += kSecond) EXPECT_EQ(five.poll(now, now, false), 0);
  int64_t target = 0;
  for (; target == 0; now += kSecond) target = five.poll(now, now, true);
  EXPECT_LE(now, 10 * kMinute + 31 * kSecond);
  EXPECT_GT(target, 4 * kMinute);
}

TEST(AutoCompaction, By_revision_keeps_so_many_and_looks_every_five_minutes) {
  AutoCompaction keep(by_revision(1000), 0);
  EXPECT_EQ(keep.poll(0, 5000, true), 0);
  EXPECT_EQ(keep.poll(5 * kMinute - 1, 5000, true), 0);
  EXPECT_EQ(keep.poll(5 * kMinute, 6000, true), 5000);
  keep.ended(5 * kMinute, true);
  EXPECT_EQ(keep.poll(10 * kMinute, 6000, true), 0) << "nothing new";
  EXPECT_EQ(keep.poll(15 * kMinute, 6001, true), 5001);
}

TEST(AutoCompaction, Leaves_a_store_alone_that_nobody_has_written_to) {
  AutoCompaction five(periodic(5 * kMinute), 0);
  for (int64_t now = 0; now < kHour; now += kMinute) EXPECT_EQ(five.poll(now, 1, true), 0);
}

TEST(AutoCompaction, By_revision_leaves_a_young_store_alone) {
  AutoCompaction keep(by_revision(1000), 0);
  for (int64_t now = 0; now < kHour; now += kMinute) EXPECT_EQ(keep.poll(now, 900, true), 0);
}

}  // namespace
}  // namespace kv::server
