// Each security advisory of etcd that is about users and their rights, tried against a member.
#include <filesystem>
#include <fstream>
#include <sstream>

#include "auth_doors.h"
#include "base/clock.h"
#include "server/login_limit.h"

namespace kv::test {
namespace {

using namespace etcdserverpb;
using server::Member;

const std::string kZero("\0", 1);

class Advisories : public AuthDoors {
 protected:
  // As the owner of a client certificate, by gRPC: TLS fills in the name there, and nothing else does.
  server::Answer<RangeResponse> get_with_certificate(const std::string& name, const std::string& key) {
    auto call = std::make_shared<server::InlineCall>();
    call->certificate_user = name;
    auto request = std::make_unique<RangeRequest>();
    request->set_key(key);
    auto promise = std::make_shared<std::promise<server::Answer<RangeResponse>>>();
    auto answer = promise->get_future();
    table_->find("/etcdserverpb.KV/Range")
        ->unary(call, std::move(request), [promise](Status status, const google::protobuf::Message* response) {
          RangeResponse copy;
          if (response != nullptr) copy.CopyFrom(*response);
          promise->set_value({std::move(status), std::move(copy)});
        });
    if (answer.wait_for(std::chrono::seconds(10)) != std::future_status::ready)
      return {{Code::kDeadlineExceeded, "no answer"}, {}};
    return answer.get();
  }
};

TEST_F(Advisories, CVE_2018_16886_no_certificate_makes_a_user_of_the_gateways_client) {
  put("a", "1");
  EXPECT_TRUE(get_with_certificate("alice", "a").status.ok());
  EXPECT_EQ(get_with_certificate("alice", "b").status.text(), "etcdserver: permission denied");
  EXPECT_EQ(get_with_certificate("mallory", "a").status.text(), "etcdserver: permission denied");
  // Through the gateway there is no such name, whatever headers say.
  const std::string body = R"({"key":"YQ=="})";
  for (const char* header : {"", "Grpc-Metadata-certificate_user: root\r\n", "Grpc-Metadata-Certificate-User: root\r\n",
                             "Certificate-User: root\r\n", "Grpc-Metadata-user: root\r\n"}) {
    EXPECT_TRUE(by_json("/v3/kv/range", body, std::nullopt, header).names_nobody()) << header;
  }
  // A token wins over a certificate: who shows one means it.
  EXPECT_TRUE(by_json("/v3/kv/range", body, "no token").has_invalid_token());
}

TEST_F(Advisories, CVE_2020_15115_short_passwords_are_refused_and_guessing_is_slowed) {
  AuthUserAddRequest empty;
  empty.set_name("carol");
  EXPECT_EQ(server::call(*member_, &Member::user_add, empty, OwnCall::of_member()).status.code(),
            Code::kInvalidArgument);
  AuthUserChangePasswordRequest change;
  change.set_name("bob");
  EXPECT_EQ(server::call(*member_, &Member::user_change_password, change, OwnCall::of_member()).status.code(),
            Code::kInvalidArgument);

  AuthenticateRequest guess, right;
  guess.set_name("bob");
  guess.set_password("a guess");
  right.set_name("bob");
  right.set_password("secret of bob");
  const std::string path = "/etcdserverpb.Auth/Authenticate";
  const auto now_ms = [] { return Clock::system().monotonic_ms(); };
  int64_t last_sent_ms = 0;  // of the guesses that were compared
  int compared = 0;
  const auto wait_ms = [&compared] {
    const int waits = compared - server::LoginLimit::kFreeFailures;
    return waits <= 0 ? 0 : server::LoginLimit::kFirstWaitMs << (waits - 1);
  };
  const auto guess_until_refused = [&] {
    for (;;) {
      const int64_t sent_ms = now_ms();
      const Heard heard = by_grpc(path, guess, std::nullopt);
      ASSERT_FALSE(heard.answered);
      if (!heard.has("authentication failed")) {
        EXPECT_EQ(heard.text, "etcdserver: too many requests");
        return;
      }
      EXPECT_GE(now_ms() - last_sent_ms, wait_ms()) << "guess " << compared + 1 << " came too soon";
      ++compared;
      last_sent_ms = sent_ms;
    }
  };
  // The right one must wait as well, or guessing would go on. Where calls take longer than the wait it may come after
  // it, and ends it; then once more, with a longer wait.
  bool refused = false;
  for (int waits = 1; waits <= 5 && !refused; ++waits) {
    compared = 0;
    while (compared < server::LoginLimit::kFreeFailures + waits) ASSERT_NO_FATAL_FAILURE(guess_until_refused());
    refused = !by_grpc(path, right, std::nullopt).answered;
    if (!refused) {
      EXPECT_GE(now_ms() - last_sent_ms, wait_ms()) << "the right password did not wait";
    }
  }
  EXPECT_TRUE(refused);
  // Others need not.
  right.set_name("alice");
  right.set_password("secret of alice");
  EXPECT_TRUE(by_grpc(path, right, std::nullopt).answered);
}

TEST_F(Advisories, CVE_2020_15115_a_user_who_is_not_there_sounds_like_a_wrong_password) {
  AuthenticateRequest guess;
  guess.set_password("a guess");
  for (const char* name : {"alice", "mallory", ""}) {
    guess.set_name(name);
    const Heard heard = by_grpc("/etcdserverpb.Auth/Authenticate", guess, std::nullopt);
    EXPECT_EQ(heard.text, "etcdserver: authentication failed, invalid user ID or password") << name;
    EXPECT_EQ(heard.code, static_cast<int>(Code::kInvalidArgument));
  }
}

// The log and the state are what stays; that nothing is written to standard error is seen beside (tests/kvd).
TEST_F(Advisories, CVE_2021_28235_no_password_is_found_in_the_data_directory) {
  const std::string password = "correct horse battery staple";
  add_user("carol", password);
  (void)token_of("carol", password);
  AuthUserChangePasswordRequest change;
  change.set_name("carol");
  change.set_password(password + " 2");
  must(&Member::user_change_password, change);
  door_.reset();
  member_->stop(0);
  size_t files = 0;
  bool found_user = false;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path())) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    std::stringstream all;
    all << file.rdbuf();
    ++files;
    found_user = found_user || all.str().find("carol") != std::string::npos;
    EXPECT_EQ(all.str().find(password), std::string::npos) << entry.path();
  }
  EXPECT_GT(files, 3u);
  EXPECT_TRUE(found_user) << "this test looks in the wrong place";
}

TEST_F(Advisories, CVE_2023_32082_keys_of_a_lease_are_told_only_to_their_readers) {
  put("z", "1");
  const int64_t lease = lease_with("z-secret");
  LeaseTimeToLiveRequest request;
  request.set_id(lease);
  const std::string path = "/etcdserverpb.Lease/LeaseTimeToLive";
  // How long it lives is no secret between users; its keys are.
  EXPECT_TRUE(by_grpc(path, request, bob_).answered);
  request.set_keys(true);
  for (const std::string& token : {alice_, bob_}) {
    const Heard heard = by_grpc(path, request, token);
    EXPECT_TRUE(heard.is_denied()) << heard.text;
    EXPECT_FALSE(heard.has("z-secret"));
  }
  EXPECT_TRUE(by_grpc(path, request, root_).has("z-secret"));
  EXPECT_TRUE(by_grpc(path, request, std::nullopt).names_nobody());
}

TEST_F(Advisories, CVE_2026_33343_transactions_in_transactions_open_nothing) {
  put("z", "the secret");
  for (const bool writes : {false, true}) {
    for (int depth = 0; depth <= 3; ++depth) {
      TxnRequest request;
      TxnRequest* inner = &request;
      for (int d = 0; d < depth; ++d)
        inner = (d % 2 == 0 ? inner->add_failure() : inner->add_success())->mutable_request_txn();
      if (writes) {
        inner->add_success()->mutable_request_put()->set_key("z");
      } else {
        inner->add_success()->mutable_request_range()->set_key("z");
        inner->add_failure()->mutable_request_range()->set_key("z");
      }
      for (const auto& [who, token] : {std::pair{"alice", alice_}, std::pair{"bob", bob_}}) {
        const Heard grpc = by_grpc("/etcdserverpb.KV/Txn", request, token);
        EXPECT_TRUE(grpc.is_denied()) << who << " at depth " << depth << ": " << grpc.text;
        const Heard json = by_json("/v3/kv/txn", json_of(request), token);
        EXPECT_TRUE(json.is_denied()) << who << " at depth " << depth << ": " << json.text;
      }
    }
  }
  const auto still = must(&Member::range, [] {
    RangeRequest r;
    r.set_key("z");
    return r;
  }());
  ASSERT_EQ(still.kvs_size(), 1);
  EXPECT_EQ(still.kvs(0).value(), "the secret");
}

TEST_F(Advisories, CVE_2026_33413_members_alarms_leases_and_compaction_ask_who_is_there) {
  const int64_t lease = lease_with("z");
  LeaseRevokeRequest revoke;
  revoke.set_id(lease);
  AlarmRequest alarm;
  alarm.set_action(AlarmRequest::ACTIVATE);
  alarm.set_alarm(NOSPACE);
  CompactionRequest compact;
  compact.set_revision(2);
  const std::vector<std::pair<std::string, const google::protobuf::Message*>> calls = {
      {"/etcdserverpb.Cluster/MemberList", &MemberListRequest::default_instance()},
      {"/etcdserverpb.Maintenance/Alarm", &AlarmRequest::default_instance()},
      {"/etcdserverpb.Maintenance/Alarm", &alarm},
      {"/etcdserverpb.Lease/LeaseGrant", &LeaseGrantRequest::default_instance()},
      {"/etcdserverpb.Lease/LeaseRevoke", &revoke},
      {"/etcdserverpb.Lease/LeaseLeases", &LeaseLeasesRequest::default_instance()},
      {"/etcdserverpb.KV/Compact", &compact},
  };
  for (const auto& [path, request] : calls) {
    EXPECT_TRUE(by_grpc(path, *request, std::nullopt).names_nobody()) << path;
    EXPECT_TRUE(by_grpc(path, *request, "abcdefghijklmnop.1").has_invalid_token()) << path;
  }
  EXPECT_TRUE(by_grpc("/etcdserverpb.Lease/LeaseRevoke", revoke, alice_).is_denied());
  EXPECT_TRUE(by_grpc("/etcdserverpb.KV/Compact", compact, alice_).is_denied());
  // The lease and its key are still there.
  LeaseTimeToLiveRequest ask;
  ask.set_id(lease);
  ask.set_keys(true);
  EXPECT_EQ(must(&Member::lease_time_to_live, ask).keys_size(), 1);
}

TEST_F(Advisories, GHSA_xg4h_6gfc_h4m8_a_right_to_one_key_is_no_right_to_watch_all_after_it) {
  add_user("carol", "secret of carol");
  add_role("one key");
  grant("one key", authpb::Permission::READ, "k", "");
  give_role("carol", "one key");
  const std::string carol = token_of("carol", "secret of carol");
  const auto watch = [&](const std::string& key, const std::string& range_end) {
    WatchRequest request;
    request.mutable_create_request()->set_key(key);
    request.mutable_create_request()->set_range_end(range_end);
    const Heard heard = by_grpc("/etcdserverpb.Watch/Watch", request, carol);
    WatchResponse response;
    EXPECT_TRUE(response.ParseFromString(heard.bytes)) << heard.text;
    EXPECT_TRUE(response.created());
    return response;
  };
  EXPECT_FALSE(watch("k", "").canceled());
  for (const std::string& end : {kZero, std::string("l"), std::string("k\0\0", 3)}) {
    const WatchResponse refused = watch("k", end);
    EXPECT_TRUE(refused.canceled());
    EXPECT_EQ(refused.cancel_reason(), "etcdserver: permission denied");
    EXPECT_EQ(refused.watch_id(), -1);
  }
  EXPECT_TRUE(watch(kZero, kZero).canceled());
}

}  // namespace
}  // namespace kv::test
