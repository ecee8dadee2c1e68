// Alarms, quota, status and downgrades as clients of a member meet them.
#include <gtest/gtest.h>

#include "base/log.h"
#include "members_fixture.h"

namespace kv::server {
namespace {

using etcdserverpb::AlarmRequest;
using etcdserverpb::DowngradeRequest;

Answer<etcdserverpb::AlarmResponse> alarm(Member& member, AlarmRequest::AlarmAction action,
                                          etcdserverpb::AlarmType type = etcdserverpb::NONE, uint64_t id = 0) {
  AlarmRequest request;
  request.set_action(action);
  request.set_alarm(type);
  request.set_memberid(id);
  return call(member, &Member::alarm, request);
}

Answer<etcdserverpb::DowngradeResponse> downgrade(Member& member, DowngradeRequest::DowngradeAction action,
                                                  const std::string& version = "") {
  DowngradeRequest request;
  request.set_action(action);
  request.set_version(version);
  return call(member, &Member::downgrade, request);
}

etcdserverpb::StatusResponse status(Member& member) {
  return call(member, &Member::status, etcdserverpb::StatusRequest()).response;
}

const Status kNoSpace(Code::kResourceExhausted, "etcdserver: mvcc: database space exceeded");

using GuardedMember = LoneMember;
INSTANTIATE_TEST_SUITE_P(Threads, GuardedMember, testing::Values(1, 3));

TEST_P(GuardedMember, A_full_quota_raises_the_alarm_and_compaction_makes_room) {
  // Below what is flushed at a time: the state shrinks by compression then, and might never fill its quota.
  options_.quota_bytes = 3 << 20;
  auto member = start_and_wait();
  EXPECT_EQ(status(*member).dbsizequota(), 3 << 20);
  // The same key again and again: history is what fills the quota.
  std::string value(64 << 10, 'v');
  int written = 0;
  Status last;
  while (written < 200) {
    value.replace(0, 8, std::to_string(10000000 + written));
    last = put(*member, "k", value).status;
    if (!last.ok()) break;
    ++written;
  }
  ASSERT_EQ(last, kNoSpace);
  EXPECT_GT(written, 10);
  // The alarm is there when the refusal is.
  const auto raised = alarm(*member, AlarmRequest::GET);
  ASSERT_EQ(raised.response.alarms_size(), 1);
  EXPECT_EQ(raised.response.alarms(0).memberid(), member->id());
  EXPECT_EQ(raised.response.alarms(0).alarm(), etcdserverpb::NOSPACE);
  EXPECT_GT(raised.response.header().revision(), 0);
  EXPECT_EQ(status(*member).errors(0), "memberID:" + std::to_string(member->id()) + " alarm:NOSPACE ");
  EXPECT_EQ(put(*member, "small", "v").status, kNoSpace) << "however small";
  const auto read = get(*member, "k");
  ASSERT_TRUE(read.status.ok());
  EXPECT_EQ(read.response.kvs(0).version(), written);

  etcdserverpb::CompactionRequest compact;
  compact.set_revision(read.response.header().revision());
  ASSERT_TRUE(call(*member, &Member::compact, compact).status.ok());
  ASSERT_TRUE(eventually([&] { return status(*member).dbsize() < 2 << 20; }, 20)) << status(*member).dbsize();
  EXPECT_EQ(put(*member, "small", "v").status, kNoSpace) << "until somebody ends the alarm";
  EXPECT_EQ(alarm(*member, AlarmRequest::DEACTIVATE, etcdserverpb::NOSPACE, member->id()).response.alarms_size(), 1);
  EXPECT_TRUE(put(*member, "small", "v").status.ok());
  EXPECT_TRUE(alarm(*member, AlarmRequest::GET).response.alarms().empty());
}

TEST_P(GuardedMember, A_burst_does_not_run_through_the_quota_between_two_measurements) {
  options_.quota_bytes = 4 << 20;
  auto member = start_and_wait();
  std::atomic<int> over{0}, taken{0};
  constexpr int kCalls = 400;
  for (int i = 0; i < kCalls; ++i) {
    auto request = std::make_unique<etcdserverpb::PutRequest>();
    request->set_key("k" + std::to_string(i));
    request->set_value(std::string(64 << 10, 'v'));
    member->put(std::make_shared<InlineCall>(), std::move(request), [&](const Status& s, auto&&) {
      if (s.ok()) ++taken;
      ++over;
    });
  }
  ASSERT_TRUE(eventually([&] { return over == kCalls; }));
  // 4 MiB are 64 values; what is under way when it is measured may slip through.
  EXPECT_GE(taken, 32);
  EXPECT_LE(taken, 160);
}

TEST_P(GuardedMember, Its_status_says_what_etcd_says) {
  auto member = start_and_wait();
  ASSERT_TRUE(put(*member, "k", "v").status.ok());
  ASSERT_TRUE(eventually([&] { return member->cluster_version() == kClusterVersion; }));
  const auto said = status(*member);
  EXPECT_EQ(said.version(), kServerVersion);
  EXPECT_EQ(said.storageversion(), "3.6.0");
  EXPECT_EQ(said.dbsizequota(), 0) << "none unless set";
  ASSERT_TRUE(said.has_downgradeinfo());
  EXPECT_FALSE(said.downgradeinfo().enabled());
  EXPECT_GT(said.dbsize(), 0);
  EXPECT_LT(said.dbsize(), 256 << 10) << "one small key, not what is set aside in memory";
  EXPECT_LE(said.dbsizeinuse(), said.dbsize());
  EXPECT_EQ(said.errors_size(), 0);
}

TEST_P(GuardedMember, Its_size_is_that_of_its_files) {
  auto member = start_and_wait();
  uint64_t seed = 1;
  for (int i = 0; i < 300; ++i) {
    std::string value(16 << 10, 0);
    for (char& c : value) c = static_cast<char>((seed = seed * 6364136223846793005 + 1442695040888963407) >> 56);
    ASSERT_TRUE(put(*member, "k" + std::to_string(i), value).status.ok());
  }
  const auto said = status(*member);
  member.reset();  // flushes
  uint64_t files = 0;
  for (const auto& file : std::filesystem::directory_iterator(options_.data_dir + "/state"))
    if (file.path().extension() == ".sst") files += file.file_size();
  EXPECT_NEAR(static_cast<double>(said.dbsize()), static_cast<double>(files), 0.1 * static_cast<double>(files));
}

TEST_P(GuardedMember, A_disk_below_its_reserve_takes_no_writes_and_gets_well_by_itself) {
  // A reserve that no disk has, then one that every disk has.
  options_.min_free_bytes = INT64_MAX / 8;
  auto member = start_and_wait();
  EXPECT_EQ(put(*member, "k", "v").status, kNoSpace);
  ASSERT_TRUE(eventually([&] { return !member->alarms().empty(); }));
  EXPECT_TRUE(get(*member, "k").status.ok());
  member.reset();
  options_.min_free_bytes = 1;
  member = start_and_wait();
  EXPECT_TRUE(eventually([&] { return member->alarms().empty(); })) << "the alarm of the disk ends with its cause";
  EXPECT_TRUE(put(*member, "k", "v").status.ok());
}

TEST_P(GuardedMember, Downgrades_are_answered_as_in_etcd) {
  auto member = start_and_wait();
  ASSERT_TRUE(eventually([&] { return member->cluster_version() == "3.6.0"; }));
  EXPECT_EQ(downgrade(*member, DowngradeRequest::VALIDATE, "three").status.text(),
            "etcdserver: wrong downgrade target version format");
  EXPECT_EQ(downgrade(*member, DowngradeRequest::VALIDATE, "3.4").status.text(),
            "etcdserver: invalid downgrade target version");
  const auto valid = downgrade(*member, DowngradeRequest::VALIDATE, "3.5.9");
  ASSERT_TRUE(valid.status.ok()) << valid.status.to_string();
  EXPECT_EQ(valid.response.version(), "3.6");
  EXPECT_FALSE(status(*member).downgradeinfo().enabled()) << "VALIDATE changes nothing";

  EXPECT_EQ(downgrade(*member, DowngradeRequest::ENABLE, "3.7").status.text(),
            "etcdserver: invalid downgrade target version");
  ASSERT_TRUE(downgrade(*member, DowngradeRequest::ENABLE, "3.5").status.ok());
  EXPECT_TRUE(status(*member).downgradeinfo().enabled());
  EXPECT_EQ(status(*member).downgradeinfo().targetversion(), "3.5.0");
  ASSERT_TRUE(eventually([&] { return member->cluster_version() == "3.5.0"; }));
  EXPECT_EQ(status(*member).storageversion(), "3.5.0");
  EXPECT_EQ(downgrade(*member, DowngradeRequest::ENABLE, "3.4").status.text(),
            "etcdserver: cluster has a downgrade job in progress");

  const auto cancelled = downgrade(*member, DowngradeRequest::CANCEL);
  ASSERT_TRUE(cancelled.status.ok());
  EXPECT_EQ(cancelled.response.version(), "3.5");
  EXPECT_FALSE(status(*member).downgradeinfo().enabled());
  ASSERT_TRUE(eventually([&] { return member->cluster_version() == "3.6.0"; }));
  EXPECT_TRUE(downgrade(*member, DowngradeRequest::CANCEL).status.ok()) << "3.6 only logs that there is none";
  EXPECT_EQ(downgrade(*member, static_cast<DowngradeRequest::DowngradeAction>(9)).status.text(),
            "etcdserver: unknown method");
}

class GuardedCluster : public ThreeMembers {};

TEST_F(GuardedCluster, An_alarm_of_one_member_binds_all_and_is_ended_anywhere) {
  const size_t follower = (leader_place() + 1) % 3;
  const uint64_t id = members_[follower]->id();
  ASSERT_TRUE(alarm(*members_[follower], AlarmRequest::ACTIVATE, etcdserverpb::NOSPACE, id).status.ok());
  for (const auto& member : members_) {
    ASSERT_TRUE(eventually([&] { return !member->alarms().empty(); }));
    EXPECT_EQ(put(*member, "k", "v").status, kNoSpace);
  }
  ASSERT_TRUE(alarm(*members_[leader_place()], AlarmRequest::DEACTIVATE, etcdserverpb::NOSPACE, id).status.ok());
  for (const auto& member : members_) {
    ASSERT_TRUE(eventually([&] { return member->alarms().empty(); }));
    EXPECT_TRUE(put(*member, "k", "v").status.ok());
  }
}

TEST_F(GuardedCluster, A_follower_refuses_to_move_leadership) {
  etcdserverpb::MoveLeaderRequest request;
  request.set_targetid(members_[(leader_place() + 1) % 3]->id());
  const auto refused = call(*members_[(leader_place() + 1) % 3], &Member::move_leader, request);
  EXPECT_EQ(refused.status, Status(Code::kFailedPrecondition, "etcdserver: not leader"));
  const auto moved = call(*members_[leader_place()], &Member::move_leader, request);
  EXPECT_TRUE(moved.status.ok()) << moved.status.to_string();
}

}  // namespace
}  // namespace kv::server
