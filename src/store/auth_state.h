// Users, roles, and what each user may: a part of the replicated state, as it is at one applied index. Immutable, so
// any thread may ask it for as long as it holds it.
//
// Rights are always those of the state that is asked, never those of the time at which somebody logged in. An
// Identity's revision only says whether its proof still holds: it does until the user's password changes, the user is
// deleted (a later user of the same name is somebody else), or authentication is turned off. etcd refuses any identity
// that is older than the last change of any user or role ("revision of auth store is old") and lets its clients log in
// again; here a grant to one does not throw out all others, and nothing is lost by it, because the rights are looked up
// at apply.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "authpb/auth.pb.h"
#include "base/status.h"
#include "store/identity.h"
#include "store/key_set.h"

namespace kv::store {

// The user who must be there before authentication is turned on, and the role that may do everything.
inline constexpr std::string_view kRoot = "root";

struct AuthUser {
  std::string password_hash;       // bcrypt; empty: no password fits
  bool no_password = false;        // comes by certificate only
  std::vector<std::string> roles;  // sorted
  uint64_t proved_since = 0;       // identities of an earlier auth revision are not this user's

  // What follows from the roles.
  bool root = false;
  KeySet readable, writable;
};

struct AuthRole {
  std::vector<authpb::Permission> permissions;  // by key and range_end, no two with the same of both
};

class AuthState {
 public:
  using Users = std::map<std::string, std::shared_ptr<const AuthUser>, std::less<>>;
  using Roles = std::map<std::string, std::shared_ptr<const AuthRole>, std::less<>>;

  bool enabled() const { return enabled_; }
  // Counts the changes of users and roles, and the turnings off; 1 for a new store, as in etcd.
  uint64_t revision() const { return revision_; }
  const Users& users() const { return users_; }
  const Roles& roles() const { return roles_; }
  const AuthUser* user(std::string_view name) const;
  const AuthRole* role(std::string_view name) const;

  // All of these are ok when authentication is off. Otherwise, in this order: "user name is empty" for nobody,
  // "revision of auth store is old" for a proof that does not hold any more, "permission denied" for a user who is not
  // there or may not.
  Status permit_user(const Identity& who) const;
  // For a user who is not there: "user name not found", and "user name is empty" for one without a name, as in etcd.
  Status permit_root(const Identity& who) const;
  Status permit_read(const Identity& who, std::string_view key, std::string_view range_end) const;
  Status permit_write(const Identity& who, std::string_view key, std::string_view range_end) const;

 private:
  friend class AuthChanges;
  friend class AuthTable;

  // The user whom `who` proves to be.
  Status find(const Identity& who, const AuthUser** user) const;

  bool enabled_ = false;
  uint64_t revision_ = 1;
  uint64_t valid_from_ = 0;  // proofs of an earlier revision hold no more, whoever's they are
  Users users_;
  Roles roles_;
};

}  // namespace kv::store
