#include "server/stages.h"

#include <gtest/gtest.h>

#include <future>

namespace kv::server {
namespace {

LogWrite write_of(uint64_t number, uint64_t first, int count, bool sync = true) {
  LogWrite write{.number = number, .sync = sync};
  for (int i = 0; i < count; ++i)
    write.entries.push_back({raft::Index(first + static_cast<uint64_t>(i)), raft::Term(1)});
  return write;
}

TEST(Join, Consecutive_writes_share_one_sync) {
  std::vector<LogWrite> writes;
  writes.push_back(write_of(1, 1, 2));
  writes.push_back(write_of(2, 3, 1));
  writes.back().hard_state = raft::HardState{raft::Term(4), raft::NodeId(1), raft::Index(2)};
  const auto joined = join(std::move(writes));
  ASSERT_EQ(joined.size(), 1u);
  EXPECT_EQ(joined[0].number, 2u);
  EXPECT_EQ(joined[0].entries.size(), 3u);
  EXPECT_EQ(joined[0].hard_state->term, raft::Term(4));
}

TEST(Join, A_write_that_replaces_entries_begins_a_new_one) {
  std::vector<LogWrite> writes;
  writes.push_back(write_of(1, 1, 3));
  writes.push_back(write_of(2, 2, 1));
  EXPECT_EQ(join(std::move(writes)).size(), 2u);
}

TEST(Join, A_sync_is_never_lost) {
  std::vector<LogWrite> writes;
  writes.push_back(write_of(1, 1, 1, true));
  writes.push_back(write_of(2, 2, 0, false));
  const auto joined = join(std::move(writes));
  ASSERT_EQ(joined.size(), 1u);
  EXPECT_TRUE(joined[0].sync);
}

TEST(Stage, Works_off_what_waits_before_it_ends) {
  for (const bool own_thread : {false, true}) {
    int sum = 0;
    {
      Stage<int> stage("test", own_thread, [&sum](std::vector<int>&& items) {
        for (const int i : items) sum += i;
      });
      for (int i = 1; i <= 100; ++i) stage.push(int{i});
    }
    EXPECT_EQ(sum, 5050);
  }
}

}  // namespace
}  // namespace kv::server
