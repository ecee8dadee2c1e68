// Tells streams that asked for it (metadata `hasleader`) that there has been no leader for a while, as etcd does: a
// client at a member that is cut off then goes to another one. For watches, keep-alives and whatever else is long.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

namespace kv::server {

class Leaderless {
 public:
  // `patience_ms` without a leader are borne; etcd's: three election timeouts.
  explicit Leaderless(int64_t patience_ms) : patience_ms_(patience_ms) {}

  // Ends when destroyed or reset: `lost` may still be under way then, but is not begun any more.
  using Registration = std::shared_ptr<void>;
  // `lost` is called once, from any thread, when there has been no leader for long enough. Any thread.
  [[nodiscard]] Registration when_lost(std::function<void()> lost);

  // A leader is known, or is not. Any thread.
  void leader_known(bool known, int64_t now_ms);
  // Looks at the time; to be called a few times per patience. Any thread.
  void expire(int64_t now_ms);

 private:
  static constexpr int64_t kNever = INT64_MAX;

  struct Waiters {
    std::mutex mutex;  // guards all below
    std::map<uint64_t, std::function<void()>> lost;
    uint64_t next = 0;
    int64_t since_ms = kNever;  // there has been no leader since
  };

  const int64_t patience_ms_;
  const std::shared_ptr<Waiters> waiters_ = std::make_shared<Waiters>();
};

}  // namespace kv::server
