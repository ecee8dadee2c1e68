// `--auth-token simple`: random words that the members know from the log and hold in memory. A token is good for its
// user as long as it is used at least once in its time to live, on each member by itself; a member that starts again
// knows none, and its clients log in anew, as with etcd.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "server/applier.h"
#include "store/identity.h"

namespace kv::server {

// Any thread.
class SimpleTokens final : public TokenObserver {
 public:
  // Beyond so many the one that was not used for the longest time goes.
  static constexpr size_t kMaxTokens = 100'000;

  explicit SimpleTokens(int64_t ttl_ms, size_t max_tokens = kMaxTokens) : ttl_ms_(ttl_ms), max_tokens_(max_tokens) {}

  // What a token begins with: 16 letters of the system's random numbers, 91 bits, as etcd's.
  static std::string random_prefix();
  // The log entry that issued it, behind the "."; nullopt when it is no token of this kind.
  static std::optional<uint64_t> index_of(std::string_view token);

  void assigned(const std::string& token, store::Identity identity) override;

  // Whose token it is, and another time to live for it.
  std::optional<store::Identity> find(std::string_view token, int64_t now_ms);
  size_t size() const;

 private:
  struct Token {
    std::string text;
    store::Identity identity;
    int64_t expires_ms;
  };
  using Order = std::list<Token>;

  void drop_expired(int64_t now_ms);
  void drop_first();

  const int64_t ttl_ms_;
  const size_t max_tokens_;

  mutable std::mutex mutex_;  // guards all below
  Order tokens_;              // by their last use, which is the order in which they expire
  std::unordered_map<std::string_view, Order::iterator> by_text_;  // keys point into tokens_
};

}  // namespace kv::server
