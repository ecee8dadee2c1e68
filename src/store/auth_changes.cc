#include "store/auth_changes.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "store/auth_errors.h"
#include "store/encoding.h"

namespace kv::store {
namespace {

constexpr char kFormat = 1;
constexpr std::string_view kStateRecord = "auth/state";
constexpr std::string_view kUserPrefix = "auth/user/";
constexpr std::string_view kRolePrefix = "auth/role/";

bool has_role(const AuthUser& user, std::string_view role) {
  return std::binary_search(user.roles.begin(), user.roles.end(), role);
}

auto place(const authpb::Permission& p) { return std::tie(p.key(), p.range_end()); }

// What the user's roles amount to.
void derive_rights(const AuthState::Roles& roles, AuthUser* user) {
  user->root = has_role(*user, kRoot);
  user->readable = {};
  user->writable = {};
  for (const std::string& name : user->roles) {
    const auto role = roles.find(name);
    if (role == roles.end()) continue;
    for (const authpb::Permission& p : role->second->permissions) {
      if (p.permtype() == authpb::Permission::READ || p.permtype() == authpb::Permission::READWRITE)
        user->readable.add(p.key(), p.range_end());
      if (p.permtype() == authpb::Permission::WRITE || p.permtype() == authpb::Permission::READWRITE)
        user->writable.add(p.key(), p.range_end());
    }
  }
}

// etcd's rules: a key is named, and a range is one that can hold a key.
bool is_range(std::string_view key, std::string_view range_end) {
  if (key.empty()) return false;
  return range_end.empty() || range_end == std::string_view("\0", 1) || key < range_end;
}

std::string encode_state(bool enabled, uint64_t revision, uint64_t valid_from) {
  std::string out{kFormat, static_cast<char>(enabled ? 1 : 0)};
  put_varint(&out, revision);
  put_varint(&out, valid_from);
  return out;
}

bool decode_state(std::string_view bytes, bool* enabled, uint64_t* revision, uint64_t* valid_from) {
  if (bytes.size() < 2 || bytes[0] != kFormat || static_cast<uint8_t>(bytes[1]) > 1) return false;
  *enabled = bytes[1] == 1;
  bytes.remove_prefix(2);
  return get_varint(&bytes, revision) && get_varint(&bytes, valid_from) && bytes.empty() && *revision > 0;
}

Status damaged(std::string_view name) {
  return {Code::kDataLoss, "state: record \"" + std::string(name) + "\" is damaged"};
}

}  // namespace

// ---- records ----

std::string auth_user_record(std::string_view name) { return std::string(kUserPrefix).append(name); }
std::string auth_role_record(std::string_view name) { return std::string(kRolePrefix).append(name); }

std::string encode_auth_user(const AuthUser& user) {
  std::string out{kFormat};
  put_varint(&out, user.proved_since);
  authpb::User message;
  message.set_password(user.password_hash);
  for (const std::string& role : user.roles) message.add_roles(role);
  message.mutable_options()->set_no_password(user.no_password);
  return out + message.SerializeAsString();
}

bool decode_auth_user(std::string_view bytes, AuthUser* user) {
  if (bytes.empty() || bytes[0] != kFormat) return false;
  bytes.remove_prefix(1);
  authpb::User message;
  if (!get_varint(&bytes, &user->proved_since)) return false;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return false;
  user->password_hash = message.password();
  user->no_password = message.options().no_password();
  user->roles.assign(message.roles().begin(), message.roles().end());
  return std::is_sorted(user->roles.begin(), user->roles.end());
}

std::string encode_auth_role(const AuthRole& role) {
  std::string out{kFormat};
  authpb::Role message;
  for (const authpb::Permission& p : role.permissions) *message.add_keypermission() = p;
  return out + message.SerializeAsString();
}

bool decode_auth_role(std::string_view bytes, AuthRole* role) {
  if (bytes.empty() || bytes[0] != kFormat) return false;
  authpb::Role message;
  if (!message.ParseFromArray(bytes.data() + 1, static_cast<int>(bytes.size() - 1))) return false;
  role->permissions.assign(message.keypermission().begin(), message.keypermission().end());
  return std::is_sorted(role->permissions.begin(), role->permissions.end(),
                        [](const auto& a, const auto& b) { return place(a) < place(b); });
}

// ---- AuthTable ----

Result<std::shared_ptr<const AuthState>> AuthTable::read(const Records& records) {
  auto state = std::make_shared<AuthState>();
  std::map<std::string, AuthUser> users;
  for (const auto& [name, value] : records) {
    if (!name.starts_with(kAuthRecordPrefix)) continue;
    if (name == kStateRecord) {
      if (!decode_state(value, &state->enabled_, &state->revision_, &state->valid_from_)) return damaged(name);
    } else if (name.starts_with(kUserPrefix)) {
      if (!decode_auth_user(value, &users[name.substr(kUserPrefix.size())])) return damaged(name);
    } else if (name.starts_with(kRolePrefix)) {
      AuthRole role;
      if (!decode_auth_role(value, &role)) return damaged(name);
      state->roles_[name.substr(kRolePrefix.size())] = std::make_shared<const AuthRole>(std::move(role));
    } else {
      return damaged(name);
    }
  }
  for (auto& [name, user] : users) {
    derive_rights(state->roles_, &user);
    state->users_[name] = std::make_shared<const AuthUser>(std::move(user));
  }
  return std::shared_ptr<const AuthState>(std::move(state));
}

void AuthTable::publish(std::shared_ptr<const AuthState> state) {
  // Who finds it enabled finds a state that is. Who still finds it disabled answers by the old one.
  const bool enabled = state->enabled();
  state_.store(std::move(state), std::memory_order_release);
  enabled_.store(enabled, std::memory_order_release);
}

// ---- AuthChanges ----

const AuthState* AuthChanges::state() const {
  if (changed_) return changed_.get();
  if (!before_) before_ = table_.state();
  return before_.get();
}

AuthState& AuthChanges::change() {
  if (!changed_) changed_ = std::make_shared<AuthState>(*state());
  return *changed_;
}

void AuthChanges::count() {
  AuthState& s = change();
  ++s.revision_;
  records_[std::string(kStateRecord)] = encode_state(s.enabled_, s.revision_, s.valid_from_);
}

void AuthChanges::put_user(const std::string& name, AuthUser user) {
  AuthState& s = change();
  derive_rights(s.roles_, &user);
  records_[auth_user_record(name)] = encode_auth_user(user);
  s.users_[name] = std::make_shared<const AuthUser>(std::move(user));
}

void AuthChanges::put_role(const std::string& name, AuthRole role) {
  records_[auth_role_record(name)] = encode_auth_role(role);
  change().roles_[name] = std::make_shared<const AuthRole>(std::move(role));
  renew_rights_of_holders(name);
}

void AuthChanges::renew_rights_of_holders(const std::string& role) {
  AuthState& s = change();
  for (auto& [name, user] : s.users_) {
    if (!has_role(*user, role)) continue;
    AuthUser renewed = *user;
    derive_rights(s.roles_, &renewed);
    user = std::make_shared<const AuthUser>(std::move(renewed));
  }
}

void AuthChanges::publish() {
  if (!changed_) return;
  table_.publish(changed_);
  before_ = std::move(changed_);
}

Status AuthChanges::apply(const etcdserverpb::AuthEnableRequest&) {
  if (now().enabled()) return {};
  const AuthUser* root = now().user(kRoot);
  if (root == nullptr) return root_user_missing_error();
  if (!root->root) return root_role_missing_error();
  AuthState& s = change();
  s.enabled_ = true;
  records_[std::string(kStateRecord)] = encode_state(true, s.revision_, s.valid_from_);
  return {};
}

Status AuthChanges::apply(const etcdserverpb::AuthDisableRequest&) {
  if (!now().enabled()) return {};
  AuthState& s = change();
  s.enabled_ = false;
  s.valid_from_ = s.revision_ + 1;
  count();
  return {};
}

Status AuthChanges::apply(const etcdserverpb::AuthUserAddRequest& request) {
  if (request.name().empty()) return user_empty_error();
  if (now().user(request.name()) != nullptr) return user_exists_error();
  count();
  AuthUser user;
  user.no_password = request.options().no_password();
  if (!user.no_password) user.password_hash = request.hashedpassword();
  user.proved_since = now().revision();
  put_user(request.name(), std::move(user));
  return {};
}

Status AuthChanges::apply(const etcdserverpb::AuthUserDeleteRequest& request) {
  if (now().enabled() && request.name() == kRoot) return invalid_auth_management_error();
  if (now().user(request.name()) == nullptr) return user_not_found_error();
  count();
  change().users_.erase(request.name());
  records_[auth_user_record(request.name())] = std::nullopt;
  return {};
}

Status AuthChanges::apply(const etcdserverpb::AuthUserChangePasswordRequest& request) {
  const AuthUser* before = now().user(request.name());
  if (before == nullptr) return user_not_found_error();
  AuthUser user = *before;
  if (!user.no_password) user.password_hash = request.hashedpassword();
  count();
  user.proved_since = now().revision();
  put_user(request.name(), std::move(user));
  return {};
}

Status AuthChanges::apply(const etcdserverpb::AuthUserGrantRoleRequest& request) {
  const AuthUser* before = now().user(request.user());
  if (before == nullptr) return user_not_found_error();
  if (request.role() != kRoot && now().role(request.role()) == nullptr) return role_not_found_error();
  if (has_role(*before, request.role())) return {};
  AuthUser user = *before;
  user.roles.insert(std::lower_bound(user.roles.begin(), user.roles.end(), request.role()), request.role());
  count();
  put_user(request.user(), std::move(user));
  return {};
}

Status AuthChanges::apply(const etcdserverpb::AuthUserRevokeRoleRequest& request) {
  if (now().enabled() && request.name() == kRoot && request.role() == kRoot) return invalid_auth_management_error();
  const AuthUser* before = now().user(request.name());
  if (before == nullptr) return user_not_found_error();
  if (!has_role(*before, request.role())) return role_not_granted_error();
  AuthUser user = *before;
  std::erase(user.roles, request.role());
  count();
  put_user(request.name(), std::move(user));
  return {};
}

Status AuthChanges::apply(const etcdserverpb::AuthRoleAddRequest& request) {
  if (request.name().empty()) return role_empty_error();
  if (now().role(request.name()) != nullptr) return role_exists_error();
  count();
  put_role(request.name(), {});
  return {};
}

Status AuthChanges::apply(const etcdserverpb::AuthRoleDeleteRequest& request) {
  if (now().enabled() && request.role() == kRoot) return invalid_auth_management_error();
  if (now().role(request.role()) == nullptr) return role_not_found_error();
  count();
  change().roles_.erase(request.role());
  records_[auth_role_record(request.role())] = std::nullopt;
  // Else a later role of that name would be theirs.
  const AuthState::Users users = now().users();
  for (const auto& [name, holder] : users) {
    if (!has_role(*holder, request.role())) continue;
    AuthUser user = *holder;
    std::erase(user.roles, request.role());
    put_user(name, std::move(user));
  }
  return {};
}

Status AuthChanges::apply(const etcdserverpb::AuthRoleGrantPermissionRequest& request) {
  if (!request.has_perm()) return permission_not_given_error();
  const authpb::Permission& wanted = request.perm();
  if (!is_range(wanted.key(), wanted.range_end())) return invalid_auth_management_error();
  const AuthRole* before = now().role(request.name());
  if (before == nullptr) return role_not_found_error();
  AuthRole role = *before;
  const auto at = std::lower_bound(role.permissions.begin(), role.permissions.end(), wanted,
                                   [](const auto& a, const auto& b) { return place(a) < place(b); });
  if (at != role.permissions.end() && place(*at) == place(wanted)) {
    at->set_permtype(wanted.permtype());
  } else {
    role.permissions.insert(at, wanted);
  }
  count();
  put_role(request.name(), std::move(role));
  return {};
}

Status AuthChanges::apply(const etcdserverpb::AuthRoleRevokePermissionRequest& request) {
  const AuthRole* before = now().role(request.role());
  if (before == nullptr) return role_not_found_error();
  AuthRole role = *before;
  const size_t gone = std::erase_if(role.permissions, [&request](const authpb::Permission& p) {
    return p.key() == request.key() && p.range_end() == request.range_end();
  });
  if (gone == 0) return permission_not_granted_error();
  count();
  put_role(request.role(), std::move(role));
  return {};
}

}  // namespace kv::store
