// `--auth-token jwt,...`: tokens that carry who they are for, signed, so that every member with the public key can
// check them and none has to remember any (RFC 7519, 7515, 7518). Claims are etcd's: username, revision, exp.
//
// One algorithm, named by the flag, counts: a token that names another, or "none", is none, whatever it is signed with.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "store/identity.h"

namespace kv::server {

// Any thread.
class Jwt {
 public:
  // `options`: what stands behind "jwt,":
  // sign-method=RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512|EdDSA|HS256| HS384|HS512, priv-key=FILE,
  // pub-key=FILE, ttl=5m. With a public key alone tokens can be checked and not be issued; HS needs the one key as
  // priv-key. InvalidArgument with a text for people.
  static Result<std::unique_ptr<Jwt>> make(std::string_view options);
  ~Jwt();

  // Internal "auth: token signing attempted with verify-only key" without the private one.
  Result<std::string> sign(const store::Identity& identity, int64_t now_s) const;
  // nullopt: not signed by our key with our algorithm, past its time, or without the claims.
  std::optional<store::Identity> check(std::string_view token, int64_t now_s) const;

 private:
  struct Key;
  explicit Jwt(std::unique_ptr<Key> key);
  const std::unique_ptr<Key> key_;
};

}  // namespace kv::server
