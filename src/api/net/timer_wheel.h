// Deadlines by the hundred thousand: a hashed wheel in which setting and dropping a timer are O(1) and allocate
// nothing (Varghese and Lauck 1987, scheme 6). One per I/O thread, used on that thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace kv::api {

class TimerWheel;

// Embedded in what waits. Leaves its wheel when destroyed.
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  virtual ~Timer() { cancel(); }

  void cancel();
  bool is_set() const { return wheel_ != nullptr; }

 private:
  friend class TimerWheel;
  // Called once for each set(), when the time has come and cancel() was not called. May set or cancel any timer,
  // and may destroy this one.
  virtual void on_timer() = 0;

  TimerWheel* wheel_ = nullptr;  // null: not set
  Timer* next_ = nullptr;
  Timer** link_ = nullptr;  // what points at this one
  int64_t due_ms_ = 0;
};

class TimerWheel {
 public:
  static constexpr int64_t kNever = INT64_MAX;

  // Sets `timer` for `due_ms`, instead of what it was set for before. A time that has passed fires at the next
  // fire(). Timers fire up to kTickMs late, never early.
  void set(Timer& timer, int64_t due_ms);

  // Calls every timer that is due at `now_ms`.
  void fire(int64_t now_ms);

  // When fire() should be called next; never later than the first due time rounded up to a tick, and kNever when
  // nothing is set. It may be earlier than needed.
  int64_t next_ms() const { return next_ms_; }

  size_t size() const { return size_; }

 private:
  friend class Timer;
  static constexpr int64_t kTickMs = 4;
  static constexpr size_t kSlots = 1024;  // one turn of the wheel is 4 s; timers further away stay for more turns

  static int64_t tick_of(int64_t due_ms) { return (due_ms + kTickMs - 1) / kTickMs; }
  void link(Timer& timer, size_t slot);
  void find_next(int64_t from_tick);

  std::array<Timer*, kSlots> slots_{};
  std::array<uint64_t, kSlots / 64> occupied_{};  // a bit per slot; a set bit may stand for an emptied slot
  int64_t done_tick_ = 0;                         // all ticks up to this one have been fired
  int64_t next_ms_ = kNever;
  size_t size_ = 0;
};

}  // namespace kv::api
