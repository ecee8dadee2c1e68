#include "server/member_stats.h"

#include <gtest/gtest.h>

namespace kv::server {
namespace {

std::vector<raft::PeerStats> peer(uint64_t appends, uint64_t bytes) {
  raft::PeerStats stats;
  stats.id = raft::NodeId(2);
  stats.sent_appends = appends;
  stats.sent_bytes = bytes;
  stats.received_appends = appends / 2;
  stats.received_bytes = bytes / 2;
  return {stats};
}

TEST(MemberStats, Rates_are_those_of_the_last_period) {
  StatsKeeper keeper(1'000'000, 0);
  keeper.sample(peer(100, 4000), 0);
  EXPECT_EQ(keeper.read(peer(100, 4000), 10).sent.appends_per_second, 0);
  keeper.sample(peer(999, 9999), 500);  // too soon
  keeper.sample(peer(500, 8000), 2000);
  const MemberStats stats = keeper.read(peer(600, 9000), 2010);
  EXPECT_EQ(stats.sent.appends, 600u);
  EXPECT_EQ(stats.sent.appends_per_second, 200);
  EXPECT_EQ(stats.sent.bytes_per_second, 2000);
  EXPECT_EQ(stats.received.appends, 300u);
  EXPECT_EQ(stats.received.appends_per_second, 100);
  // A peer that was removed takes its numbers along, and comes back with none.
  keeper.sample({}, 3000);
  EXPECT_EQ(keeper.read({}, 3000).sent.appends_per_second, 0);
  EXPECT_EQ(keeper.read({}, 3000).sent.appends, 0u);
  keeper.sample(peer(10, 10), 4000);
  EXPECT_EQ(keeper.read(peer(10, 10), 4000).sent.appends_per_second, 10);
}

TEST(MemberStats, A_leader_counts_from_when_it_is_known) {
  StatsKeeper keeper(1'000'000, 0);
  keeper.leader_is(7, 1'000'500, 500);
  keeper.leader_is(7, 1'000'900, 900);  // a role has changed
  const MemberStats stats = keeper.read({}, 2000);
  EXPECT_EQ(stats.started_ms, 1'000'000);
  EXPECT_EQ(stats.leader, 7u);
  EXPECT_EQ(stats.leader_since_ms, 1'000'500);
  EXPECT_EQ(stats.leader_for_ms, 1500);
  keeper.leader_is(0, 1'003'000, 3000);
  EXPECT_EQ(keeper.read({}, 3000).leader, 0u);
}

}  // namespace
}  // namespace kv::server
