#include "server/log_truncation.h"

#include <gtest/gtest.h>

namespace kv::server {
namespace {

using raft::Index;

constexpr uint64_t kMiB = 1 << 20;

LogTruncation::Options small() {
  LogTruncation::Options options;
  options.snapshot_count = 100;
  options.catchup_entries = 50;
  options.max_bytes = 64 * kMiB;
  options.catchup_bytes = 32 * kMiB;
  options.held_entries = 1000;
  options.held_bytes = 128 * kMiB;
  return options;
}

// A log that began at the beginning and has entries of that size.
LogTruncation log_of(uint64_t entries, uint64_t bytes_each, const LogTruncation::Options& options = small()) {
  LogTruncation log(options, Index(1), Index(0), 0);
  for (uint64_t i = 1; i <= entries; ++i) log.appended(Index(i), Index(i), bytes_each);
  return log;
}

LogTruncation::Place place(uint64_t applied, uint64_t durable, std::optional<Index> needed_after = std::nullopt) {
  return {Index(1), Index(applied), Index(durable), needed_after};
}

TEST(LogTruncation, Leaves_a_short_log_alone) {
  const LogTruncation log = log_of(149, 100);
  EXPECT_FALSE(log.due(Index(1), Index(149)));
  EXPECT_EQ(log.cut(place(149, 149)), std::nullopt);
  EXPECT_FALSE(log.wants_flush(place(149, 0)));
}

TEST(LogTruncation, Keeps_the_catch_up_entries_behind_what_is_applied) {
  const LogTruncation log = log_of(150, 100);
  EXPECT_TRUE(log.due(Index(1), Index(150)));
  EXPECT_EQ(log.cut(place(150, 150)), Index(100));
}

TEST(LogTruncation, Counts_what_is_applied_and_not_what_is_in_the_log) {
  const LogTruncation log = log_of(1000, 100);
  EXPECT_EQ(log.cut(place(149, 149)), std::nullopt);
}

TEST(LogTruncation, Never_drops_what_the_state_has_not_on_disk) {
  const LogTruncation log = log_of(400, 100);
  EXPECT_EQ(log.cut(place(400, 0)), std::nullopt);
  EXPECT_EQ(log.cut(place(400, 200)), Index(150));
  // A log of few and large entries: even where bytes would ask for more.
  const LogTruncation large = log_of(400, kMiB);
  EXPECT_EQ(large.cut(place(400, 200)), Index(200));
}

TEST(LogTruncation, Asks_for_a_flush_only_when_that_is_what_holds_it_back) {
  const LogTruncation log = log_of(400, 100);
  EXPECT_TRUE(log.wants_flush(place(400, 200)));
  EXPECT_FALSE(log.wants_flush(place(400, 350)));
}

TEST(LogTruncation, Large_entries_are_cut_by_their_bytes) {
  const LogTruncation log = log_of(70, kMiB);
  EXPECT_TRUE(log.due(Index(1), Index(70)));
  const auto cut = log.cut(place(70, 70));
  ASSERT_TRUE(cut);
  EXPECT_EQ(*cut, Index(38));
  EXPECT_LE(log.bytes_after(*cut), 32 * kMiB);
}

TEST(LogTruncation, A_follower_that_is_a_little_behind_keeps_its_entries) {
  const LogTruncation log = log_of(400, 100);
  EXPECT_EQ(log.cut(place(400, 400, Index(300))), Index(300));
  EXPECT_EQ(log.cut(place(400, 400, Index(380))), Index(350)) << "it holds nothing that would go anyway";
}

TEST(LogTruncation, A_follower_that_is_far_behind_is_cut_off) {
  const LogTruncation by_entries = log_of(1500, 100);
  EXPECT_EQ(by_entries.cut(place(1500, 1500, Index(7))), Index(500));
  const LogTruncation by_bytes = log_of(200, kMiB);
  EXPECT_EQ(by_bytes.cut(place(200, 200, Index(7))), Index(72));
}

TEST(LogTruncation, Does_not_cut_a_few_entries_at_a_time_while_somebody_holds_the_rest) {
  const LogTruncation log = log_of(400, 100);
  EXPECT_EQ(log.cut(place(400, 400, Index(24))), std::nullopt);
  EXPECT_EQ(log.cut(place(400, 400, Index(25))), Index(25));
}

TEST(LogTruncation, Knows_the_bytes_of_what_is_left_after_a_cut) {
  LogTruncation log = log_of(100, kMiB);
  log.began_after(Index(60));
  EXPECT_EQ(log.bytes_after(Index(60)), 40 * kMiB);
  EXPECT_FALSE(log.due(Index(61), Index(100)));
}

TEST(LogTruncation, Replaced_entries_are_not_counted_twice) {
  LogTruncation log = log_of(100, kMiB);
  log.appended(Index(51), Index(60), 10 * kMiB);
  EXPECT_EQ(log.bytes_after(Index(0)), 60 * kMiB);
}

TEST(LogTruncation, A_snapshot_beyond_the_log_leaves_nothing) {
  LogTruncation log = log_of(100, kMiB);
  log.began_after(Index(5000));
  EXPECT_EQ(log.bytes_after(Index(5000)), 0u);
  log.appended(Index(5001), Index(5001), kMiB);
  EXPECT_EQ(log.bytes_after(Index(5000)), kMiB);
}

TEST(LogTruncation, Spreads_the_bytes_of_a_log_that_it_finds) {
  const LogTruncation log(small(), Index(101), Index(300), 100 * kMiB);
  EXPECT_EQ(log.bytes_after(Index(100)), 100 * kMiB);
  EXPECT_NEAR(static_cast<double>(log.bytes_after(Index(200))), 50.0 * kMiB, 2.0 * kMiB);
  EXPECT_TRUE(log.due(Index(101), Index(300)));
}

TEST(LogTruncation, Small_entries_do_not_each_take_memory_for_a_mark) {
  LogTruncation log = log_of(100'000, 10);
  EXPECT_EQ(log.bytes_after(Index(0)), 1'000'000u);
  EXPECT_LE(log.bytes_after(Index(99'999)), kMiB);
}

}  // namespace
}  // namespace kv::server
