#include "server/transfers.h"

#include <gtest/gtest.h>

namespace kv::server {
namespace {

TEST(Transfers, Ends_when_the_target_leads) {
  Transfers transfers;
  int calls = 0;
  Status last;
  const auto over = [&](Status status) {
    ++calls;
    last = std::move(status);
  };
  transfers.wait_for(2, 100, over);
  transfers.leader_is(3);
  EXPECT_EQ(calls, 0);
  transfers.leader_is(2);
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(last.ok());
  transfers.expire(1000);
  EXPECT_EQ(calls, 1);
}

TEST(Transfers, A_wait_for_change_ends_with_any_other_leader) {
  Transfers transfers;
  int calls = 0;
  transfers.wait_for_change(1, 100, [&](const Status&) { ++calls; });
  transfers.leader_is(1);
  EXPECT_EQ(calls, 0);
  transfers.leader_is(3);
  EXPECT_EQ(calls, 1);
}

TEST(Transfers, Time_and_close_end_what_waits) {
  Transfers transfers;
  std::vector<Status> ends;
  transfers.wait_for(2, 100, [&](Status status) { ends.push_back(std::move(status)); });
  transfers.wait_for(2, 200, [&](Status status) { ends.push_back(std::move(status)); });
  transfers.expire(100);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].text(), "etcdserver: request timed out");
  transfers.close();
  ASSERT_EQ(ends.size(), 2u);
  transfers.wait_for(2, 300, [&](Status status) { ends.push_back(std::move(status)); });
  EXPECT_EQ(ends.size(), 3u) << "after close() a wait ends at once";
}

}  // namespace
}  // namespace kv::server
