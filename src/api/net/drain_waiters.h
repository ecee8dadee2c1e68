// Who waits for a queue of answers to get shorter: the half of back-pressure that ServerStream and HttpExchange share.
#pragma once

#include <absl/functional/any_invocable.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace kv::api {

// All methods: any thread.
class DrainWaiters {
 public:
  using Ready = absl::AnyInvocable<void()>;

  // The bytes that are queued, and whether the stream is over and nobody is to wait any more. Both outlive this; both are
  // changed by whoever owns them, who then looks at is_due(), or calls run().
  DrainWaiters(const std::atomic<size_t>& queued_bytes, const std::atomic<bool>& over)
      : queued_bytes_(queued_bytes), over_(over) {}

  // Calls `ready` once when less than `below_bytes` are queued: before it returns, if that is so already.
  void add(size_t below_bytes, Ready ready) {
    {
      const std::lock_guard lock(mutex_);
      waiters_.push_back({below_bytes, std::move(ready)});
      waited_for_.store(std::max(waited_for_.load(), below_bytes));
    }
    // The bytes may have gone between the handler's look at them and this call.
    run();
  }

  // Whether somebody waits for less than what is queued after `queued` was stored. Sequentially consistent with add(): one
  // of the two sees the other.
  bool is_due(size_t queued) const { return queued < waited_for_.load(); }

  // Calls all whose time has come.
  void run() {
    std::vector<Waiter> due;
    {
      const std::lock_guard lock(mutex_);
      const bool all = over_.load(std::memory_order_acquire);
      const size_t queued = queued_bytes_.load();
      const auto rest = std::stable_partition(waiters_.begin(), waiters_.end(), [&](const Waiter& waiter) {
        return !all && queued >= waiter.below_bytes;
      });
      due.assign(std::make_move_iterator(rest), std::make_move_iterator(waiters_.end()));
      waiters_.erase(rest, waiters_.end());
      size_t waited_for = 0;
      for (const Waiter& waiter : waiters_) waited_for = std::max(waited_for, waiter.below_bytes);
      waited_for_.store(waited_for);
    }
    for (Waiter& waiter : due) waiter.ready();
  }

 private:
  struct Waiter {
    size_t below_bytes;
    Ready ready;
  };

  const std::atomic<size_t>& queued_bytes_;
  const std::atomic<bool>& over_;
  std::atomic<size_t> waited_for_{0};  // the largest below_bytes of waiters_; 0: nobody waits
  std::mutex mutex_;                   // guards waiters_
  std::vector<Waiter> waiters_;
};

}  // namespace kv::api
