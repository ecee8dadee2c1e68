// The client against real servers: Debian's etcd, and kvd where it is built.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "client/client.h"
#include "client/server_process.h"

namespace kv::client {
namespace {

using std::chrono::milliseconds;
using test::ServerProcess;
using testing::HasSubstr;

std::string binary_of(const std::string& kind) { return kind == "kvd" ? KVD_BINARY : "etcd"; }

std::unique_ptr<Client> connect(ClientOptions options) {
  auto client = Client::create(std::move(options));
  EXPECT_TRUE(client.ok()) << client.status().to_string();
  return std::move(client).value();
}

// One server for all tests of a kind: starting one costs a second. Each test has keys of its own.
class ClientServer : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto& server = servers_[GetParam()];
    if (!server) server = std::make_unique<ServerProcess>(binary_of(GetParam()));
    server_ = server.get();
    client_ = connect({.endpoints = {server_->endpoint()}});
    prefix_ = testing::UnitTest::GetInstance()->current_test_info()->name() + std::string("/");
  }
  static void TearDownTestSuite() { servers_.clear(); }

  std::string key(std::string_view name) const { return prefix_ + std::string(name); }

  ServerProcess* server_ = nullptr;
  std::unique_ptr<Client> client_;
  std::string prefix_;

 private:
  static inline std::map<std::string, std::unique_ptr<ServerProcess>> servers_;
};

TEST_P(ClientServer, Put_then_get_gives_value_and_revisions) {
  const auto put = client_->put(key("a"), "1");
  ASSERT_TRUE(put.ok()) << put.status().to_string();
  EXPECT_FALSE(put->prev_kv.has_value());
  const auto got = client_->get(key("a"));
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  ASSERT_EQ(got->kvs.size(), 1u);
  EXPECT_EQ(got->kvs[0], (KeyValue{key("a"), put->header.revision, put->header.revision, 1, "1", 0}));
  EXPECT_EQ(got->count, 1);
  EXPECT_NE(got->header.cluster_id, 0u);
  EXPECT_NE(got->header.member_id, 0u);
}

TEST_P(ClientServer, Prev_kv_is_given_when_asked_for) {
  ASSERT_TRUE(client_->put(key("a"), "1").ok());
  const auto put = client_->put(key("a"), "2", {.prev_kv = true});
  ASSERT_TRUE(put.ok() && put->prev_kv.has_value());
  EXPECT_EQ(put->prev_kv->value, "1");
  const auto removed = client_->remove(key("a"), {.prev_kv = true});
  ASSERT_TRUE(removed.ok());
  EXPECT_EQ(removed->deleted, 1);
  EXPECT_EQ(removed->prev_kvs.at(0).value, "2");
}

TEST_P(ClientServer, Ranges_limits_and_orders_are_the_servers) {
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(client_->put(key(name), name).ok());
  GetOptions options{.range_end = prefix_end(prefix_), .limit = 2, .sort_order = SortOrder::kDescend};
  const auto got = client_->get(prefix_, options);
  ASSERT_TRUE(got.ok());
  ASSERT_EQ(got->kvs.size(), 2u);
  EXPECT_EQ(got->kvs[0].value, "c");
  EXPECT_TRUE(got->more);
  EXPECT_EQ(got->count, 3);
  const auto counted = client_->get(prefix_, {.range_end = prefix_end(prefix_), .count_only = true});
  ASSERT_TRUE(counted.ok());
  EXPECT_TRUE(counted->kvs.empty());
  EXPECT_EQ(counted->count, 3);
}

TEST_P(ClientServer, Every_byte_goes_through_keys_and_values) {
  std::string bytes;
  for (int b = 0; b < 256; ++b) bytes.push_back(static_cast<char>(b));
  ASSERT_TRUE(client_->put(prefix_ + bytes, bytes).ok());
  const auto got = client_->get(prefix_ + bytes);
  ASSERT_TRUE(got.ok());
  ASSERT_EQ(got->kvs.size(), 1u);
  EXPECT_EQ(got->kvs[0].key, prefix_ + bytes);
  EXPECT_EQ(got->kvs[0].value, bytes);
}

TEST_P(ClientServer, Values_up_to_the_request_limit_go_through_and_no_larger) {
  const std::string large(1024 * 1024, 'v');
  ASSERT_TRUE(client_->put(key("large"), large).ok());
  EXPECT_EQ(client_->get(key("large"))->kvs.at(0).value, large);
  EXPECT_EQ(client_->put(key("larger"), std::string(1600 * 1024, 'v')).status(),
            Status(Code::kInvalidArgument, "etcdserver: request is too large"));
}

TEST_P(ClientServer, Answers_larger_than_grpcs_default_arrive) {
  const std::string large(1024 * 1024, 'v');
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(client_->put(key(std::to_string(i)), large).ok());
  const auto got = client_->get(prefix_, {.range_end = prefix_end(prefix_)});
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_EQ(got->kvs.size(), 6u);
}

TEST_P(ClientServer, Txn_runs_the_branch_that_its_comparisons_choose) {
  Txn create;
  create.when({compare_version(key("lock"), Comparison::kEqual, 0)})
      .then({put_op(key("lock"), "me"), get_op(key("lock"))})
      .otherwise({get_op(key("lock")), remove_op(key("lock")), txn_op(Txn().then({get_op(key("lock"))}))});
  const auto first = client_->commit(create);
  ASSERT_TRUE(first.ok()) << first.status().to_string();
  EXPECT_TRUE(first->succeeded);
  ASSERT_EQ(first->responses.size(), 2u);
  EXPECT_EQ(std::get<GetResponse>(first->responses[1].answer).kvs.at(0).value, "me");

  const auto second = client_->commit(create);
  ASSERT_TRUE(second.ok());
  EXPECT_FALSE(second->succeeded);
  ASSERT_EQ(second->responses.size(), 3u);
  EXPECT_EQ(std::get<GetResponse>(second->responses[0].answer).kvs.at(0).value, "me");
  EXPECT_EQ(std::get<RemoveResponse>(second->responses[1].answer).deleted, 1);
  const auto& nested = std::get<TxnResponse>(second->responses[2].answer);
  EXPECT_TRUE(nested.succeeded);
  EXPECT_EQ(std::get<GetResponse>(nested.responses.at(0).answer).count, 0);
}

TEST_P(ClientServer, Txn_compares_every_target) {
  ASSERT_TRUE(client_->put(key("a"), "x").ok());
  const auto put = client_->put(key("a"), "y");
  ASSERT_TRUE(put.ok());
  const int64_t revision = put->header.revision;
  const auto holds = [&](Compare compare) {
    const auto done = client_->commit(Txn().when({std::move(compare)}));
    EXPECT_TRUE(done.ok()) << done.status().to_string();
    return done.ok() && done->succeeded;
  };
  EXPECT_TRUE(holds(compare_version(key("a"), Comparison::kEqual, 2)));
  EXPECT_TRUE(holds(compare_create_revision(key("a"), Comparison::kLess, revision)));
  EXPECT_TRUE(holds(compare_mod_revision(key("a"), Comparison::kEqual, revision)));
  EXPECT_TRUE(holds(compare_value(key("a"), Comparison::kGreater, "x")));
  EXPECT_TRUE(holds(compare_lease(key("a"), Comparison::kEqual, 0)));
  EXPECT_FALSE(holds(compare_value(key("a"), Comparison::kNotEqual, "y")));
}

TEST_P(ClientServer, Reads_below_a_compaction_are_refused) {
  ASSERT_TRUE(client_->put(key("a"), "1").ok());
  const auto put = client_->put(key("a"), "2");
  ASSERT_TRUE(put.ok());
  const int64_t revision = put->header.revision;
  ASSERT_TRUE(client_->compact(revision, {.physical = true}).ok());
  EXPECT_EQ(client_->get(key("a"), {.revision = revision - 1}).status(),
            Status(Code::kOutOfRange, "etcdserver: mvcc: required revision has been compacted"));
  EXPECT_EQ(client_->compact(revision).status(),
            Status(Code::kOutOfRange, "etcdserver: mvcc: required revision has been compacted"));
  EXPECT_EQ(client_->get(key("a"), {.revision = revision + 1000}).status(),
            Status(Code::kOutOfRange, "etcdserver: mvcc: required revision is a future revision"));
}

TEST_P(ClientServer, Members_and_their_state_can_be_asked_for) {
  const auto members = client_->member_list();
  ASSERT_TRUE(members.ok()) << members.status().to_string();
  ASSERT_EQ(members->members.size(), 1u);
  EXPECT_EQ(members->members[0].name, "m1");
  EXPECT_THAT(members->members[0].client_urls, testing::ElementsAre("http://" + server_->endpoint()));

  const auto status = client_->status(server_->endpoint());
  ASSERT_TRUE(status.ok()) << status.status().to_string();
  EXPECT_EQ(status->leader, members->members[0].id);
  EXPECT_GT(status->db_size, 0);
  EXPECT_FALSE(status->version.empty());

  // An endpoint that the client was not made with.
  EXPECT_EQ(client_->status("http://" + server_->endpoint())->leader, status->leader);
  ASSERT_TRUE(client_->alarm_list().ok());
}

TEST_P(ClientServer, Hash_of_one_revision_stays_the_same) {
  const auto put = client_->put(key("a"), "1");
  ASSERT_TRUE(put.ok());
  const auto first = client_->hash_kv(server_->endpoint(), put->header.revision);
  ASSERT_TRUE(first.ok()) << first.status().to_string();
  ASSERT_TRUE(client_->put(key("a"), "2").ok());
  const auto again = client_->hash_kv(server_->endpoint(), put->header.revision);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(first->hash, again->hash);
}

TEST_P(ClientServer, Killed_server_is_left_for_one_that_lives) {
  ServerProcess doomed(binary_of(GetParam()));
  auto client = connect({.endpoints = {doomed.endpoint(), server_->endpoint()}});
  ASSERT_TRUE(client->put(key("a"), "doomed").ok());
  ASSERT_TRUE(client_->put(key("a"), "lives").ok());
  doomed.kill();
  const auto got = client->get(key("a"));
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_EQ(got->kvs.at(0).value, "lives");
  EXPECT_TRUE(client->put(key("a"), "still").ok());
}

INSTANTIATE_TEST_SUITE_P(Etcd, ClientServer, testing::Values("etcd"), [](const auto& i) { return i.param; });
// Without a built kvd there is nothing to run it on.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ClientServer);
const auto kKvd = std::string(KVD_BINARY).empty() ? std::vector<std::string>{} : std::vector<std::string>{"kvd"};
INSTANTIATE_TEST_SUITE_P(Kvd, ClientServer, testing::ValuesIn(kKvd), [](const auto& i) { return i.param; });

TEST(ClientTls, Server_is_verified_unless_told_otherwise) {
  ServerProcess server("etcd", {"--auto-tls"}, "https");
  const std::string ca = server.data_dir() + "/fixtures/client/cert.pem";

  auto verified = connect({.endpoints = {"https://" + server.endpoint()}, .tls = {.ca_file = ca}});
  const auto put = verified->put("a", "1");
  EXPECT_TRUE(put.ok()) << put.status().to_string();

  auto stranger = connect({.endpoints = {"https://" + server.endpoint()}, .dial_timeout = milliseconds(500)});
  EXPECT_EQ(stranger->get("a").status().code(), Code::kUnavailable) << "a self-signed certificate was believed";

  // Without a scheme, the TLS options say what it is.
  auto trusting = connect({.endpoints = {server.endpoint()}, .tls = {.insecure_skip_verify = true}});
  const auto got = trusting->get("a");
  EXPECT_TRUE(got.ok()) << got.status().to_string();
}

TEST(ClientAuth, User_and_password_open_what_a_stranger_may_not_see) {
  ServerProcess server("etcd");
  const std::string ctl = "ETCDCTL_API=3 etcdctl --endpoints=" + server.endpoint();
  ASSERT_EQ(std::system((ctl + " user add root:secret >/dev/null && " + ctl +
                         " user grant-role root root >/dev/null && " + ctl + " auth enable >/dev/null")
                            .c_str()),
            0);
  auto stranger = connect({.endpoints = {server.endpoint()}});
  EXPECT_EQ(stranger->put("a", "1").status(), Status(Code::kInvalidArgument, "etcdserver: user name is empty"));
  auto wrong = connect({.endpoints = {server.endpoint()}, .user = "root", .password = "guess"});
  EXPECT_EQ(wrong->put("a", "1").status(),
            Status(Code::kInvalidArgument, "etcdserver: authentication failed, invalid user ID or password"));
  auto root = connect({.endpoints = {server.endpoint()}, .user = "root", .password = "secret"});
  const auto put = root->put("a", "1");
  EXPECT_TRUE(put.ok()) << put.status().to_string();
  auto forged = connect({.endpoints = {server.endpoint()}, .token = "nonsense"});
  EXPECT_EQ(forged->get("a").status().code(), Code::kUnauthenticated);
}

}  // namespace
}  // namespace kv::client
