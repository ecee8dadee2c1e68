// How often a password may be guessed. A few mistakes are free; then whoever guesses for one user from one address must
// wait, twice as long each time (CVE-2020-15115: etcd lets anybody guess as fast as it compares). The pair counts, not
// the user alone, so that nobody can lock others out of their account; guesses from many addresses share the one thread
// that compares (server/passwords.h).
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/status.h"

namespace kv::server {

// Any thread.
class LoginLimit {
 public:
  static constexpr int kFreeFailures = 3;
  static constexpr int64_t kFirstWaitMs = 1'000;
  static constexpr int64_t kLongestWaitMs = 60'000;
  // A pair that has been quiet for so long is forgotten; and the quietest when there are more than so many.
  static constexpr int64_t kForgetMs = 15 * 60'000;
  static constexpr size_t kMaxPairs = 10'000;

  // Ok, or ResourceExhausted "etcdserver: too many requests" while the pair must wait. `peer`: "192.0.2.1:51234", of
  // which the port does not count.
  Status may_try(std::string_view user, std::string_view peer, int64_t now_ms);
  void failed(std::string_view user, std::string_view peer, int64_t now_ms);
  void succeeded(std::string_view user, std::string_view peer);

 private:
  struct Pair {
    std::string name;
    int failures = 0;
    int64_t not_before_ms = 0;
    int64_t last_ms = 0;
  };
  using Order = std::list<Pair>;

  void drop_first();

  std::mutex mutex_;                                               // guards all below
  Order pairs_;                                                    // by their last failure
  std::unordered_map<std::string_view, Order::iterator> by_name_;  // keys point into pairs_
};

}  // namespace kv::server
