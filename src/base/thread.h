// Threads with names, and the inbox through which they talk.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace kv {

// The calling thread's name as `top -H` and gdb show it; cut at 15 bytes.
void name_this_thread(const std::string& name);

// Many producers, one consumer, bounded. The consumer takes everything that waits in one go, so that a busy
// stage works in batches and pays one wake-up for many items (docs/design.md, "A sketch of the costs").
template <typename T>
class Inbox {
 public:
  // `capacity` is the number of items that may wait; push() refuses more.
  explicit Inbox(size_t capacity) : capacity_(capacity) {}

  // False when the inbox is full or closed; `item` is then untouched. Any thread.
  [[nodiscard]] bool push(T&& item) {
    bool wake;
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || items_.size() >= capacity_) return false;
      wake = items_.empty();
      items_.push_back(std::move(item));
    }
    if (wake) ready_.notify_one();
    return true;
  }

  // Moves all that waits into `out` (which is cleared first); waits until `deadline` when there is nothing.
  // False when closed and empty. One thread.
  template <typename TimePoint>
  bool take_all(std::vector<T>& out, TimePoint deadline) {
    out.clear();
    std::unique_lock lock(mutex_);
    ready_.wait_until(lock, deadline, [this] { return closed_ || woken_ || !items_.empty(); });
    woken_ = false;
    out.swap(items_);
    return !(closed_ && out.empty());
  }

  // Makes a waiting take_all() return, with nothing if there is nothing. Any thread.
  void wake() {
    {
      const std::lock_guard lock(mutex_);
      woken_ = true;
    }
    ready_.notify_one();
  }

  // No push succeeds from now on; what waits can still be taken. Any thread.
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

  size_t size() const {
    const std::lock_guard lock(mutex_);
    return items_.size();
  }

 private:
  const size_t capacity_;
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable ready_;
  std::vector<T> items_;
  bool closed_ = false;
  bool woken_ = false;
};

}  // namespace kv
