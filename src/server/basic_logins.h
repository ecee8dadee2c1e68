// HTTP Basic (RFC 7617): each request brings its user and password, and a password takes bcrypt some 60 ms to compare.
// So who has been found right is remembered, for the address they came from and under a keyed hash from which no
// password can be told, for as long as the user has this password; and those who bring the same at the same time wait
// for one comparison. Who must wait after too many guesses (login_limit.h) is not believed either: else what is
// remembered would tell by its answers whether a guess is right.
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
  // Whether the pair may try a password at all.
  using MayTry = std::function<Status(std::string_view user, std::string_view peer)>;
  BasicLogins(Prove prove, MayTry may_try, size_t max_remembered = kMaxRemembered);

  // Who has proved to be somebody by call.basic ("user:password") from this address; nobody is known: nullopt. Whether
  // they still are is the caller's to ask (AuthState::permit_user). ResourceExhausted when the pair must wait.
  Result<std::optional<store::Identity>> find(const CallContext& call);
  // Compares call->basic's password. `done` is called once, from any thread; Unauthenticated: it is a wrong one.
  void prove(CallPtr call, Proved done);

 private:
  using Key = std::string;
  struct Login {
    Key key;
    store::Identity identity;
  };
  using Order = std::list<Login>;
  struct Waiting {
    CallPtr call;
    Proved done;
  };

  Key key_of(const CallContext& call) const;
  void remember(const Key& key, const store::Identity& identity);
  void finish(const Key& key, const Result<store::Identity>& proved);

  const Prove prove_;
  const MayTry may_try_;
  const size_t max_remembered_;
  std::array<unsigned char, 32> secret_;

  std::mutex mutex_;                                              // guards all below
  Order logins_;                                                  // by their last use
  std::unordered_map<std::string_view, Order::iterator> by_key_;  // keys point into logins_
  std::unordered_map<Key, std::vector<Waiting>> asked_;           // who waits for a comparison
};

}  // namespace kv::server
