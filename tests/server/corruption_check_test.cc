// Members whose states differ are found, named, and stopped; members that are only slow are not.
#include "server/corruption_check.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/log.h"
#include "members_fixture.h"
#include "store/store.h"

namespace kv::server {
namespace {

using etcdserverpb::AlarmRequest;

// ---- who differs ----

MemberHash hash(uint64_t member, uint32_t value) { return {member, value}; }

TEST(WhoDiffers, Nobody_when_all_who_answered_agree) {
  EXPECT_TRUE(who_differs({}, 3).empty());
  EXPECT_TRUE(who_differs({hash(1, 5)}, 3).empty());
  EXPECT_TRUE(who_differs({hash(1, 5), hash(2, 5), hash(3, 5)}, 3).empty());
}

TEST(WhoDiffers, The_minority_is_named) {
  EXPECT_EQ(who_differs({hash(1, 5), hash(2, 5), hash(3, 6)}, 3), std::vector<uint64_t>{3});
  EXPECT_EQ(who_differs({hash(1, 6), hash(2, 5), hash(3, 5)}, 3), std::vector<uint64_t>{1}) << "the leader too";
  EXPECT_EQ(who_differs({hash(1, 5), hash(2, 5), hash(3, 5), hash(4, 6), hash(5, 7)}, 5),
            (std::vector<uint64_t>{4, 5}));
}

TEST(WhoDiffers, Without_a_majority_of_all_members_the_whole_cluster_is) {
  EXPECT_EQ(who_differs({hash(1, 5), hash(2, 6)}, 2), std::vector<uint64_t>{0});
  EXPECT_EQ(who_differs({hash(1, 5), hash(2, 6)}, 3), std::vector<uint64_t>{0}) << "the third did not answer";
  EXPECT_EQ(who_differs({hash(1, 5), hash(2, 5), hash(3, 6)}, 5), std::vector<uint64_t>{0});
}

TEST(WhoDiffers, Who_falls_short_differs_and_is_never_the_majority) {
  EXPECT_EQ(who_differs({hash(1, 5), hash(2, 5), {3, std::nullopt}}, 3), std::vector<uint64_t>{3});
  EXPECT_EQ(who_differs({hash(1, 5), {2, std::nullopt}, {3, std::nullopt}}, 3), std::vector<uint64_t>{0});
}

// ---- members ----

class CorruptionTest : public ThreeMembers {
 protected:
  CorruptionTest() : ThreeMembers([](MemberOptions& options) { options.corrupt_check_interval_ms = 200; }) {}

  static std::vector<etcdserverpb::AlarmMember> alarms(Member& member) { return member.alarms(); }

  // Changes the state of a stopped member behind the log's back, with one put beside the entries it has applied.
  void damage(size_t place) {
    auto store = store::Store::open({.path = options_[place].data_dir + "/state"});
    ASSERT_TRUE(store.ok()) << store.status().to_string();
    const auto batch = (*store)->begin();
    etcdserverpb::PutRequest request;
    request.set_key("k");
    request.set_value("of nobody");
    etcdserverpb::PutResponse response;
    ASSERT_TRUE(batch->put(request, &response).ok());
    ASSERT_TRUE(batch->commit((*store)->applied_index(), (*store)->applied_term()).ok());
  }

  void stop(size_t place) {
    members_[place]->stop(0);
    members_[place].reset();
  }

  size_t a_follower() const { return (leader_place() + 1) % 3; }
};

TEST_F(CorruptionTest, The_leader_finds_a_member_that_differs_and_names_it) {
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(put(*members_[leader_place()], "k", std::to_string(i)).status.ok());
  const size_t victim = a_follower();
  const uint64_t id = members_[victim]->id();
  stop(victim);
  damage(victim);
  members_[victim] = start(options_[victim]);
  // What is compared is history up to a revision of the leader's. A follower that had all of it before its damage has one
  // change beyond; the next write is the first that members have at different revisions. (Refused when it came too late.)
  ASSERT_TRUE(eventually([this] { return agreed_leader() != 0; }));
  (void)put(*members_[leader_place()], "after", "the damage");
  ASSERT_TRUE(eventually([&] { return !alarms(*members_[victim]).empty(); }, 20));
  const auto raised = alarms(*members_[victim]);
  ASSERT_EQ(raised.size(), 1u);
  EXPECT_EQ(raised[0].memberid(), id);
  EXPECT_EQ(raised[0].alarm(), etcdserverpb::CORRUPT);
  EXPECT_EQ(put(*members_[(victim + 1) % 3], "k", "v").status.text(), "etcdserver: corrupt cluster");
  EXPECT_EQ(get(*members_[victim], "k").status.text(), "etcdserver: corrupt cluster");
  EXPECT_TRUE(get(*members_[(victim + 1) % 3], "k").status.ok());
  // A status says so, in etcd's words.
  const auto status = call(*members_[victim], &Member::status, etcdserverpb::StatusRequest());
  ASSERT_EQ(status.response.errors_size(), 1);
  EXPECT_EQ(status.response.errors(0), "memberID:" + std::to_string(id) + " alarm:CORRUPT ");
}

TEST_F(CorruptionTest, Members_that_write_stop_and_compact_are_not_taken_for_corrupt) {
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(put(*members_[i % 3], "k", std::to_string(i)).status.ok());
    if (round % 4 == 0) {
      etcdserverpb::CompactionRequest compact;
      compact.set_revision(get(*members_[0], "k").response.header().revision());
      ASSERT_TRUE(call(*members_[round % 3], &Member::compact, compact).status.ok());
    }
    if (round == 10) {
      const size_t follower = a_follower();
      stop(follower);
      members_[follower] = start(options_[follower]);
      ASSERT_TRUE(eventually([this] { return agreed_leader() != 0; }));
    }
    for (const auto& member : members_) ASSERT_TRUE(alarms(*member).empty());
  }
  // At least one comparison more, of all at rest.
  const auto& leader = members_[leader_place()];
  etcdserverpb::HashKVRequest request;
  for (const auto& member : members_) {
    ASSERT_TRUE(get(*member, "k").status.ok());
    EXPECT_EQ(call(*member, &Member::hash_kv, request).response.hash(),
              call(*leader, &Member::hash_kv, request).response.hash());
  }
  for (const auto& member : members_) EXPECT_TRUE(alarms(*member).empty());
}

TEST_F(CorruptionTest, A_member_that_differs_refuses_to_start_with_words) {
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(put(*members_[leader_place()], "k", std::to_string(i)).status.ok());
  const size_t victim = a_follower();
  const uint64_t id = members_[victim]->id();
  stop(victim);
  damage(victim);
  options_[victim].corrupt_check_at_start = true;
  const auto refused = Member::start(options_[victim], must_not_fail);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), Code::kDataLoss);
  EXPECT_NE(refused.status().text().find(hex_id(id) + " found data inconsistency with peers"), std::string::npos)
      << refused.status().text();
}

TEST_F(CorruptionTest, A_member_that_agrees_starts_with_the_check_on) {
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(put(*members_[leader_place()], "k", std::to_string(i)).status.ok());
  const size_t follower = a_follower();
  ASSERT_TRUE(get(*members_[follower], "k").status.ok());
  stop(follower);
  options_[follower].corrupt_check_at_start = true;
  members_[follower] = start(options_[follower]);
  ASSERT_TRUE(members_[follower]);
  ASSERT_TRUE(eventually([this] { return agreed_leader() != 0; }));
  EXPECT_EQ(get(*members_[follower], "k").response.kvs(0).value(), "9");
}

}  // namespace
}  // namespace kv::server
