#include "server/applier.h"

#include <gtest/gtest.h>

#include "fixture.h"
#include "kvdpb/command.pb.h"
#include "server/membership.h"

namespace kv::server {
namespace {

constexpr uint64_t kSelf = 7;
constexpr uint64_t kOther = 8;

class ApplierTest : public testing::Test {
 protected:
  ApplierTest() {
    auto opened = store::Store::open({.path = directory_.path() + "/state"});
    EXPECT_TRUE(opened.ok()) << opened.status().to_string();
    store_ = std::move(*opened);
    applier_ = std::make_unique<Applier>(*store_, calls_, kSelf, 1234, term_);
  }

  static kvdpb::Command put_command(uint64_t origin, uint64_t number, const std::string& key) {
    kvdpb::Command command;
    command.set_origin(origin);
    command.set_call(number);
    command.mutable_put()->set_key(key);
    command.mutable_put()->set_value("v");
    return command;
  }

  static CommittedEntry entry_of(uint64_t index, const std::vector<kvdpb::Command>& commands) {
    kvdpb::Batch batch;
    for (const auto& command : commands) *batch.add_commands() = command;
    CommittedEntry committed;
    committed.entry = {raft::Index(index), raft::Term(3), raft::EntryType::kCommand,
                       std::make_shared<const std::string>(batch.SerializeAsString())};
    return committed;
  }

  static CommittedEntry noop(uint64_t index) {
    CommittedEntry committed;
    committed.entry = {raft::Index(index), raft::Term(3), raft::EntryType::kNoop,
                       std::make_shared<const std::string>()};
    return committed;
  }

  // Adds a call that waits; the answer's revision (or -1 for an error) is appended to answers_.
  uint64_t waiting_call() {
    Completion completion = [this](const Status& status, google::protobuf::Message* response) {
      if (!status.ok()) return answers_.push_back(-1);
      const auto& header = static_cast<etcdserverpb::PutResponse*>(response)->header();
      EXPECT_EQ(header.member_id(), kSelf);
      EXPECT_EQ(header.cluster_id(), 1234u);
      EXPECT_EQ(header.raft_term(), 3u);
      answers_.push_back(header.revision());
    };
    return *calls_.add(1, 1000, completion);
  }

  TempDirectory directory_;
  std::unique_ptr<store::Store> store_;
  PendingCalls calls_{100, 1 << 20, 0};
  std::atomic<uint64_t> term_{3};
  std::unique_ptr<Applier> applier_;
  std::vector<int64_t> answers_;
};

// Else a member that is asked between the two takes a good token for none.
TEST_F(ApplierTest, A_token_is_known_before_its_entry_shows_as_applied) {
  struct Tokens final : TokenObserver {
    explicit Tokens(const store::Store& s) : store(s) {}
    void assigned(const std::string& token, store::Identity identity) override {
      EXPECT_EQ(identity.user, "root");
      EXPECT_EQ(token, "abc.2");
      applied_index = store.applied_index();
    }
    const store::Store& store;
    uint64_t applied_index = UINT64_MAX;
  } tokens(*store_);
  Applier applier(*store_, calls_, kSelf, 1234, term_, nullptr, &tokens);
  std::vector<kvdpb::Command> commands(4);
  for (kvdpb::Command& command : commands) {
    command.set_origin(kOther);
    command.set_by_member(true);
  }
  commands[0].mutable_auth_user_add()->set_name("root");
  commands[1].mutable_auth_role_add()->set_name("root");
  commands[2].mutable_auth_user_grant_role()->set_user("root");
  commands[2].mutable_auth_user_grant_role()->set_role("root");
  commands[3].mutable_auth_enable();
  ASSERT_TRUE(applier.apply({entry_of(1, commands)}).ok());
  ASSERT_TRUE(store_->auth_enabled());
  kvdpb::Command login;
  login.set_origin(kOther);
  login.set_auth_revision(store_->auth()->revision());
  login.mutable_auth_token()->set_user("root");
  login.mutable_auth_token()->set_prefix("abc");
  ASSERT_TRUE(applier.apply({entry_of(2, {login})}).ok());
  EXPECT_EQ(tokens.applied_index, 1u);
  EXPECT_EQ(store_->applied_index(), 2u);
}

TEST_F(ApplierTest, Answers_its_own_calls_and_no_others) {
  const uint64_t first = waiting_call();
  const uint64_t second = waiting_call();
  ASSERT_TRUE(applier_
                  ->apply({noop(1), entry_of(2, {put_command(kSelf, first, "a"), put_command(kOther, second, "b")}),
                           entry_of(3, {put_command(kSelf, second, "c")})})
                  .ok());
  EXPECT_EQ(answers_, (std::vector<int64_t>{2, 4}));
  EXPECT_EQ(store_->applied_index(), 3u);
  EXPECT_EQ(store_->applied_term(), 3u);
}

TEST_F(ApplierTest, Entries_applied_before_are_skipped) {
  const auto entry = entry_of(1, {put_command(kOther, 1, "a")});
  ASSERT_TRUE(applier_->apply({entry}).ok());
  const auto revision = store_->revision();
  ASSERT_TRUE(applier_->apply({entry, entry_of(2, {put_command(kOther, 2, "a")})}).ok());
  EXPECT_EQ(store_->revision(), revision + 1);
}

TEST_F(ApplierTest, What_the_doors_let_in_is_never_too_deep_to_be_applied) {
  kvdpb::Command command;
  command.set_origin(kOther);
  auto* txn = command.mutable_txn();
  for (int level = 0; level < 49; ++level) txn = txn->add_success()->mutable_request_txn();
  *txn->add_success()->mutable_request_put() = put_command(kOther, 1, "deep").put();
  etcdserverpb::TxnRequest parsed;
  ASSERT_TRUE(parsed.ParseFromString(command.txn().SerializeAsString())) << "the door lets it in";
  kvdpb::Batch batch;
  *batch.add_commands() = command;
  ASSERT_FALSE(batch.ParseFromString(batch.SerializeAsString())) << "or this test tests nothing";
  EXPECT_TRUE(applier_->apply({entry_of(1, {command})}).ok());
  EXPECT_EQ(store_->applied_index(), 1u);
}

TEST_F(ApplierTest, An_entry_that_is_no_batch_stops_the_member) {
  CommittedEntry damaged = noop(1);
  damaged.entry.type = raft::EntryType::kCommand;
  damaged.entry.data = std::make_shared<const std::string>("\xff\xff not a batch");
  EXPECT_EQ(applier_->apply({damaged}).code(), Code::kDataLoss);
  EXPECT_EQ(store_->applied_index(), 0u);
}

TEST_F(ApplierTest, A_command_of_a_newer_version_stops_the_member) {
  EXPECT_EQ(applier_->apply({entry_of(1, {kvdpb::Command()})}).code(), Code::kUnimplemented);
  EXPECT_EQ(store_->applied_index(), 0u);
}

TEST_F(ApplierTest, A_member_that_joins_and_introduces_itself_in_one_go_is_listed_whole) {
  kvdpb::MemberChange context;
  context.mutable_member()->set_id(5);
  context.mutable_member()->add_peerurls("http://a:1");
  const raft::ConfigChange change{.changes = {{raft::ChangeType::kAddVoter, raft::NodeId(5)}},
                                  .context = context.SerializeAsString()};
  CommittedEntry added = noop(1);
  added.entry.type = raft::EntryType::kConfigChange;
  added.entry.data = std::make_shared<const std::string>(raft::encode(change));
  added.configuration = raft::Configuration{.voters = {raft::NodeId(5)}};
  kvdpb::Command hello;
  hello.mutable_member_attributes()->set_id(5);
  hello.mutable_member_attributes()->set_name("five");
  hello.mutable_member_attributes()->add_client_urls("http://a:2");
  ASSERT_TRUE(applier_->apply({added, entry_of(2, {hello})}).ok());
  const auto list = members(*store_);
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].name(), "five");
  EXPECT_EQ(list[0].peerurls(0), "http://a:1");
  EXPECT_EQ(list[0].clienturls(0), "http://a:2");
}

TEST_F(ApplierTest, Attributes_of_a_member_that_is_gone_do_not_bring_it_back) {
  kvdpb::Command hello;
  hello.mutable_member_attributes()->set_id(5);
  hello.mutable_member_attributes()->set_name("five");
  ASSERT_TRUE(applier_->apply({entry_of(1, {hello})}).ok());
  EXPECT_TRUE(members(*store_).empty());
}

TEST(Configuration, Bytes_come_back_as_they_went) {
  const raft::Configuration configuration{.voters = {raft::NodeId(1), raft::NodeId(2)},
                                          .outgoing = {raft::NodeId(1)},
                                          .learners = {raft::NodeId(3)},
                                          .learners_next = {},
                                          .auto_leave = true};
  const std::string bytes = encode(configuration);
  EXPECT_EQ(decode_configuration(bytes), configuration);
  for (size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(decode_configuration(std::string_view(bytes).substr(0, n))) << n;
  EXPECT_FALSE(decode_configuration(bytes + "x"));
}

class Observer final : public LeaseObserver {
 public:
  void applied(const LeaseNews& told) override { news.push_back(told); }
  std::vector<LeaseNews> news;
};

TEST_F(ApplierTest, A_leases_end_that_was_decided_in_another_term_does_nothing) {
  Observer observer;
  applier_ = std::make_unique<Applier>(*store_, calls_, kSelf, 1234, term_, &observer);
  kvdpb::Command grant, expiry, checkpoint;
  grant.mutable_lease_grant()->set_id(5);
  grant.mutable_lease_grant()->set_ttl(60);
  expiry.mutable_lease_expiry()->set_term(2);  // the entries are of term 3
  expiry.mutable_lease_expiry()->set_number(8);
  expiry.mutable_lease_expiry()->add_ids(5);
  expiry.mutable_lease_expiry()->add_grants(1);  // the store's first
  auto* rest = checkpoint.mutable_lease_checkpoints();
  rest->set_term(2);
  rest->set_number(9);
  rest->add_checkpoints()->set_id(5);
  rest->mutable_checkpoints(0)->set_remaining_ttl(7);
  rest->add_grants(1);
  ASSERT_TRUE(applier_->apply({entry_of(1, {grant, expiry, checkpoint})}).ok());
  ASSERT_TRUE(store_->lease(5));
  EXPECT_EQ(store_->lease(5)->remaining_s, 0);
  ASSERT_EQ(observer.news.size(), 1u);
  EXPECT_EQ(observer.news[0].events.size(), 1u) << "only the grant";
  EXPECT_EQ(observer.news[0].resolved, 0u);

  rest->set_term(3);
  expiry.mutable_lease_expiry()->set_term(3);
  expiry.mutable_lease_expiry()->set_number(10);
  expiry.mutable_lease_expiry()->add_ids(6);  // a client has revoked it meanwhile
  expiry.mutable_lease_expiry()->add_grants(2);
  ASSERT_TRUE(applier_->apply({entry_of(2, {checkpoint})}).ok());
  EXPECT_EQ(store_->lease(5)->remaining_s, 7);
  ASSERT_TRUE(applier_->apply({entry_of(3, {expiry})}).ok());
  EXPECT_FALSE(store_->lease(5));
  ASSERT_EQ(observer.news.size(), 3u);
  EXPECT_EQ(observer.news[1].resolved, 9u);
  EXPECT_EQ(observer.news[2].events.size(), 1u);
  EXPECT_EQ(observer.news[2].resolved, 10u);
}

// A leader proposes the end of a lease; before that is applied a client ends the lease itself and has the id granted anew.
TEST_F(ApplierTest, What_was_decided_about_a_lease_does_not_touch_the_next_of_its_id) {
  const auto grant = [](int64_t ttl_s) {
    kvdpb::Command command;
    command.mutable_lease_grant()->set_id(9);
    command.mutable_lease_grant()->set_ttl(ttl_s);
    return command;
  };
  kvdpb::Command revoke;
  revoke.mutable_lease_revoke()->set_id(9);
  ASSERT_TRUE(applier_->apply({entry_of(1, {grant(10)})}).ok());
  const uint64_t first = store_->lease(9)->grant;
  kvdpb::Command checkpoint;
  checkpoint.mutable_lease_checkpoints()->set_term(3);
  checkpoint.mutable_lease_checkpoints()->add_checkpoints()->set_id(9);
  checkpoint.mutable_lease_checkpoints()->mutable_checkpoints(0)->set_remaining_ttl(5);
  checkpoint.mutable_lease_checkpoints()->add_grants(first);
  kvdpb::Command expiry;
  expiry.mutable_lease_expiry()->set_term(3);
  expiry.mutable_lease_expiry()->add_ids(9);
  expiry.mutable_lease_expiry()->add_grants(first);
  ASSERT_TRUE(applier_->apply({entry_of(2, {revoke, grant(20)}), entry_of(3, {checkpoint, expiry})}).ok());
  ASSERT_TRUE(store_->lease(9));
  EXPECT_EQ(store_->lease(9)->remaining_s, 0);

  expiry.mutable_lease_expiry()->set_grants(0, store_->lease(9)->grant);
  ASSERT_TRUE(applier_->apply({entry_of(4, {expiry})}).ok());
  EXPECT_FALSE(store_->lease(9));
}

}  // namespace
}  // namespace kv::server
