// Leases against real servers, also while these die or hang.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <condition_variable>
#include <future>
#include <mutex>

#include "client/servers.h"

namespace kv::client {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr auto kPatience = 30s;

class ClientLease : public testing::TestWithParam<std::string> {};

// Counts keep-alives that were answered, and lets a test wait for more.
class Heartbeats {
 public:
  void beat() {
    const std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  bool wait_more(int more) {
    std::unique_lock lock(mutex_);
    const int goal = count_ + more;
    return changed_.wait_for(lock, kPatience, [&] { return count_ >= goal; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

TEST_P(ClientLease, Grant_list_time_to_live_and_revoke) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  const auto chosen = client->lease_grant(100, 0x1234);
  ASSERT_TRUE(chosen.ok()) << chosen.status().to_string();
  EXPECT_EQ(chosen->id, 0x1234);
  EXPECT_EQ(chosen->ttl_s, 100);
  EXPECT_EQ(client->lease_grant(100, 0x1234).status().text(), "etcdserver: lease already exists");
  const auto other = client->lease_grant(200);
  ASSERT_TRUE(other.ok());
  const auto list = client->lease_list();
  ASSERT_TRUE(list.ok());
  EXPECT_THAT(list->ids, testing::UnorderedElementsAre(0x1234, other->id));

  ASSERT_TRUE(client->put("a", "1", {.lease = 0x1234}).ok());
  ASSERT_TRUE(client->put("b", "1", {.lease = 0x1234}).ok());
  const auto left = client->lease_time_to_live(0x1234, true);
  ASSERT_TRUE(left.ok());
  EXPECT_EQ(left->granted_ttl_s, 100);
  EXPECT_THAT(left->ttl_s, testing::AllOf(testing::Gt(60), testing::Le(100)));
  EXPECT_THAT(left->keys, testing::UnorderedElementsAre("a", "b"));
  EXPECT_EQ(client->lease_keep_alive_once(0x1234)->ttl_s, 100);

  ASSERT_TRUE(client->lease_revoke(0x1234).ok());
  EXPECT_TRUE(client->get("a")->kvs.empty());
  EXPECT_EQ(client->lease_revoke(0x1234).status(), Status(Code::kNotFound, "etcdserver: requested lease not found"));
  EXPECT_EQ(client->lease_keep_alive_once(0x1234).status(),
            Status(Code::kNotFound, "etcdserver: requested lease not found"));
  EXPECT_EQ(client->lease_time_to_live(0x1234)->ttl_s, -1);
}

TEST_P(ClientLease, Kept_alive_lease_outlives_its_ttl_and_an_unkept_one_does_not) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  const auto kept = client->lease_grant(2);
  const auto unkept = client->lease_grant(2);
  ASSERT_TRUE(kept.ok() && unkept.ok());
  ASSERT_TRUE(client->put("kept", "1", {.lease = kept->id}).ok());
  ASSERT_TRUE(client->put("unkept", "1", {.lease = unkept->id}).ok());
  Watcher watcher = client->watch("unkept", {.no_put = true});
  Heartbeats heartbeats;
  const KeepAlive alive = client->keep_alive(
      kept->id, {.ttl_s = kept->ttl_s, .on_alive = [&](const LeaseKeepAliveResponse&) { heartbeats.beat(); }});
  ASSERT_TRUE(watcher.next(at_most(kPatience)).ok());
  EXPECT_TRUE(heartbeats.wait_more(1));
  EXPECT_FALSE(alive.lost());
  EXPECT_EQ(client->get("kept")->kvs.size(), 1u);
}

TEST_P(ClientLease, Keep_alives_come_at_each_third_of_the_ttl) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  const auto granted = client->lease_grant(3);
  Heartbeats heartbeats;
  const auto begin = steady_clock::now();
  const KeepAlive alive = client->keep_alive(
      granted->id, {.ttl_s = 3, .on_alive = [&](const LeaseKeepAliveResponse&) { heartbeats.beat(); }});
  ASSERT_TRUE(heartbeats.wait_more(4));  // at 0, 1, 2 and 3 s
  EXPECT_GE(steady_clock::now() - begin, 2900ms) << "more often than it should";
}

TEST_P(ClientLease, Revoked_lease_is_lost_with_the_next_keep_alive) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  const auto granted = client->lease_grant(3);
  ASSERT_TRUE(granted.ok());
  std::promise<Status> told;
  const KeepAlive alive =
      client->keep_alive(granted->id, {.ttl_s = 3, .on_lost = [&](const Status& why) { told.set_value(why); }});
  ASSERT_TRUE(client->lease_revoke(granted->id).ok());
  ASSERT_TRUE(alive.wait_lost(at_most(kPatience)).ok());
  EXPECT_EQ(told.get_future().get(), Status(Code::kNotFound, "etcdserver: requested lease not found"));
  EXPECT_TRUE(alive.lost());
  EXPECT_EQ(alive.why_lost()->code(), Code::kNotFound);
}

TEST_P(ClientLease, Unanswered_for_a_ttl_is_lost_and_not_later) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  const auto granted = client->lease_grant(3);
  Heartbeats heartbeats;
  const KeepAlive alive = client->keep_alive(
      granted->id, {.ttl_s = 3, .on_alive = [&](const LeaseKeepAliveResponse&) { heartbeats.beat(); }});
  ASSERT_TRUE(heartbeats.wait_more(1));
  servers.cluster.process(0).signal(SIGSTOP);
  const auto begin = steady_clock::now();
  ASSERT_TRUE(alive.wait_lost(at_most(kPatience)).ok());
  const auto took = steady_clock::now() - begin;
  EXPECT_EQ(alive.why_lost()->code(), Code::kDeadlineExceeded) << alive.why_lost()->to_string();
  EXPECT_LT(took, 3500ms);
  EXPECT_GT(took, 1000ms);
  servers.cluster.process(0).signal(SIGCONT);
}

TEST_P(ClientLease, Killed_leader_does_not_cost_the_lease) {
  Servers servers(GetParam(), 3);
  const auto client = servers.client();
  const auto granted = client->lease_grant(5);
  ASSERT_TRUE(granted.ok()) << granted.status().to_string();
  ASSERT_TRUE(client->put("k", "1", {.lease = granted->id}).ok());
  Heartbeats heartbeats;
  const KeepAlive alive = client->keep_alive(
      granted->id, {.ttl_s = 5, .on_alive = [&](const LeaseKeepAliveResponse&) { heartbeats.beat(); }});
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(heartbeats.wait_more(1));
    servers.kill_leader_and_restart();
    ASSERT_TRUE(heartbeats.wait_more(2)) << "lost: " << alive.why_lost().value_or(Status()).to_string();
  }
  EXPECT_FALSE(alive.lost());
  EXPECT_EQ(client->get("k")->kvs.size(), 1u);
}

TEST_P(ClientLease, Hanging_member_is_left_for_another) {
  Servers servers(GetParam(), 3);
  const auto leader = servers.cluster.wait_leader();
  ASSERT_TRUE(leader.has_value());
  const int hangs = (*leader + 1) % 3;
  const auto client = connect({servers.cluster.endpoint(hangs), servers.cluster.endpoint(*leader)});
  const auto granted = client->lease_grant(6);
  ASSERT_TRUE(granted.ok());
  Heartbeats heartbeats;
  const KeepAlive alive = client->keep_alive(
      granted->id, {.ttl_s = 6, .on_alive = [&](const LeaseKeepAliveResponse&) { heartbeats.beat(); }});
  ASSERT_TRUE(heartbeats.wait_more(1));
  servers.cluster.process(hangs).signal(SIGSTOP);
  EXPECT_TRUE(heartbeats.wait_more(3));
  EXPECT_FALSE(alive.lost());
  servers.cluster.process(hangs).signal(SIGCONT);
}

INSTANTIATE_TEST_SUITE_P(Servers, ClientLease, kinds(), [](const auto& i) { return i.param; });

}  // namespace
}  // namespace kv::client
