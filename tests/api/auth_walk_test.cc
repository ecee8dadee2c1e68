// Every call of the call table through every door, as every kind of caller: nothing that is not listed here is served,
// and what is listed is open to those who are listed and to nobody else. The list is this test's own: it is compared
// with what the doors do, not with what the call table says.
#include <functional>
#include <map>
#include <set>

#include "api/json/paths.h"
#include "auth_doors.h"
#include "grpc/health/v1/health.pb.h"
#include "v3electionpb/v3election.pb.h"
#include "v3lockpb/v3lock.pb.h"

namespace kv::test {
namespace {

using namespace etcdserverpb;
using google::protobuf::Message;

// Who gets past. Everybody else hears: nobody "user name is empty", a made-up token "invalid auth token", a user
// "permission denied".
enum class Open : uint8_t {
  kToAll,    // also to nobody
  kToUsers,  // alice, bob, root
  kToAlice,  // alice and root: her keys, or herself
  kToRoot,
};

struct Listed {
  Open open;
  // A request that harms nothing when it is admitted. Made anew for each caller: some use up what they name.
  std::function<std::unique_ptr<Message>(const std::string& caller)> request;
};

template <typename Request>
std::function<std::unique_ptr<Message>(const std::string&)> make(
    std::function<void(Request&, const std::string& caller)> fill = {}) {
  return [fill](const std::string& caller) {
    auto request = std::make_unique<Request>();
    if (fill) fill(*request, caller);
    return request;
  };
}

class AuthWalk : public AuthDoors {
 protected:
  AuthWalk() {
    put("a", "1");
    put("a-elect/1", "leads");
    lease_ = lease_with("a-leased");

    const auto add = [this](const std::string& path, Open open, auto request) { list_[path] = {open, request}; };
    const std::string kv = "/etcdserverpb.KV/", lease = "/etcdserverpb.Lease/", auth = "/etcdserverpb.Auth/",
                      cluster = "/etcdserverpb.Cluster/", maintenance = "/etcdserverpb.Maintenance/";
    add(kv + "Range", Open::kToAlice, make<RangeRequest>([](auto& r, auto&) { r.set_key("a"); }));
    add(kv + "RangeStream", Open::kToAlice, make<RangeRequest>([](auto& r, auto&) { r.set_key("a"); }));
    add(kv + "Put", Open::kToAlice, make<PutRequest>([](auto& r, auto&) { r.set_key("a"); }));
    add(kv + "DeleteRange", Open::kToAlice, make<DeleteRangeRequest>([](auto& r, auto&) { r.set_key("a-gone"); }));
    add(kv + "Txn", Open::kToAlice,
        make<TxnRequest>([](auto& r, auto&) { r.add_success()->mutable_request_put()->set_key("a"); }));
    add(kv + "Compact", Open::kToRoot, make<CompactionRequest>([](auto& r, auto&) { r.set_revision(1LL << 50); }));

    add("/etcdserverpb.Watch/Watch", Open::kToAlice,
        make<WatchRequest>([](auto& r, auto&) { r.mutable_create_request()->set_key("a"); }));

    add(lease + "LeaseGrant", Open::kToUsers, make<LeaseGrantRequest>([](auto& r, auto&) { r.set_ttl(60); }));
    add(lease + "LeaseRevoke", Open::kToAlice,
        make<LeaseRevokeRequest>([this](auto& r, auto&) { r.set_id(lease_with("a-to-revoke")); }));
    add(lease + "LeaseKeepAlive", Open::kToAlice,
        make<LeaseKeepAliveRequest>([this](auto& r, auto&) { r.set_id(lease_); }));
    add(lease + "LeaseTimeToLive", Open::kToAlice, make<LeaseTimeToLiveRequest>([this](auto& r, auto&) {
          r.set_id(lease_);
          r.set_keys(true);
        }));
    add(lease + "LeaseLeases", Open::kToAlice, make<LeaseLeasesRequest>());

    add(cluster + "MemberList", Open::kToUsers, make<MemberListRequest>());
    add(cluster + "MemberAdd", Open::kToRoot, make<MemberAddRequest>([](auto& r, auto&) { r.add_peerurls("no url"); }));
    add(cluster + "MemberRemove", Open::kToRoot, make<MemberRemoveRequest>([](auto& r, auto&) { r.set_id(1); }));
    add(cluster + "MemberUpdate", Open::kToRoot, make<MemberUpdateRequest>([](auto& r, auto&) {
          r.set_id(1);
          r.add_peerurls("no url");
        }));
    add(cluster + "MemberPromote", Open::kToRoot, make<MemberPromoteRequest>([](auto& r, auto&) { r.set_id(1); }));

    add(maintenance + "Alarm", Open::kToRoot, make<AlarmRequest>([](auto& r, auto&) {
          r.set_action(AlarmRequest::DEACTIVATE);
          r.set_alarm(NOSPACE);
        }));
    add(maintenance + "Status", Open::kToUsers, make<StatusRequest>());
    add(maintenance + "Hash", Open::kToRoot, make<HashRequest>());
    add(maintenance + "HashKV", Open::kToRoot, make<HashKVRequest>());
    add(maintenance + "MoveLeader", Open::kToRoot, make<MoveLeaderRequest>([](auto& r, auto&) { r.set_targetid(1); }));
    add(maintenance + "Defragment", Open::kToRoot, make<DefragmentRequest>());
    add(maintenance + "Snapshot", Open::kToRoot, make<SnapshotRequest>());
    add(maintenance + "Downgrade", Open::kToRoot, make<DowngradeRequest>([](auto& r, auto&) { r.set_version("x"); }));

    add(auth + "AuthStatus", Open::kToAll, make<AuthStatusRequest>());
    add(auth + "Authenticate", Open::kToAll, make<AuthenticateRequest>([](auto& r, auto&) {
          r.set_name("alice");
          r.set_password("secret of alice");
        }));
    add(auth + "AuthEnable", Open::kToRoot, make<AuthEnableRequest>());
    add(auth + "AuthDisable", Open::kToRoot, make<AuthDisableRequest>());  // root does it last, see below
    add(auth + "UserAdd", Open::kToRoot, make<AuthUserAddRequest>([](auto& r, const std::string& caller) {
          r.set_name("made by " + caller);
          r.mutable_options()->set_no_password(true);
        }));
    add(auth + "UserGet", Open::kToAlice, make<AuthUserGetRequest>([](auto& r, auto&) { r.set_name("alice"); }));
    add(auth + "UserList", Open::kToRoot, make<AuthUserListRequest>());
    add(auth + "UserDelete", Open::kToRoot, make<AuthUserDeleteRequest>([](auto& r, auto&) { r.set_name("zoe"); }));
    add(auth + "UserChangePassword", Open::kToRoot, make<AuthUserChangePasswordRequest>([](auto& r, auto&) {
          r.set_name("zoe");
          r.set_password("another");
        }));
    add(auth + "UserGrantRole", Open::kToRoot, make<AuthUserGrantRoleRequest>([](auto& r, auto&) {
          r.set_user("zoe");
          r.set_role("root");
        }));
    add(auth + "UserRevokeRole", Open::kToRoot, make<AuthUserRevokeRoleRequest>([](auto& r, auto&) {
          r.set_name("zoe");
          r.set_role("writer");
        }));
    add(auth + "RoleAdd", Open::kToRoot,
        make<AuthRoleAddRequest>([](auto& r, const std::string& caller) { r.set_name("made by " + caller); }));
    add(auth + "RoleGet", Open::kToAlice, make<AuthRoleGetRequest>([](auto& r, auto&) { r.set_role("writer"); }));
    add(auth + "RoleList", Open::kToRoot, make<AuthRoleListRequest>());
    add(auth + "RoleDelete", Open::kToRoot, make<AuthRoleDeleteRequest>([](auto& r, auto&) { r.set_role("none"); }));
    add(auth + "RoleGrantPermission", Open::kToRoot, make<AuthRoleGrantPermissionRequest>([](auto& r, auto&) {
          r.set_name("none");
          r.mutable_perm()->set_key("z");
        }));
    add(auth + "RoleRevokePermission", Open::kToRoot, make<AuthRoleRevokePermissionRequest>([](auto& r, auto&) {
          r.set_role("none");
          r.set_key("z");
        }));

    add("/v3lockpb.Lock/Lock", Open::kToAlice,
        make<v3lockpb::LockRequest>([](auto& r, const std::string& caller) { r.set_name("a-lock-" + caller); }));
    add("/v3lockpb.Lock/Unlock", Open::kToAlice,
        make<v3lockpb::UnlockRequest>([](auto& r, auto&) { r.set_key("a-lock-of-nobody"); }));
    const std::string election = "/v3electionpb.Election/";
    add(election + "Campaign", Open::kToAlice,
        make<v3electionpb::CampaignRequest>(
            [](auto& r, const std::string& caller) { r.set_name("a-campaign-" + caller); }));
    const auto leader = [](auto& r, auto&) {
      r.mutable_leader()->set_name("a-nobody");
      r.mutable_leader()->set_key("a-nobody/1");
      r.mutable_leader()->set_rev(1);
    };
    add(election + "Proclaim", Open::kToAlice, make<v3electionpb::ProclaimRequest>(leader));
    add(election + "Resign", Open::kToAlice, make<v3electionpb::ResignRequest>(leader));
    add(election + "Leader", Open::kToAlice,
        make<v3electionpb::LeaderRequest>([](auto& r, auto&) { r.set_name("a-elect"); }));
    add(election + "Observe", Open::kToAlice,
        make<v3electionpb::LeaderRequest>([](auto& r, auto&) { r.set_name("a-elect"); }));

    add("/grpc.health.v1.Health/Check", Open::kToAll, make<grpc::health::v1::HealthCheckRequest>());
    add("/grpc.health.v1.Health/Watch", Open::kToAll, make<grpc::health::v1::HealthCheckRequest>());
    // One word of any request that asks something: reflection's are of types of their own.
    for (const char* version : {"v1", "v1alpha"}) {
      add(std::string("/grpc.reflection.") + version + ".ServerReflection/ServerReflectionInfo", Open::kToAll,
          [this, version](const std::string&) {
            const auto* row =
                table_->find(std::string("/grpc.reflection.") + version + ".ServerReflection/ServerReflectionInfo");
            std::unique_ptr<Message> request(row->request_prototype->New());
            const auto* field = request->GetDescriptor()->FindFieldByName("list_services");
            request->GetReflection()->SetString(request.get(), field, "*");
            return request;
          });
    }
  }

  using Ask = std::function<Heard(const std::string& caller, const std::optional<std::string>& token)>;

  void expect(const std::string& what, Open open, const Ask& ask, bool root_too) {
    SCOPED_TRACE(what);
    const Heard nobody = ask("nobody", std::nullopt);
    const Heard stranger = ask("stranger", "abcdefghijklmnop.3");
    const Heard from_the_future = ask("stranger", "abcdefghijklmnop.999999999");
    const Heard bob = ask("bob", bob_);
    const Heard alice = ask("alice", alice_);
    if (open == Open::kToAll) {
      EXPECT_TRUE(nobody.is_admitted()) << nobody.text;
      EXPECT_TRUE(stranger.is_admitted()) << stranger.text;
    } else {
      EXPECT_TRUE(nobody.names_nobody()) << nobody.text;
      EXPECT_TRUE(stranger.has_invalid_token()) << stranger.text;
      EXPECT_TRUE(from_the_future.has_invalid_token()) << from_the_future.text;
    }
    if (open == Open::kToAll || open == Open::kToUsers) {
      EXPECT_TRUE(bob.is_admitted()) << bob.text;
    } else {
      EXPECT_TRUE(bob.is_denied()) << bob.text;
    }
    if (open == Open::kToRoot) {
      EXPECT_TRUE(alice.is_denied()) << alice.text;
    } else {
      EXPECT_TRUE(alice.is_admitted()) << alice.text;
    }
    if (!root_too) return;
    const Heard root = ask("root", root_);
    EXPECT_TRUE(root.is_admitted()) << root.text;
  }

  int64_t lease_ = 0;
  std::map<std::string, Listed> list_;
};

const std::string kDisable = "/etcdserverpb.Auth/AuthDisable";

TEST_F(AuthWalk, Every_call_is_listed_and_every_listed_call_is_served) {
  std::set<std::string> served, listed;
  for (const auto& row : table_->rows()) served.insert(row->path);
  for (const auto& [path, entry] : list_) listed.insert(path);
  for (const std::string& path : served) {
    EXPECT_TRUE(listed.contains(path)) << path << " is served, and this test does not say to whom";
  }
  for (const std::string& path : listed) {
    // Calls of rooms that are not built yet may be listed; all others are served.
    if (!served.contains(path)) GTEST_LOG_(INFO) << path << " is listed, and not served";
  }
}

TEST_F(AuthWalk, Every_call_by_gRPC) {
  for (const auto& row : table_->rows()) {
    ASSERT_TRUE(list_.contains(row->path)) << row->path;
    const Listed& listed = list_[row->path];
    expect(
        row->path, listed.open,
        [&](const std::string& caller, const std::optional<std::string>& token) {
          return by_grpc(row->path, *listed.request(caller), token);
        },
        row->path != kDisable);
  }
  const Heard off = by_grpc(kDisable, AuthDisableRequest(), root_);
  EXPECT_TRUE(off.answered) << off.text;
  EXPECT_TRUE(by_grpc("/etcdserverpb.KV/Put", *list_["/etcdserverpb.KV/Put"].request("nobody"), std::nullopt).answered);
}

TEST_F(AuthWalk, Every_call_by_the_JSON_gateway) {
  size_t walked = 0;
  for (const api::GatewayPath& path : api::gateway_paths()) {
    if (table_->find(path.call) == nullptr) continue;
    ++walked;
    const std::string call(path.call);
    ASSERT_TRUE(list_.contains(call)) << call;
    const Listed& listed = list_[call];
    expect(
        std::string(path.http), listed.open,
        [&](const std::string& caller, const std::optional<std::string>& token) {
          return by_json(std::string(path.http), json_of(*listed.request(caller + " by json")), token);
        },
        call != kDisable);
  }
  EXPECT_GT(walked, 40u);
  const Heard off = by_json("/v3/auth/disable", "{}", root_);
  EXPECT_TRUE(off.answered) << off.text;
}

TEST_F(AuthWalk, Alarms_may_be_listed_by_every_user) {
  const std::string alarm = "/etcdserverpb.Maintenance/Alarm";
  EXPECT_TRUE(by_grpc(alarm, AlarmRequest(), std::nullopt).names_nobody());
  EXPECT_TRUE(by_grpc(alarm, AlarmRequest(), bob_).answered);
  EXPECT_TRUE(by_json("/v3/maintenance/alarm", "{}", std::nullopt).names_nobody());
  EXPECT_TRUE(by_json("/v3/maintenance/alarm", "{}", bob_).answered);
}

TEST_F(AuthWalk, A_token_comes_as_token_or_as_authorization_with_or_without_Bearer) {
  const auto status = [&](const std::string& key, const std::string& token) {
    return by_grpc("/etcdserverpb.Maintenance/Status", StatusRequest(), token, key).answered;
  };
  EXPECT_TRUE(status("token", alice_));
  EXPECT_TRUE(status("authorization", alice_));
  EXPECT_TRUE(status("authorization", "Bearer " + alice_));
  EXPECT_TRUE(by_json("/v3/maintenance/status", "{}", "Bearer " + alice_).answered);
  EXPECT_FALSE(status("authorization", "Basic " + alice_));
}

}  // namespace
}  // namespace kv::test
