#include "store/auth_state.h"

#include "store/auth_errors.h"

namespace kv::store {

const AuthUser* AuthState::user(std::string_view name) const {
  const auto it = users_.find(name);
  return it == users_.end() ? nullptr : it->second.get();
}

const AuthRole* AuthState::role(std::string_view name) const {
  const auto it = roles_.find(name);
  return it == roles_.end() ? nullptr : it->second.get();
}

Status AuthState::find(const Identity& who, const AuthUser** found) const {
  if (who.nobody()) return user_empty_error();
  if (who.revision < valid_from_) return old_auth_revision_error();
  *found = user(who.user);
  if (*found == nullptr) return permission_denied_error();
  if (who.revision < (*found)->proved_since) return old_auth_revision_error();
  return {};
}

Status AuthState::permit_user(const Identity& who) const {
  if (!enabled_) return {};
  const AuthUser* user = nullptr;
  return find(who, &user);
}

Status AuthState::permit_root(const Identity& who) const {
  if (!enabled_) return {};
  if (who.user.empty()) return user_empty_error();
  if (!who.nobody() && who.revision >= valid_from_ && user(who.user) == nullptr) return user_not_found_error();
  const AuthUser* user = nullptr;
  KV_RETURN_IF_ERROR(find(who, &user));
  return user->root ? Status() : permission_denied_error();
}

Status AuthState::permit_read(const Identity& who, std::string_view key, std::string_view range_end) const {
  if (!enabled_) return {};
  const AuthUser* user = nullptr;
  KV_RETURN_IF_ERROR(find(who, &user));
  return user->root || user->readable.covers(key, range_end) ? Status() : permission_denied_error();
}

Status AuthState::permit_write(const Identity& who, std::string_view key, std::string_view range_end) const {
  if (!enabled_) return {};
  const AuthUser* user = nullptr;
  KV_RETURN_IF_ERROR(find(who, &user));
  return user->root || user->writable.covers(key, range_end) ? Status() : permission_denied_error();
}

}  // namespace kv::store
