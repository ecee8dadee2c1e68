// HTTP Basic (RFC 7617): each request brings its user and password, and a password takes bcrypt some 60 ms to compare.
// So who has been found right is remembered, under a keyed hash from which no password can be told, for as long as the
// user has this password; and those who bring the same at the same time wait for one comparison.
#pragma once

#include <absl/functional/any_invocable.h>

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "server/call.h"
#include "server/secret.h"
#include "store/identity.h"

namespace kv::server {

// Any thread.
class BasicLogins {
 public:
  // Beyond so many the one that was not used for the longest time goes.
  static constexpr size_t kMaxRemembered = 10'000;

  using Proved = absl::AnyInvocable<void(Result<store::Identity>)>;
  // Compares the password as a login does, its limits for guessing included, and calls back once, from any thread.
  using Prove = std::function<void(CallPtr call, std::string user, Secret password, Proved done)>;
  explicit BasicLogins(Prove prove, size_t max_remembered = kMaxRemembered);

  // Who has proved to be somebody by these credentials ("user:password"). Whether they still are is the caller's to
  // ask (AuthState::permit_user).
  std::optional<store::Identity> find(std::string_view credentials);
  // Compares call.basic's password. `done` is called once, from any thread; Unauthenticated: it is a wrong one.
  void prove(const CallContext& call, Proved done);

 private:
  using Key = std::string;
  struct Login {
    Key key;
    store::Identity identity;
  };
  using Order = std::list<Login>;

  Key key_of(std::string_view credentials) const;
  void remember(const Key& key, const store::Identity& identity);
  void finish(const Key& key, const Key& asked, const Result<store::Identity>& proved);

  const Prove prove_;
  const size_t max_remembered_;
  std::array<unsigned char, 32> secret_;

  std::mutex mutex_;                                              // guards all below
  Order logins_;                                                  // by their last use
  std::unordered_map<std::string_view, Order::iterator> by_key_;  // keys point into logins_
  std::unordered_map<Key, std::vector<Proved>> asked_;            // who waits, by credentials and host
};

}  // namespace kv::server
