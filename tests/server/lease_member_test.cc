// Leases as members serve them, alone and three together.
#include <gtest/gtest.h>

#include <chrono>

#include "members_fixture.h"

namespace kv::server {
namespace {

using namespace etcdserverpb;

Answer<LeaseGrantResponse> grant(Member& member, int64_t ttl_s, int64_t id = 0) {
  LeaseGrantRequest request;
  request.set_ttl(ttl_s);
  request.set_id(id);
  return call(member, &Member::lease_grant, request);
}

Answer<LeaseKeepAliveResponse> keep_alive(Member& member, int64_t id) {
  LeaseKeepAliveRequest request;
  request.set_id(id);
  return call(member, &Member::lease_keep_alive, request);
}

Answer<LeaseTimeToLiveResponse> time_to_live(Member& member, int64_t id, bool keys = false) {
  LeaseTimeToLiveRequest request;
  request.set_id(id);
  request.set_keys(keys);
  return call(member, &Member::lease_time_to_live, request);
}

Answer<LeaseRevokeResponse> revoke(Member& member, int64_t id) {
  LeaseRevokeRequest request;
  request.set_id(id);
  return call(member, &Member::lease_revoke, request);
}

Answer<PutResponse> put_leased(Member& member, const std::string& key, int64_t lease) {
  PutRequest request;
  request.set_key(key);
  request.set_value("v");
  request.set_lease(lease);
  return call(member, &Member::put, request);
}

std::vector<int64_t> leases(Member& member) {
  const auto answer = call(member, &Member::lease_leases, LeaseLeasesRequest());
  EXPECT_TRUE(answer.status.ok()) << answer.status.to_string();
  std::vector<int64_t> ids;
  for (const auto& lease : answer.response.leases()) ids.push_back(lease.id());
  return ids;
}

class LoneLeases : public LoneMember {};

TEST_P(LoneLeases, Are_granted_in_etcds_words) {
  const auto member = start_and_wait();
  const auto granted = grant(*member, 60, 7);
  ASSERT_TRUE(granted.status.ok()) << granted.status.to_string();
  EXPECT_EQ(granted.response.id(), 7);
  EXPECT_EQ(granted.response.ttl(), 60);
  EXPECT_EQ(granted.response.header().revision(), 1);
  EXPECT_EQ(granted.response.header().member_id(), member->id());
  EXPECT_EQ(grant(*member, 60, 7).status, Status(Code::kFailedPrecondition, "etcdserver: lease already exists"));
  EXPECT_EQ(grant(*member, 9'000'000'001).status, Status(Code::kOutOfRange, "etcdserver: too large lease TTL"));
  EXPECT_EQ(revoke(*member, 8).status, Status(Code::kNotFound, "etcdserver: requested lease not found"));
  EXPECT_EQ(put_leased(*member, "k", 8).status, Status(Code::kNotFound, "etcdserver: requested lease not found"));
  const auto drawn = grant(*member, 0);
  ASSERT_TRUE(drawn.status.ok());
  EXPECT_GT(drawn.response.id(), 0);
  EXPECT_EQ(drawn.response.ttl(), 1) << "at least one and a half of this member's election timeouts of 500 ms";
  EXPECT_EQ(keep_alive(*member, 99).response.ttl(), 0);
  EXPECT_TRUE(keep_alive(*member, 99).status.ok()) << "a lease that is gone is no error of a keep-alive";
  EXPECT_EQ(time_to_live(*member, 99).response.ttl(), -1);
}

TEST_P(LoneLeases, End_with_their_keys_and_not_before_their_time) {
  const auto member = start_and_wait();
  const auto begin = std::chrono::steady_clock::now();
  const int64_t id = grant(*member, 1).response.id();
  ASSERT_TRUE(put_leased(*member, "a", id).status.ok());
  ASSERT_TRUE(put_leased(*member, "b", id).status.ok());
  const auto life = time_to_live(*member, id, true);
  EXPECT_EQ(life.response.grantedttl(), 1);
  ASSERT_EQ(life.response.keys_size(), 2);
  EXPECT_EQ(life.response.keys(0), "a");
  ASSERT_TRUE(eventually([&] { return get(*member, "a").response.kvs_size() == 0; }));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  EXPECT_EQ(get(*member, "b").response.kvs_size(), 0);
  EXPECT_EQ(get(*member, "b").response.header().revision(), 4) << "both in one revision";
  EXPECT_TRUE(leases(*member).empty());
}

TEST_P(LoneLeases, Are_kept_alive) {
  const auto member = start_and_wait();
  auto last = std::chrono::steady_clock::now();
  const int64_t id = grant(*member, 1).response.id();
  const auto until = last + std::chrono::milliseconds(2500);
  while (last < until) {
    const auto asked = std::chrono::steady_clock::now();
    const auto answer = keep_alive(*member, id);
    ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
    if (answer.response.ttl() == 0) {
      // Right only when this machine was held up for the lease's whole second.
      ASSERT_GE(std::chrono::steady_clock::now() - last, std::chrono::seconds(1));
      return;
    }
    EXPECT_EQ(answer.response.ttl(), 1);
    EXPECT_EQ(answer.response.id(), id);
    last = asked;
  }
  EXPECT_EQ(leases(*member), std::vector<int64_t>{id});
}

TEST_P(LoneLeases, Outlive_a_restart) {
  {
    const auto member = start_and_wait();
    ASSERT_TRUE(grant(*member, 600, 5).status.ok());
    ASSERT_TRUE(grant(*member, 1, 6).status.ok());
    ASSERT_TRUE(put_leased(*member, "long", 5).status.ok());
    ASSERT_TRUE(put_leased(*member, "short", 6).status.ok());
    member->stop(100);
  }
  const auto member = start_and_wait();
  EXPECT_EQ(keep_alive(*member, 5).response.ttl(), 600);
  ASSERT_TRUE(eventually([&] { return get(*member, "short").response.kvs_size() == 0; }));
  EXPECT_EQ(get(*member, "long").response.kvs_size(), 1);
  EXPECT_EQ(leases(*member), std::vector<int64_t>{5});
}

TEST_P(LoneLeases, Keep_what_was_left_of_them_over_a_restart_until_a_keep_alive) {
  options_.lease_checkpoint_interval_ms = 300;
  {
    const auto member = start_and_wait();
    ASSERT_TRUE(grant(*member, 600, 5).status.ok());
    // Some checkpoints later. A rest is whole seconds, so it takes two at least.
    ASSERT_TRUE(eventually([&] { return time_to_live(*member, 5).response.ttl() < 598; }));
    member->stop(100);
  }
  options_.lease_checkpoint_interval_ms = 300'000;
  const auto member = start_and_wait();
  EXPECT_LT(time_to_live(*member, 5).response.ttl(), 600);
  const auto kept = keep_alive(*member, 5);
  ASSERT_TRUE(kept.status.ok()) << kept.status.to_string();
  EXPECT_EQ(kept.response.ttl(), 600);
  EXPECT_GE(time_to_live(*member, 5).response.ttl(), 595);
}

TEST_P(LoneLeases, Calls_after_a_stop_are_refused) {
  const auto member = start_and_wait();
  member->stop(0);
  EXPECT_EQ(keep_alive(*member, 5).status, Status(Code::kUnavailable, "etcdserver: server stopped"));
  EXPECT_EQ(time_to_live(*member, 5).status, Status(Code::kUnavailable, "etcdserver: server stopped"));
}

INSTANTIATE_TEST_SUITE_P(PipelineThreads, LoneLeases, testing::Values(1, 3));

TEST_F(ThreeMembers, Every_member_answers_for_leases) {
  const int64_t id = grant(*members_[0], 600).response.id();
  ASSERT_TRUE(put_leased(*members_[1], "k", id).status.ok());
  for (const auto& member : members_) {
    const auto kept = keep_alive(*member, id);
    ASSERT_TRUE(kept.status.ok()) << kept.status.to_string();
    EXPECT_EQ(kept.response.ttl(), 600);
    EXPECT_EQ(kept.response.header().member_id(), member->id()) << "the member that was asked answers";
    const auto life = time_to_live(*member, id, true);
    ASSERT_TRUE(life.status.ok()) << life.status.to_string();
    EXPECT_GE(life.response.ttl(), 590);
    EXPECT_EQ(life.response.keys_size(), 1);
    EXPECT_EQ(keep_alive(*member, 12345).response.ttl(), 0);
    EXPECT_EQ(leases(*member), std::vector<int64_t>{id});
  }
  ASSERT_TRUE(revoke(*members_[2], id).status.ok());
  for (const auto& member : members_) {
    EXPECT_EQ(keep_alive(*member, id).response.ttl(), 0);
    EXPECT_EQ(get(*member, "k").response.kvs_size(), 0);
  }
}

TEST_F(ThreeMembers, Keep_alives_on_a_follower_outlive_their_leader) {
  const size_t old = leader_place();
  const size_t follower = (old + 1) % 3;
  const int64_t id = grant(*members_[follower], 3600).response.id();
  ASSERT_EQ(keep_alive(*members_[follower], id).response.ttl(), 3600);
  // Asked for while there is nobody to answer: the answer is the next leader's.
  members_[old].reset();
  const auto kept = keep_alive(*members_[follower], id);
  ASSERT_TRUE(kept.status.ok()) << kept.status.to_string();
  EXPECT_EQ(kept.response.ttl(), 3600);
  EXPECT_GE(time_to_live(*members_[follower], id).response.ttl(), 3500);
}

TEST_F(ThreeMembers, A_lease_ends_under_the_next_leader_too) {
  const size_t old = leader_place();
  const int64_t id = grant(*members_[old], 2).response.id();
  ASSERT_TRUE(put_leased(*members_[old], "k", id).status.ok());
  members_[old].reset();
  const size_t other = (old + 1) % 3;
  EXPECT_TRUE(eventually([&] { return get(*members_[other], "k").response.kvs_size() == 0; }, 30));
}

TEST_F(ThreeMembers, Without_a_quorum_nobody_answers_keep_alives) {
  const int64_t id = grant(*members_[0], 3600).response.id();
  const size_t left = leader_place();
  for (size_t i = 0; i < 3; ++i)
    if (i != left) members_[i].reset();
  // Still leader by its own lights, at first.
  EXPECT_EQ(keep_alive(*members_[left], id).status.code(), Code::kUnavailable);
  ASSERT_TRUE(eventually([&] { return members_[left]->leader() == 0; }));
  auto context = std::make_shared<InlineCall>();
  context->has_leader = true;
  LeaseKeepAliveRequest request;
  request.set_id(id);
  EXPECT_EQ(call(*members_[left], &Member::lease_keep_alive, request, context).status,
            Status(Code::kUnavailable, "etcdserver: no leader"));
}

}  // namespace
}  // namespace kv::server
