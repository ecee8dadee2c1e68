// Users, roles and rights as state: what commands do, what they answer, what survives, and what a request needs.
#include <functional>

#include "store/auth_changes.h"
#include "store/auth_errors.h"
#include "store/auth_rights.h"
#include "temp_store.h"

namespace kv::store {
namespace {

using authpb::Permission;
using etcdserverpb::TxnRequest;

etcdserverpb::AuthUserAddRequest add_user(const std::string& name, const std::string& hash = "$2b$04$hash") {
  etcdserverpb::AuthUserAddRequest r;
  r.set_name(name);
  r.set_hashedpassword(hash);
  return r;
}
etcdserverpb::AuthUserDeleteRequest delete_user(const std::string& name) {
  etcdserverpb::AuthUserDeleteRequest r;
  r.set_name(name);
  return r;
}
etcdserverpb::AuthUserChangePasswordRequest change_password(const std::string& name, const std::string& hash) {
  etcdserverpb::AuthUserChangePasswordRequest r;
  r.set_name(name);
  r.set_hashedpassword(hash);
  return r;
}
etcdserverpb::AuthUserGrantRoleRequest grant_role(const std::string& user, const std::string& role) {
  etcdserverpb::AuthUserGrantRoleRequest r;
  r.set_user(user);
  r.set_role(role);
  return r;
}
etcdserverpb::AuthUserRevokeRoleRequest revoke_role(const std::string& user, const std::string& role) {
  etcdserverpb::AuthUserRevokeRoleRequest r;
  r.set_name(user);
  r.set_role(role);
  return r;
}
etcdserverpb::AuthRoleAddRequest add_role(const std::string& name) {
  etcdserverpb::AuthRoleAddRequest r;
  r.set_name(name);
  return r;
}
etcdserverpb::AuthRoleDeleteRequest delete_role(const std::string& name) {
  etcdserverpb::AuthRoleDeleteRequest r;
  r.set_role(name);
  return r;
}
etcdserverpb::AuthRoleGrantPermissionRequest grant(const std::string& role, Permission::Type type,
                                                   const std::string& key, const std::string& range_end = "") {
  etcdserverpb::AuthRoleGrantPermissionRequest r;
  r.set_name(role);
  r.mutable_perm()->set_permtype(type);
  r.mutable_perm()->set_key(key);
  r.mutable_perm()->set_range_end(range_end);
  return r;
}
etcdserverpb::AuthRoleRevokePermissionRequest revoke(const std::string& role, const std::string& key,
                                                     const std::string& range_end = "") {
  etcdserverpb::AuthRoleRevokePermissionRequest r;
  r.set_role(role);
  r.set_key(key);
  r.set_range_end(range_end);
  return r;
}

class AuthTest : public testing::Test {
 protected:
  template <typename Request>
  Status apply(const Request& request) {
    const auto batch = store_->begin();
    Status status = batch->auth().apply(request);
    EXPECT_TRUE(batch->commit(store_->applied_index() + 1, 1).ok());
    return status;
  }
  template <typename Request>
  void must(const Request& request) {
    const Status status = apply(request);
    ASSERT_TRUE(status.ok()) << status.to_string();
  }
  // "root" may all, "alice" what `type` says of [key, range_end).
  void enable_with_alice(Permission::Type type, const std::string& key, const std::string& range_end) {
    must(add_user("root"));
    must(grant_role("root", "root"));
    must(add_user("alice"));
    must(add_role("writer"));
    must(grant("writer", type, key, range_end));
    must(grant_role("alice", "writer"));
    must(etcdserverpb::AuthEnableRequest());
  }
  Identity now(const std::string& user) { return {user, store_->auth()->revision()}; }
  template <typename Request>
  Status permit(const Identity& who, const Request& request) {
    const auto batch = store_->begin();
    return Rights(batch->auth().now(), who, [&](int64_t lease) { return batch->lease_keys(lease); }).permit(request);
  }
  void hang_on_lease(int64_t lease, const std::string& key) {
    const auto batch = store_->begin();
    if (!batch->lease(lease)) {
      etcdserverpb::LeaseGrantRequest request;
      request.set_id(lease);
      request.set_ttl(60);
      etcdserverpb::LeaseGrantResponse granted;
      ASSERT_TRUE(batch->lease_grant(request, &granted).ok());
    }
    auto put = put_request(key, "v");
    put.set_lease(lease);
    etcdserverpb::PutResponse response;
    ASSERT_TRUE(batch->put(put, &response).ok());
    ASSERT_TRUE(batch->commit(store_->applied_index() + 1, 1).ok());
  }

  TempStore store_;
};

TEST_F(AuthTest, A_new_store_asks_nobody_who_they_are) {
  EXPECT_FALSE(store_->auth_enabled());
  EXPECT_EQ(store_->auth()->revision(), 1u);
  EXPECT_TRUE(store_->auth()->permit_root({}).ok());
  EXPECT_TRUE(store_->auth()->permit_write({}, "a", kZero).ok());
}

TEST_F(AuthTest, Users_and_roles_answer_as_etcd_does) {
  EXPECT_EQ(apply(etcdserverpb::AuthEnableRequest()), root_user_missing_error());
  EXPECT_EQ(apply(add_user("")), user_empty_error());
  must(add_user("root"));
  EXPECT_EQ(apply(add_user("root")), user_exists_error());
  EXPECT_EQ(apply(etcdserverpb::AuthEnableRequest()), root_role_missing_error());
  EXPECT_EQ(apply(grant_role("nobody", "root")), user_not_found_error());
  EXPECT_EQ(apply(grant_role("root", "reader")), role_not_found_error());
  must(grant_role("root", "root"));  // the one role that need not be there
  const uint64_t before = store_->auth()->revision();
  must(grant_role("root", "root"));  // again: nothing changes
  EXPECT_EQ(store_->auth()->revision(), before);

  EXPECT_EQ(apply(add_role("")), role_empty_error());
  must(add_role("reader"));
  EXPECT_EQ(apply(add_role("reader")), role_exists_error());
  etcdserverpb::AuthRoleGrantPermissionRequest nothing;
  nothing.set_name("reader");
  EXPECT_EQ(apply(nothing), permission_not_given_error());
  EXPECT_EQ(apply(grant("reader", Permission::READ, "")), invalid_auth_management_error());
  EXPECT_EQ(apply(grant("reader", Permission::READ, "b", "a")), invalid_auth_management_error());
  EXPECT_EQ(apply(grant("reader", Permission::READ, "b", "b")), invalid_auth_management_error());
  EXPECT_EQ(apply(grant("nobody", Permission::READ, "a")), role_not_found_error());
  must(grant("reader", Permission::READ, "b", kZero));
  EXPECT_EQ(apply(revoke("reader", "b")), permission_not_granted_error());
  EXPECT_EQ(apply(revoke("nobody", "b")), role_not_found_error());
  must(revoke("reader", "b", kZero));

  EXPECT_EQ(apply(revoke_role("nobody", "reader")), user_not_found_error());
  EXPECT_EQ(apply(revoke_role("root", "reader")), role_not_granted_error());
  EXPECT_EQ(apply(delete_role("nobody")), role_not_found_error());
  EXPECT_EQ(apply(delete_user("nobody")), user_not_found_error());
  EXPECT_EQ(apply(change_password("nobody", "h")), user_not_found_error());

  must(add_role("root"));
  must(etcdserverpb::AuthEnableRequest());
  must(etcdserverpb::AuthEnableRequest());
  EXPECT_TRUE(store_->auth_enabled());
  EXPECT_EQ(apply(delete_user("root")), invalid_auth_management_error());
  EXPECT_EQ(apply(delete_role("root")), invalid_auth_management_error());
  EXPECT_EQ(apply(revoke_role("root", "root")), invalid_auth_management_error());
  must(etcdserverpb::AuthDisableRequest());
  EXPECT_FALSE(store_->auth_enabled());
  must(delete_user("root"));
}

TEST_F(AuthTest, A_permission_that_is_granted_again_changes_its_kind) {
  must(add_role("r"));
  must(grant("r", Permission::READ, "b", "c"));
  must(grant("r", Permission::WRITE, "b"));
  must(grant("r", Permission::WRITE, "a"));
  must(grant("r", Permission::READWRITE, "b", "c"));
  const auto state = store_->auth();
  const auto& permissions = state->role("r")->permissions;
  ASSERT_EQ(permissions.size(), 3u);
  EXPECT_EQ(permissions[0].key(), "a");
  EXPECT_EQ(permissions[1].range_end(), "");
  EXPECT_EQ(permissions[2].permtype(), Permission::READWRITE);
}

TEST_F(AuthTest, All_of_it_is_there_after_a_restart) {
  enable_with_alice(Permission::READWRITE, "a", "b");
  auto carol = add_user("carol", "");
  carol.mutable_options()->set_no_password(true);
  must(carol);
  const auto before = store_->auth();
  store_.reopen();
  const auto after = store_->auth();
  EXPECT_TRUE(store_->auth_enabled());
  EXPECT_EQ(after->revision(), before->revision());
  EXPECT_EQ(after->users().size(), 3u);
  EXPECT_EQ(after->user("alice")->password_hash, "$2b$04$hash");
  EXPECT_EQ(after->user("alice")->proved_since, before->user("alice")->proved_since);
  EXPECT_TRUE(after->user("carol")->no_password);
  EXPECT_TRUE(after->permit_write(now("alice"), "a1", "").ok());
  EXPECT_FALSE(after->permit_write(now("alice"), "b", "").ok());
  EXPECT_TRUE(after->permit_root(now("root")).ok());
}

TEST_F(AuthTest, A_batch_that_is_not_committed_changes_nothing) {
  must(add_user("root"));
  {
    const auto batch = store_->begin();
    ASSERT_TRUE(batch->auth().apply(add_user("alice")).ok());
    EXPECT_NE(batch->auth().now().user("alice"), nullptr);
    EXPECT_EQ(store_->auth()->user("alice"), nullptr);
  }
  EXPECT_EQ(store_->auth()->user("alice"), nullptr);
  EXPECT_EQ(store_->auth()->revision(), 2u);
}

TEST_F(AuthTest, Damage_is_found_when_the_store_is_opened) {
  const auto batch = store_->begin();
  batch->put_record(auth_user_record("alice"), "\x02");
  ASSERT_TRUE(batch->commit(1, 1).ok());
  const StoreOptions options = store_.options;
  store_.close();
  const auto opened = Store::open(options);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), Code::kDataLoss);
}

TEST_F(AuthTest, Rights_are_asked_in_etcds_order) {
  enable_with_alice(Permission::READ, "a", "b");
  const auto state = store_->auth();
  EXPECT_EQ(state->permit_read({}, "a", ""), user_empty_error());
  EXPECT_EQ(state->permit_read({"alice", 0}, "a", ""), user_empty_error());
  // The bearer of a certificate without a name.
  EXPECT_EQ(state->permit_read(now(""), "a", ""), permission_denied_error());
  EXPECT_EQ(state->permit_root(now("")), user_empty_error());
  EXPECT_EQ(state->permit_read({"alice", 1}, "a", ""), old_auth_revision_error());
  EXPECT_EQ(state->permit_read(now("mallory"), "a", ""), permission_denied_error());
  EXPECT_EQ(state->permit_read(now("alice"), "b", ""), permission_denied_error());
  EXPECT_TRUE(state->permit_read(now("alice"), "a", "").ok());
  EXPECT_EQ(state->permit_write(now("alice"), "a", ""), permission_denied_error());
  EXPECT_EQ(state->permit_root(now("mallory")), user_not_found_error());
  EXPECT_EQ(state->permit_root(now("alice")), permission_denied_error());
  EXPECT_TRUE(state->permit_root(now("root")).ok());
  EXPECT_EQ(state->permit_user(now("mallory")), permission_denied_error());
  EXPECT_TRUE(state->permit_user(now("alice")).ok());
}

TEST_F(AuthTest, A_proof_holds_until_the_password_changes_or_the_user_goes) {
  enable_with_alice(Permission::READWRITE, "a", "b");
  const Identity alice = now("alice");
  // What happens to others, and to the rights, is looked up and does not throw anybody out.
  must(add_user("bob"));
  must(grant("writer", Permission::READ, "z"));
  EXPECT_TRUE(store_->auth()->permit_write(alice, "a", "").ok());
  must(change_password("alice", "other"));
  EXPECT_EQ(store_->auth()->permit_write(alice, "a", ""), old_auth_revision_error());

  const Identity second = now("alice");
  must(delete_user("alice"));
  EXPECT_EQ(store_->auth()->permit_write(second, "a", ""), permission_denied_error());
  must(add_user("alice"));
  must(grant_role("alice", "writer"));
  EXPECT_EQ(store_->auth()->permit_write(second, "a", ""), old_auth_revision_error());

  const Identity third = now("alice");
  must(etcdserverpb::AuthDisableRequest());
  must(etcdserverpb::AuthEnableRequest());
  EXPECT_EQ(store_->auth()->permit_write(third, "a", ""), old_auth_revision_error());
  EXPECT_TRUE(store_->auth()->permit_write(now("alice"), "a", "").ok());
}

TEST_F(AuthTest, A_role_that_is_deleted_takes_its_rights_with_it_for_good) {
  enable_with_alice(Permission::READWRITE, "a", "b");
  auto carol = add_user("carol", "");
  carol.mutable_options()->set_no_password(true);
  must(carol);
  must(grant_role("carol", "writer"));
  must(delete_role("writer"));
  EXPECT_EQ(store_->auth()->permit_read(now("alice"), "a", ""), permission_denied_error());
  must(add_role("writer"));
  must(grant("writer", Permission::READWRITE, "a", "b"));
  EXPECT_EQ(store_->auth()->permit_read(now("alice"), "a", ""), permission_denied_error());
  EXPECT_TRUE(store_->auth()->user("carol")->no_password);  // etcd forgets it here
}

TEST_F(AuthTest, Later_commands_of_a_batch_meet_what_earlier_ones_did) {
  enable_with_alice(Permission::READWRITE, "a", "b");
  const Identity alice = now("alice");
  const auto batch = store_->begin();
  const auto may_write = [&] {
    return Rights(batch->auth().now(), alice, [&](int64_t lease) { return batch->lease_keys(lease); })
        .permit(put_request("a", "v"));
  };
  EXPECT_TRUE(may_write().ok());
  ASSERT_TRUE(batch->auth().apply(revoke_role("alice", "writer")).ok());
  EXPECT_EQ(may_write(), permission_denied_error());
}

TEST_F(AuthTest, A_previous_value_must_be_readable) {
  enable_with_alice(Permission::WRITE, "a", "b");
  auto put = put_request("a", "v");
  EXPECT_TRUE(permit(now("alice"), put).ok());
  put.set_prev_kv(true);
  EXPECT_EQ(permit(now("alice"), put), permission_denied_error());
  auto deletion = delete_request("a", "b");
  EXPECT_TRUE(permit(now("alice"), deletion).ok());
  deletion.set_prev_kv(true);
  EXPECT_EQ(permit(now("alice"), deletion), permission_denied_error());
  EXPECT_EQ(permit(now("alice"), delete_request("a", "c")), permission_denied_error());
}

// The keys below a directory end with its TTL, so who sets one could have others' keys deleted.
TEST_F(AuthTest, A_directory_gets_a_ttl_from_those_who_may_write_all_below) {
  enable_with_alice(Permission::READWRITE, "/d", "");
  kvdpb::NodeRequest request;
  request.set_method(kvdpb::NodeRequest::PUT);
  request.set_path("/d");
  request.set_ttl_s(1);
  EXPECT_EQ(permit(now("alice"),
                   [&] {
                     auto r = request;
                     r.set_dir(true);
                     return r;
                   }()),
            permission_denied_error());
  EXPECT_EQ(permit(now("alice"),
                   [&] {
                     auto r = request;
                     r.set_prev_exist(true);
                     return r;
                   }()),
            permission_denied_error());
  request.set_value("v");
  EXPECT_TRUE(permit(now("alice"), request).ok());
  must(grant("writer", Permission::READWRITE, "/d/", "/d0"));
  request.clear_value();
  request.set_dir(true);
  EXPECT_TRUE(permit(now("alice"), request).ok());
}

// CVE-2026-33343: what stands in a transaction within a transaction was not looked at.
TEST_F(AuthTest, Transactions_are_looked_at_to_every_depth_on_both_ways) {
  enable_with_alice(Permission::READWRITE, "a", "b");
  const std::vector<std::function<void(TxnRequest*)>> forbidden = {
      [](TxnRequest* t) { t->add_compare()->set_key("c"); },
      [](TxnRequest* t) {
        auto* compare = t->add_compare();
        compare->set_key("a");
        compare->set_range_end(kZero);
      },
      [](TxnRequest* t) { t->add_success()->mutable_request_range()->set_key("c"); },
      [](TxnRequest* t) { t->add_failure()->mutable_request_range()->set_key("c"); },
      [](TxnRequest* t) { *t->add_success()->mutable_request_put() = put_request("c", ""); },
      [](TxnRequest* t) { *t->add_failure()->mutable_request_put() = put_request("c", ""); },
      [](TxnRequest* t) { *t->add_failure()->mutable_request_delete_range() = delete_request("a", "c"); },
  };
  for (const bool on_success : {true, false}) {
    for (size_t i = 0; i <= forbidden.size(); ++i) {
      for (int depth = 0; depth < 4; ++depth) {
        TxnRequest request;
        TxnRequest* inner = &request;
        for (int d = 0; d < depth; ++d)
          inner = (on_success ? inner->add_success() : inner->add_failure())->mutable_request_txn();
        inner->add_compare()->set_key("a");
        *inner->add_success()->mutable_request_put() = put_request("a1", "");
        if (i < forbidden.size()) forbidden[i](inner);
        const Status expected = i < forbidden.size() ? permission_denied_error() : Status();
        EXPECT_EQ(permit(now("alice"), request), expected) << "case " << i << " at depth " << depth;
        EXPECT_EQ(permit({}, request), user_empty_error());
      }
    }
  }
  EXPECT_EQ(permit({}, TxnRequest()), user_empty_error());
}

// GHSA-xg4h-6gfc-h4m8.
TEST_F(AuthTest, A_right_to_one_key_does_not_open_all_after_it) {
  enable_with_alice(Permission::READWRITE, "a", "");
  EXPECT_TRUE(permit(now("alice"), range_request("a")).ok());
  EXPECT_EQ(permit(now("alice"), range_request("a", kZero)), permission_denied_error());
  EXPECT_EQ(permit(now("alice"), range_request("a", "b")), permission_denied_error());
  EXPECT_EQ(permit(now("alice"), range_request(kZero, kZero)), permission_denied_error());
}

TEST_F(AuthTest, A_lease_is_as_forbidden_as_the_most_forbidden_key_on_it) {
  enable_with_alice(Permission::READWRITE, "a", "b");
  hang_on_lease(7, "a1");
  const auto rights = [&](auto ask) {
    const auto batch = store_->begin();
    const Identity alice = now("alice"), root = now("root"), nobody;
    const auto keys = [&](int64_t lease) { return batch->lease_keys(lease); };
    const AuthState& state = batch->auth().now();
    EXPECT_TRUE(ask(Rights(state, root, keys)).ok());
    EXPECT_EQ(ask(Rights(state, nobody, keys)), user_empty_error());
    return ask(Rights(state, alice, keys));
  };
  const auto write = [](const Rights& r) { return r.permit_to_write_lease(7); };
  const auto read = [](const Rights& r) { return r.permit_to_read_lease(7); };
  EXPECT_TRUE(rights(write).ok());
  EXPECT_TRUE(rights(read).ok());
  auto put = put_request("a2", "v");
  put.set_lease(7);
  EXPECT_TRUE(permit(now("alice"), put).ok());
  hang_on_lease(7, "c");
  EXPECT_EQ(rights(write), permission_denied_error());
  EXPECT_EQ(rights(read), permission_denied_error());
  EXPECT_EQ(permit(now("alice"), put), permission_denied_error());
}

// Whoever sees what was committed after a change of rights finds these rights, and was told.
TEST_F(AuthTest, Rights_are_published_before_the_data_committed_with_them) {
  struct Listener final : CommitListener {
    explicit Listener(TempStore& s) : store(s) {}
    void rights_changed() override {
      ++told;
      enabled = store->auth_enabled();
      value = store.get("k");
    }
    void committed() override {}
    TempStore& store;
    int told = 0;
    bool enabled = false;
    std::string value;
  } listener(store_);
  must(add_user("root"));
  must(grant_role("root", "root"));
  store_->set_commit_listener(&listener);
  const auto batch = store_->begin();
  etcdserverpb::PutResponse response;
  ASSERT_TRUE(batch->put(put_request("k", "v"), &response).ok());
  ASSERT_TRUE(batch->auth().apply(etcdserverpb::AuthEnableRequest()).ok());
  ASSERT_TRUE(batch->commit(store_->applied_index() + 1, 1).ok());
  EXPECT_EQ(listener.told, 1);
  EXPECT_TRUE(listener.enabled);
  EXPECT_EQ(listener.value, "(none)");
  EXPECT_EQ(store_.get("k"), "v");
  store_->set_commit_listener(nullptr);
}

}  // namespace
}  // namespace kv::store
