// Users and rights of running members: under a storm of writes, at every member of a cluster, over a restart, and for
// those who wait: watches, keep-alives, locks.
#include <atomic>
#include <thread>

#include "members_fixture.h"
#include "server/locks.h"
#include "server/own_watch.h"

namespace kv::server {
namespace {

using namespace etcdserverpb;

class Caller {
 public:
  explicit Caller(Member& member) : member_(member) {}

  template <typename Request, typename Response>
  Response must(void (Member::*method)(CallPtr, std::unique_ptr<Request>, Done<Response>), const Request& request) {
    auto answer = call(member_, method, request, OwnCall::of_member());
    EXPECT_TRUE(answer.status.ok()) << answer.status.to_string();
    return std::move(answer.response);
  }
  void add_user(const std::string& name) {
    AuthUserAddRequest request;
    request.set_name(name);
    request.set_password("of " + name);
    must(&Member::user_add, request);
  }
  void give_role(const std::string& user, const std::string& role) {
    AuthUserGrantRoleRequest request;
    request.set_user(user);
    request.set_role(role);
    must(&Member::user_grant_role, request);
  }
  void add_role(const std::string& name, const std::string& key, const std::string& range_end) {
    AuthRoleAddRequest role;
    role.set_name(name);
    must(&Member::role_add, role);
    AuthRoleGrantPermissionRequest request;
    request.set_name(name);
    request.mutable_perm()->set_permtype(authpb::Permission::READWRITE);
    request.mutable_perm()->set_key(key);
    request.mutable_perm()->set_range_end(range_end);
    must(&Member::role_grant_permission, request);
  }
  // root, and alice who may write [a, b).
  void enable() {
    add_user("root");
    give_role("root", "root");
    add_user("alice");
    add_role("writer", "a", "b");
    give_role("alice", "writer");
    must(&Member::auth_enable, AuthEnableRequest());
  }
  AuthUserRevokeRoleResponse revoke() {
    AuthUserRevokeRoleRequest request;
    request.set_name("alice");
    request.set_role("writer");
    return must(&Member::user_revoke_role, request);
  }
  Answer<AuthenticateResponse> log_in(const std::string& user) {
    AuthenticateRequest request;
    request.set_name(user);
    request.set_password("of " + user);
    return call(member_, &Member::authenticate, request);
  }

 private:
  Member& member_;
};

// The gate's word about a call that carries `token`; `call` is then as a door would have it.
Status admit(Member& member, const CallPtr& call, const std::string& token, Right right = Right::kKeys) {
  call->token = token;
  auto promise = std::make_shared<std::promise<Status>>();
  auto answer = promise->get_future();
  member.gate().admit(call, right, [promise](Status status) { promise->set_value(std::move(status)); });
  if (answer.wait_for(std::chrono::seconds(10)) != std::future_status::ready)
    return {Code::kDeadlineExceeded, "the gate did not answer"};
  return answer.get();
}

Answer<PutResponse> put_with(Member& member, const std::string& token, const std::string& key) {
  const auto context = std::make_shared<InlineCall>();
  if (Status refused = admit(member, context, token); !refused.ok()) return {std::move(refused), {}};
  PutRequest request;
  request.set_key(key);
  request.set_value("v");
  return call(member, &Member::put, request, context);
}

// Watches [a, b) from the beginning and tells how that goes on.
class Watching {
 public:
  Watching(Member& member, const CallPtr& context) {
    WatchCreateRequest request;
    request.set_key("a");
    request.set_range_end("b");
    request.set_start_revision(1);
    watch_ = OwnWatch::start(member, context, request, [seen = seen_](const Status&, const WatchResponse* response) {
      if (response == nullptr) return;
      seen->events += response->events_size();
      if (response->canceled()) seen->ended.set_value(response->cancel_reason());
    });
  }
  int events() const { return seen_->events.load(); }
  std::string why_it_ended() {
    auto reason = seen_->ended.get_future();
    return reason.wait_for(std::chrono::seconds(10)) == std::future_status::ready ? reason.get() : "it goes on";
  }

 private:
  struct Seen {
    std::promise<std::string> ended;
    std::atomic<int> events{0};
  };
  // The hub's thread may be about to tell more when the watch goes.
  const std::shared_ptr<Seen> seen_ = std::make_shared<Seen>();
  std::unique_ptr<OwnWatch> watch_;
};

// A client that is known by its certificate comes back to the member that is the last to learn that users are asked
// for: its watch is from before that, and goes on.
class LoneAuthLate : public LoneMember {};
INSTANTIATE_TEST_SUITE_P(Pipeline, LoneAuthLate, testing::Values(1, 3));

TEST_P(LoneAuthLate, A_watch_from_before_is_its_certificates_and_ends_with_its_right) {
  options_.bcrypt_cost = 4;
  const auto member = start_and_wait();
  Caller caller(*member);
  {
    const auto alice = std::make_shared<InlineCall>();
    alice->certificate_user = "alice";
    ASSERT_TRUE(admit(*member, alice, "", Right::kEach).ok());
    Watching hers(*member, alice);
    const auto nobody = std::make_shared<InlineCall>();
    ASSERT_TRUE(admit(*member, nobody, "", Right::kEach).ok());
    Watching nobodys(*member, nobody);
    PutRequest put;
    put.set_key("a");
    caller.must(&Member::put, put);
    ASSERT_TRUE(eventually([&] { return hers.events() == 1 && nobodys.events() == 1; }));
    caller.enable();
    caller.must(&Member::put, put);
    EXPECT_EQ(nobodys.why_it_ended(), "etcdserver: user name is empty");
    EXPECT_TRUE(eventually([&] { return hers.events() == 2; }));
    caller.revoke();
    EXPECT_EQ(hers.why_it_ended(), "etcdserver: permission denied");
  }
  member->stop(0);
}

class LoneAuth : public LoneMember {
 protected:
  LoneAuth() {
    options_.bcrypt_cost = 4;
    member_ = start_and_wait();
    caller_ = std::make_unique<Caller>(*member_);
    caller_->enable();
    alice_ = caller_->log_in("alice").response.token();
    EXPECT_FALSE(alice_.empty());
  }
  ~LoneAuth() override { member_->stop(0); }

  std::unique_ptr<Member> member_;
  std::unique_ptr<Caller> caller_;
  std::string alice_;
};
INSTANTIATE_TEST_SUITE_P(Pipeline, LoneAuth, testing::Values(1, 3));

TEST_P(LoneAuth, No_write_of_a_user_comes_after_the_revision_of_its_revocation) {
  std::atomic<bool> stop{false};
  std::atomic<int64_t> last_written{0}, written{0};
  std::vector<std::thread> writers;
  std::atomic<int> surprises{0};
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([&, i] {
      while (!stop) {
        const auto answer = put_with(*member_, alice_, "a" + std::to_string(i));
        if (answer.status.ok()) {
          ++written;
          int64_t seen = last_written.load();
          const int64_t revision = answer.response.header().revision();
          while (revision > seen && !last_written.compare_exchange_weak(seen, revision)) {
          }
        } else if (answer.status.text() != "etcdserver: permission denied") {
          ++surprises;
        }
      }
    });
  }
  for (int round = 0; round < 20; ++round) {
    const int64_t before = written.load();
    ASSERT_TRUE(eventually([&] { return written.load() > before + 20; })) << "nobody writes in round " << round;
    // Others' rights come and go, which throws nobody out.
    caller_->add_role("other " + std::to_string(round), "x", "y");
    last_written = 0;
    const int64_t revoked_at = caller_->revoke().header().revision();
    const int64_t stands = written.load();
    // Somebody tries again, in vain, so that what was under way has been answered.
    EXPECT_EQ(put_with(*member_, alice_, "a").status.text(), "etcdserver: permission denied");
    EXPECT_LE(last_written.load(), revoked_at);
    EXPECT_LE(written.load(), stands + 4);  // answers that were on their way
    RangeRequest all;
    all.set_key("a");
    all.set_range_end("b");
    const RangeResponse found = caller_->must(&Member::range, all);
    for (const auto& kv : found.kvs()) EXPECT_LE(kv.mod_revision(), revoked_at);
    caller_->give_role("alice", "writer");
  }
  stop = true;
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(surprises.load(), 0);
}

TEST_P(LoneAuth, A_call_that_came_by_no_door_is_nobodys) {
  EXPECT_EQ(put(*member_, "a", "v").status.text(), "etcdserver: user name is empty");
  EXPECT_EQ(get(*member_, "a").status.text(), "etcdserver: user name is empty");
  EXPECT_EQ(call(*member_, &Member::user_list, AuthUserListRequest()).status.text(), "etcdserver: user name is empty");
  EXPECT_EQ(call(*member_, &Member::lease_leases, LeaseLeasesRequest()).status.text(),
            "etcdserver: user name is empty");
}

TEST_P(LoneAuth, A_new_password_ends_the_tokens_of_the_old_one) {
  EXPECT_TRUE(put_with(*member_, alice_, "a").status.ok());
  AuthUserChangePasswordRequest change;
  change.set_name("alice");
  change.set_password("another");
  caller_->must(&Member::user_change_password, change);
  EXPECT_EQ(put_with(*member_, alice_, "a").status.text(), "etcdserver: invalid auth token");
  EXPECT_EQ(caller_->log_in("alice").status.text(), "etcdserver: authentication failed, invalid user ID or password");
}

TEST_P(LoneAuth, A_watch_ends_when_the_right_to_it_does) {
  const auto context = std::make_shared<InlineCall>();
  ASSERT_TRUE(admit(*member_, context, alice_, Right::kEach).ok());
  std::promise<std::string> ended;
  std::atomic<int> events{0};
  WatchCreateRequest request;
  request.set_key("a");
  request.set_start_revision(1);  // the put may come before the watch stands
  const auto watch = OwnWatch::start(*member_, context, request, [&](const Status&, const WatchResponse* response) {
    if (response == nullptr) return;
    events += response->events_size();
    if (response->canceled()) ended.set_value(response->cancel_reason());
  });
  EXPECT_TRUE(put_with(*member_, alice_, "a").status.ok());
  ASSERT_TRUE(eventually([&] { return events.load() == 1; }));
  caller_->revoke();
  PutRequest secret;
  secret.set_key("a");
  caller_->must(&Member::put, secret);
  auto reason = ended.get_future();
  ASSERT_EQ(reason.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(reason.get(), "etcdserver: permission denied");
  EXPECT_EQ(events.load(), 1);
}

TEST_P(LoneAuth, A_lease_with_a_forbidden_key_is_not_kept_alive) {
  LeaseGrantRequest grant;
  grant.set_ttl(60);
  const int64_t lease = caller_->must(&Member::lease_grant, grant).id();
  PutRequest put;
  put.set_key("z");
  put.set_lease(lease);
  caller_->must(&Member::put, put);
  const auto context = std::make_shared<InlineCall>();
  ASSERT_TRUE(admit(*member_, context, alice_, Right::kEach).ok());
  LeaseKeepAliveRequest request;
  request.set_id(lease);
  EXPECT_EQ(call(*member_, &Member::lease_keep_alive, request, context).status.text(), "etcdserver: permission denied");
  put.set_key("a");
  put.set_lease(0);
  caller_->must(&Member::put, put);
  put.set_key("a");
  const auto second = caller_->must(&Member::lease_grant, grant).id();
  put.set_lease(second);
  caller_->must(&Member::put, put);
  request.set_id(second);
  EXPECT_TRUE(call(*member_, &Member::lease_keep_alive, request, context).status.ok());
}

TEST_P(LoneAuth, A_lock_is_taken_and_given_up_with_its_callers_rights) {
  Locks locks(*member_);
  v3lockpb::LockRequest request;
  request.set_name("z");
  const auto lock = [&](const std::string& token, const std::string& name) {
    const auto context = std::make_shared<InlineCall>();
    EXPECT_TRUE(admit(*member_, context, token).ok());
    request.set_name(name);
    auto promise = std::make_shared<std::promise<Status>>();
    auto answer = promise->get_future();
    locks.lock(context, std::make_unique<v3lockpb::LockRequest>(request),
               [promise](Status status, v3lockpb::LockResponse&&) { promise->set_value(std::move(status)); });
    return std::pair(context, std::move(answer));
  };
  EXPECT_EQ(lock(alice_, "z").second.get().text(), "etcdserver: permission denied");
  EXPECT_TRUE(lock(alice_, "a-lock").second.get().ok());
  // The second waits, gives up, and leaves no key behind: it withdraws as alice, too.
  auto [context, waits] = lock(alice_, "a-lock");
  RangeRequest keys;
  keys.set_key("a-lock/");
  keys.set_range_end("a-lock0");
  ASSERT_TRUE(eventually([&] { return caller_->must(&Member::range, keys).kvs_size() == 2; }));
  context->cancel();
  EXPECT_EQ(waits.get().code(), Code::kCanceled);
  EXPECT_TRUE(eventually([&] { return caller_->must(&Member::range, keys).kvs_size() == 1; }));
}

TEST_P(LoneAuth, Users_are_there_after_a_restart_and_tokens_are_not) {
  member_->stop(0);
  member_.reset();
  member_ = start_and_wait();
  EXPECT_EQ(put_with(*member_, alice_, "a").status.text(), "etcdserver: invalid auth token");
  Caller again(*member_);
  const std::string fresh = again.log_in("alice").response.token();
  EXPECT_TRUE(put_with(*member_, fresh, "a").status.ok());
  EXPECT_EQ(put_with(*member_, fresh, "b").status.text(), "etcdserver: permission denied");
}

TEST_P(LoneAuth, History_is_compacted_by_the_member_itself_whoever_may) {
  put_with(*member_, alice_, "a");
  CompactionRequest request;
  request.set_revision(2);
  const auto context = std::make_shared<InlineCall>();
  ASSERT_TRUE(admit(*member_, context, alice_).ok());
  EXPECT_EQ(call(*member_, &Member::compact, request, context).status.text(), "etcdserver: permission denied");
  EXPECT_TRUE(call(*member_, &Member::compact, request, OwnCall::of_member()).status.ok());
}

class ThreeAuth : public ThreeMembers {
 protected:
  ThreeAuth() : ThreeMembers([](MemberOptions& options) { options.bcrypt_cost = 4; }) {}
};

TEST_F(ThreeAuth, A_token_of_one_member_is_known_to_the_others_at_once) {
  Caller(*members_[0]).enable();
  for (int round = 0; round < 10; ++round) {
    const size_t at = static_cast<size_t>(round) % 3;
    // A member may be behind in its rights; then it says that there is no such user, and never that anything goes.
    ASSERT_TRUE(eventually([&] { return members_[at]->gate().closed(); }));
    const auto logged_in = Caller(*members_[at]).log_in("alice");
    ASSERT_TRUE(logged_in.status.ok()) << logged_in.status.to_string();
    for (const auto& member : members_) {
      ASSERT_TRUE(eventually([&] { return member->gate().closed(); }));
      const auto answer = put_with(*member, logged_in.response.token(), "a");
      EXPECT_TRUE(answer.status.ok()) << answer.status.to_string();
    }
  }
}

TEST_F(ThreeAuth, All_members_decide_the_same) {
  Caller(*members_[0]).enable();
  const std::string alice = Caller(*members_[0]).log_in("alice").response.token();
  const size_t leader = leader_place();
  const size_t follower = (leader + 1) % 3;
  for (int i = 0; i < 30; ++i) {
    (void)put_with(*members_[follower], alice, "a" + std::to_string(i));
    if (i == 10) Caller(*members_[leader]).revoke();
    if (i == 20) Caller(*members_[leader]).give_role("alice", "writer");
  }
  std::vector<HashKVResponse> hashes;
  const int64_t revision = Caller(*members_[leader])
                               .must(&Member::range,
                                     [] {
                                       RangeRequest r;
                                       r.set_key("a");
                                       return r;
                                     }())
                               .header()
                               .revision();
  for (const auto& member : members_) {
    HashKVRequest request;
    request.set_revision(revision);
    ASSERT_TRUE(eventually([&] {
      const auto hashed = call(*member, &Member::hash_kv, request, OwnCall::of_member());
      if (!hashed.status.ok()) return false;
      hashes.push_back(hashed.response);
      return true;
    }));
  }
  ASSERT_EQ(hashes.size(), 3u);
  EXPECT_EQ(hashes[0].hash(), hashes[1].hash());
  EXPECT_EQ(hashes[0].hash(), hashes[2].hash());
}

}  // namespace
}  // namespace kv::server
