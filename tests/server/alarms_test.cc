// Alarms as the log makes them: what they refuse, that they survive, and who may end them.
#include "server/alarms.h"

#include <gtest/gtest.h>

#include "fixture.h"
#include "server/applier.h"
#include "server/membership.h"
#include "server/space_cost.h"

namespace kv::server {
namespace {

using etcdserverpb::AlarmRequest;

constexpr uint64_t kSelf = 7;
constexpr uint64_t kOther = 8;

class AlarmsTest : public testing::Test {
 protected:
  AlarmsTest() { open(); }

  void open() {
    applier_.reset();
    store_.reset();
    auto opened = store::Store::open({.path = directory_.path() + "/state"});
    ASSERT_TRUE(opened.ok()) << opened.status().to_string();
    store_ = std::move(*opened);
    alarms_ = std::make_unique<Alarms>();
    alarms_->load(*store_, kSelf);
    applier_ = std::make_unique<Applier>(*store_, calls_, kSelf, 1234, term_, nullptr, nullptr, alarms_.get());
  }

  // Applies one command as this member's own, and gives its answer.
  Status apply(kvdpb::Command command, google::protobuf::Message* out = nullptr) {
    Status answer(Code::kUnknown, "not answered");
    Completion completion = [&](Status status, google::protobuf::Message* response) {
      answer = std::move(status);
      if (answer.ok() && out != nullptr) out->CopyFrom(*response);
    };
    command.set_origin(kSelf);
    command.set_call(*calls_.add(1, 1000, completion));
    kvdpb::Batch batch;
    *batch.add_commands() = std::move(command);
    CommittedEntry committed;
    committed.entry = {raft::Index(store_->applied_index() + 1), raft::Term(3), raft::EntryType::kCommand,
                       std::make_shared<const std::string>(batch.SerializeAsString())};
    EXPECT_TRUE(applier_->apply({committed}).ok());
    return answer;
  }

  etcdserverpb::AlarmResponse alarm(AlarmRequest::AlarmAction action, etcdserverpb::AlarmType type, uint64_t member) {
    kvdpb::Command command;
    command.mutable_alarm()->set_action(action);
    command.mutable_alarm()->set_alarm(type);
    command.mutable_alarm()->set_memberid(member);
    etcdserverpb::AlarmResponse response;
    EXPECT_TRUE(apply(command, &response).ok());
    EXPECT_EQ(response.header().member_id(), kSelf);
    return response;
  }

  void disk(bool raised, uint64_t member) {
    kvdpb::Command command;
    command.mutable_disk_alarm()->set_member(member);
    command.mutable_disk_alarm()->set_raised(raised);
    EXPECT_EQ(apply(command).code(), Code::kOk);
  }

  static kvdpb::Command put() {
    kvdpb::Command command;
    command.mutable_put()->set_key("k");
    command.mutable_put()->set_value("v");
    return command;
  }
  static kvdpb::Command txn_with(bool put_in_success, bool put_in_failure) {
    kvdpb::Command command;
    auto* txn = command.mutable_txn();
    txn->add_success()->mutable_request_delete_range()->set_key("k");
    if (put_in_success) *txn->add_success()->mutable_request_put() = put().put();
    if (put_in_failure) *txn->add_failure()->mutable_request_txn()->add_success()->mutable_request_put() = put().put();
    return command;
  }
  static kvdpb::Command erase() {
    kvdpb::Command command;
    command.mutable_delete_range()->set_key("k");
    return command;
  }
  static kvdpb::Command grant(int64_t id) {
    kvdpb::Command command;
    command.mutable_lease_grant()->set_id(id);
    command.mutable_lease_grant()->set_ttl(60);
    return command;
  }
  static kvdpb::Command revoke(int64_t id) {
    kvdpb::Command command;
    command.mutable_lease_revoke()->set_id(id);
    return command;
  }
  kvdpb::Command compact() const {
    kvdpb::Command command;
    command.mutable_compact()->set_revision(store_->revision().value());
    return command;
  }

  TempDirectory directory_;
  PendingCalls calls_{100, 1 << 20, 0};
  std::atomic<uint64_t> term_{3};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Alarms> alarms_;
  std::unique_ptr<Applier> applier_;
};

TEST_F(AlarmsTest, Activation_and_end_answer_with_the_alarm_as_in_etcd) {
  auto raised = alarm(AlarmRequest::ACTIVATE, etcdserverpb::NOSPACE, kOther);
  ASSERT_EQ(raised.alarms_size(), 1);
  EXPECT_EQ(raised.alarms(0).memberid(), kOther);
  EXPECT_EQ(raised.alarms(0).alarm(), etcdserverpb::NOSPACE);
  EXPECT_EQ(alarm(AlarmRequest::ACTIVATE, etcdserverpb::NOSPACE, kOther).alarms_size(), 1) << "it is there already";
  EXPECT_EQ(alarm(AlarmRequest::ACTIVATE, etcdserverpb::NONE, kOther).alarms_size(), 0);
  EXPECT_EQ(alarm(AlarmRequest::DEACTIVATE, etcdserverpb::NOSPACE, kSelf).alarms_size(), 0) << "of another member";
  EXPECT_EQ(alarm(AlarmRequest::DEACTIVATE, etcdserverpb::CORRUPT, kOther).alarms_size(), 0) << "of another type";
  EXPECT_EQ(alarms_->list().size(), 1u);
  EXPECT_EQ(alarm(AlarmRequest::DEACTIVATE, etcdserverpb::NOSPACE, kOther).alarms_size(), 1);
  EXPECT_TRUE(alarms_->list().empty());
}

TEST_F(AlarmsTest, No_space_refuses_what_needs_room_and_nothing_else) {
  ASSERT_TRUE(apply(put()).ok());
  ASSERT_TRUE(apply(grant(5)).ok());
  alarm(AlarmRequest::ACTIVATE, etcdserverpb::NOSPACE, kOther);
  const Status no_space(Code::kResourceExhausted, "etcdserver: mvcc: database space exceeded");
  EXPECT_EQ(apply(put()), no_space);
  EXPECT_EQ(apply(txn_with(true, false)), no_space);
  EXPECT_EQ(apply(txn_with(false, true)), no_space) << "a put in the branch that does not run counts too, as in etcd";
  EXPECT_EQ(apply(grant(6)), no_space);
  EXPECT_TRUE(apply(txn_with(false, false)).ok());
  EXPECT_TRUE(apply(erase()).ok());
  EXPECT_TRUE(apply(compact()).ok());
  EXPECT_TRUE(apply(revoke(5)).ok());
  EXPECT_TRUE(alarms_->refuses_reads().ok());
  alarm(AlarmRequest::DEACTIVATE, etcdserverpb::NOSPACE, kOther);
  EXPECT_TRUE(apply(put()).ok());
}

TEST_F(AlarmsTest, Corruption_of_any_member_refuses_all_changes_and_its_own_reads) {
  ASSERT_TRUE(apply(put()).ok());
  ASSERT_TRUE(apply(grant(5)).ok());
  alarm(AlarmRequest::ACTIVATE, etcdserverpb::CORRUPT, kOther);
  const Status corrupt(Code::kDataLoss, "etcdserver: corrupt cluster");
  const auto revision = store_->revision();
  for (const auto& command : {put(), erase(), txn_with(false, false), compact(), grant(6), revoke(5)}) {
    EXPECT_EQ(apply(command), corrupt) << command.ShortDebugString();
  }
  EXPECT_EQ(store_->revision(), revision);
  EXPECT_TRUE(store_->lease(5).has_value());
  EXPECT_TRUE(alarms_->refuses_reads().ok()) << "another member is meant";
  alarm(AlarmRequest::ACTIVATE, etcdserverpb::CORRUPT, kSelf);
  EXPECT_EQ(alarms_->refuses_reads(), corrupt);
  alarm(AlarmRequest::DEACTIVATE, etcdserverpb::CORRUPT, kSelf);
  alarm(AlarmRequest::ACTIVATE, etcdserverpb::CORRUPT, 0);
  EXPECT_EQ(alarms_->refuses_reads(), corrupt) << "0 is all";
}

TEST_F(AlarmsTest, An_expiry_while_corrupt_comes_to_nothing_and_the_leader_hears_of_it) {
  struct Observer final : LeaseObserver {
    void applied(const LeaseNews& news) override { resolved = news.resolved; }
    uint64_t resolved = 0;
  } observer;
  applier_ = std::make_unique<Applier>(*store_, calls_, kSelf, 1234, term_, &observer, nullptr, alarms_.get());
  ASSERT_TRUE(apply(grant(5)).ok());
  alarm(AlarmRequest::ACTIVATE, etcdserverpb::CORRUPT, 0);
  kvdpb::Command expiry;
  expiry.mutable_lease_expiry()->set_term(3);
  expiry.mutable_lease_expiry()->set_number(9);
  expiry.mutable_lease_expiry()->add_ids(5);
  expiry.mutable_lease_expiry()->add_grants(store_->lease(5)->grant);
  EXPECT_EQ(apply(expiry).code(), Code::kDataLoss);
  EXPECT_TRUE(store_->lease(5).has_value());
  EXPECT_EQ(observer.resolved, 9u);
  alarm(AlarmRequest::DEACTIVATE, etcdserverpb::CORRUPT, 0);
  EXPECT_TRUE(apply(expiry).ok());
  EXPECT_FALSE(store_->lease(5).has_value());
}

TEST_F(AlarmsTest, Alarms_survive_a_restart) {
  alarm(AlarmRequest::ACTIVATE, etcdserverpb::NOSPACE, kOther);
  alarm(AlarmRequest::ACTIVATE, etcdserverpb::CORRUPT, 0xfedcba9876543210);
  disk(true, kSelf);
  open();
  const auto list = alarms_->list();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(alarms_->list(etcdserverpb::CORRUPT)[0].memberid(), 0xfedcba9876543210);
  EXPECT_TRUE(alarms_->raised_by_disk(kSelf));
  EXPECT_FALSE(alarms_->raised_by_disk(kOther));
  EXPECT_EQ(apply(put()).code(), Code::kDataLoss);
}

TEST_F(AlarmsTest, A_disk_that_has_room_again_ends_its_own_alarm_and_no_other) {
  disk(true, kSelf);
  EXPECT_EQ(apply(put()).code(), Code::kResourceExhausted);
  disk(false, kSelf);
  EXPECT_TRUE(alarms_->list().empty());
  // The quota's, or an operator's.
  alarm(AlarmRequest::ACTIVATE, etcdserverpb::NOSPACE, kSelf);
  disk(true, kSelf);
  disk(false, kSelf);
  EXPECT_EQ(alarms_->list().size(), 1u);
  alarm(AlarmRequest::DEACTIVATE, etcdserverpb::NOSPACE, kSelf);
  // The disk's, and then the quota's as well.
  disk(true, kSelf);
  alarm(AlarmRequest::ACTIVATE, etcdserverpb::NOSPACE, kSelf);
  disk(false, kSelf);
  EXPECT_EQ(alarms_->list().size(), 1u);
}

TEST_F(AlarmsTest, There_is_a_limit_to_alarms) {
  for (uint64_t member = 1; member <= Alarms::kMaxAlarms; ++member)
    alarm(AlarmRequest::ACTIVATE, etcdserverpb::NOSPACE, member);
  kvdpb::Command command;
  command.mutable_alarm()->set_action(AlarmRequest::ACTIVATE);
  command.mutable_alarm()->set_alarm(etcdserverpb::CORRUPT);
  EXPECT_EQ(apply(command).text(), "etcdserver: too many requests");
  EXPECT_EQ(alarms_->list().size(), Alarms::kMaxAlarms);
}

TEST_F(AlarmsTest, A_downgrade_is_a_record) {
  kvdpb::Command command;
  command.mutable_downgrade_target()->set_version("3.5.0");
  ASSERT_TRUE(apply(command).ok());
  EXPECT_EQ(store_->record(kDowngradeRecord), "3.5.0");
  command.mutable_downgrade_target()->clear_version();
  ASSERT_TRUE(apply(command).ok());
  EXPECT_EQ(store_->record(kDowngradeRecord), std::nullopt);
}

TEST(SpaceCost, Is_etcds) {
  kvdpb::Command command;
  command.mutable_put()->set_key("abc");
  command.mutable_put()->set_value("defgh");
  EXPECT_EQ(space_cost(command), 256u + 8);
  const etcdserverpb::PutRequest put = command.put();
  auto* txn = command.mutable_txn();
  *txn->add_success()->mutable_request_put() = put;
  *txn->add_failure()->mutable_request_put() = put;
  *txn->add_failure()->mutable_request_txn()->add_success()->mutable_request_put() = put;
  EXPECT_EQ(space_cost(command), 2u * 264) << "the larger branch";
  command.mutable_lease_grant();
  EXPECT_EQ(space_cost(command), 64u);
  command.mutable_lease_revoke();
  EXPECT_EQ(space_cost(command), 0u);
}

}  // namespace
}  // namespace kv::server
