// How users and roles change: AuthTable is what readers are shown, AuthChanges what one batch makes of it.
//
// They are kept as records of the store (docs/formats.md, "Users and roles"), in the same atomic batch as everything
// else that was applied with them.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "etcdserverpb/rpc.pb.h"
#include "store/auth_state.h"

namespace kv::store {

inline constexpr std::string_view kAuthRecordPrefix = "auth/";

// The users and roles of the last commit. The thread that applies changes them, any thread asks.
class AuthTable {
 public:
  using Records = std::vector<std::pair<std::string, std::string>>;  // names, with the prefix, and values

  // What those of the records that are about users and roles hold. DataLoss when one can't be read: nobody may take
  // rights that can't be read for rights that were not given.
  static Result<std::shared_ptr<const AuthState>> read(const Records& records);
  // From now on this is what readers are shown.
  void publish(std::shared_ptr<const AuthState> state);

  // What every call asks first, so it must cost nothing while authentication is off.
  bool enabled() const { return enabled_.load(std::memory_order_acquire); }
  std::shared_ptr<const AuthState> state() const { return state_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> enabled_{false};
  std::atomic<std::shared_ptr<const AuthState>> state_{std::make_shared<const AuthState>()};
};

// The changes of one batch. Each answers as etcd does, errors included, and has changed nothing when it answers one.
// Who may do so is not asked here (store/auth_rights.h).
class AuthChanges {
 public:
  explicit AuthChanges(AuthTable& table) : table_(table) {}

  // As this batch has made it so far. Valid until the next change.
  const AuthState& now() const { return *state(); }

  // Needs a user "root" with the role "root". Ok when it is on already.
  Status apply(const etcdserverpb::AuthEnableRequest& request);
  // No proof of identity from before holds afterwards.
  Status apply(const etcdserverpb::AuthDisableRequest& request);
  // Passwords come as bcrypt hashes, in hashedPassword; a plain one is passed over.
  Status apply(const etcdserverpb::AuthUserAddRequest& request);
  Status apply(const etcdserverpb::AuthUserDeleteRequest& request);
  Status apply(const etcdserverpb::AuthUserChangePasswordRequest& request);
  Status apply(const etcdserverpb::AuthUserGrantRoleRequest& request);
  Status apply(const etcdserverpb::AuthUserRevokeRoleRequest& request);
  Status apply(const etcdserverpb::AuthRoleAddRequest& request);
  Status apply(const etcdserverpb::AuthRoleDeleteRequest& request);
  Status apply(const etcdserverpb::AuthRoleGrantPermissionRequest& request);
  Status apply(const etcdserverpb::AuthRoleRevokePermissionRequest& request);

  bool changed() const { return changed_ != nullptr; }
  // The records that change, and without a value those that go. Before the batch is written.
  const std::map<std::string, std::optional<std::string>>& records() const { return records_; }
  // Before what else was committed with it is visible: a reader who sees data sees the rights that go with them.
  void publish();

 private:
  const AuthState* state() const;
  AuthState& change();
  void count();
  void put_user(const std::string& name, AuthUser user);
  void put_role(const std::string& name, AuthRole role);
  void renew_rights_of_holders(const std::string& role);

  AuthTable& table_;
  mutable std::shared_ptr<const AuthState> before_;  // the table's, once somebody has asked
  std::shared_ptr<AuthState> changed_;
  std::map<std::string, std::optional<std::string>> records_;
};

// ---- records ----

std::string auth_user_record(std::string_view name);
std::string auth_role_record(std::string_view name);
std::string encode_auth_user(const AuthUser& user);
std::string encode_auth_role(const AuthRole& role);
[[nodiscard]] bool decode_auth_user(std::string_view bytes, AuthUser* user);
[[nodiscard]] bool decode_auth_role(std::string_view bytes, AuthRole* role);

}  // namespace kv::store
