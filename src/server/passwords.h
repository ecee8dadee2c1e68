// Passwords as bcrypt hashes. To make or compare one takes long on purpose (some 60 ms at the default cost), so it
// happens on a thread of its own, one at a time: doors and the engine go on, and nobody can try passwords faster than
// this thread compares them, from however many addresses they come.
#pragma once

#include <absl/functional/any_invocable.h>

#include <atomic>
#include <string>
#include <thread>

#include "base/status.h"
#include "base/thread.h"
#include "server/secret.h"

namespace kv::server {

inline constexpr int kMinBcryptCost = 4;
inline constexpr int kMaxBcryptCost = 31;
inline constexpr int kDefaultBcryptCost = 10;
// What bcrypt looks at. Longer passwords are refused when they are set, as etcd refuses them.
inline constexpr size_t kMaxPasswordBytes = 72;

class Passwords {
 public:
  // Beyond so many that wait: "etcdserver: too many requests".
  static constexpr size_t kMaxWaiting = 64;

  explicit Passwords(int cost);
  // Those that wait are answered with "etcdserver: server stopped".
  ~Passwords();
  Passwords(const Passwords&) = delete;
  Passwords& operator=(const Passwords&) = delete;

  using Hashed = absl::AnyInvocable<void(Result<std::string>)>;
  // Called once, from this object's thread, or at once when too many wait. `wanted` is asked before it begins: who has
  // gone away is not worked for.
  void hash(Secret password, Hashed done);
  using Compared = absl::AnyInvocable<void(Result<bool>)>;
  // An empty hash fits no password, and takes as long to say so: how long it takes does not tell which users there are.
  void compare(Secret password, std::string hash, absl::AnyInvocable<bool()> wanted, Compared done);

  void stop();

 private:
  using Work = absl::AnyInvocable<void()>;
  bool push(Work&& work);
  void run();
  Status refusal() const;

  const int cost_;
  std::string nobodys_hash_;  // the thread's own; of a password that nobody has
  std::atomic<bool> stopped_{false};
  std::atomic<size_t> waiting_{0};
  Inbox<Work> work_{kMaxWaiting};
  std::thread thread_;
};

// Both on the calling thread. Internal when libcrypt refuses.
Result<std::string> bcrypt_hash(const std::string& password, int cost);
bool bcrypt_fits(const std::string& password, const std::string& hash);

}  // namespace kv::server
