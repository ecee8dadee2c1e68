#include "server/leaderless.h"

#include <utility>

namespace kv::server {

Leaderless::Registration Leaderless::when_lost(std::function<void()> lost) {
  uint64_t number = 0;
  {
    const std::lock_guard lock(waiters_->mutex);
    number = waiters_->next++;
    waiters_->lost.emplace(number, std::move(lost));
  }
  // The notifier itself may be gone by then.
  return {nullptr, [waiters = waiters_, number](void*) {
            std::function<void()> dropped;  // with what it holds, after the lock
            const std::lock_guard lock(waiters->mutex);
            if (const auto it = waiters->lost.find(number); it != waiters->lost.end()) {
              dropped = std::move(it->second);
              waiters->lost.erase(it);
            }
          }};
}

void Leaderless::leader_known(bool known, int64_t now_ms) {
  const std::lock_guard lock(waiters_->mutex);
  if (known) {
    waiters_->since_ms = kNever;
  } else if (waiters_->since_ms == kNever) {
    waiters_->since_ms = now_ms;
  }
}

void Leaderless::expire(int64_t now_ms) {
  std::map<uint64_t, std::function<void()>> lost;
  {
    const std::lock_guard lock(waiters_->mutex);
    if (waiters_->since_ms == kNever || now_ms - waiters_->since_ms < patience_ms_) return;
    lost.swap(waiters_->lost);
  }
  for (const auto& [number, call] : lost) call();
}

}  // namespace kv::server
