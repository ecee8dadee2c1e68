#include "api/net/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace kv::api {

void Timer::cancel() {
  if (wheel_ == nullptr) return;
  --wheel_->size_;
  wheel_ = nullptr;
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  next_ = nullptr;
  link_ = nullptr;
}

void TimerWheel::link(Timer& timer, size_t slot) {
  timer.next_ = slots_[slot];
  timer.link_ = &slots_[slot];
  if (timer.next_ != nullptr) timer.next_->link_ = &timer.next_;
  slots_[slot] = &timer;
  occupied_[slot / 64] |= uint64_t{1} << (slot % 64);
}

void TimerWheel::set(Timer& timer, int64_t due_ms) {
  timer.cancel();
  timer.wheel_ = this;
  timer.due_ms_ = due_ms;
  ++size_;
  // A tick that has been fired already would wait for a whole turn.
  const int64_t tick = std::max(tick_of(due_ms), done_tick_ + 1);
  link(timer, static_cast<size_t>(tick) % kSlots);
  next_ms_ = std::min(next_ms_, tick * kTickMs);
}

void TimerWheel::fire(int64_t now_ms) {
  if (now_ms < next_ms_) return;
  const int64_t now_tick = now_ms / kTickMs;
  // After a long pause every slot is visited once, not once for every turn missed.
  int64_t tick = std::max(done_tick_ + 1, now_tick - static_cast<int64_t>(kSlots) + 1);
  done_tick_ = now_tick;

  for (; tick <= now_tick; ++tick) {
    const size_t slot = static_cast<size_t>(tick) % kSlots;
    const uint64_t bit = uint64_t{1} << (slot % 64);
    if ((occupied_[slot / 64] & bit) == 0) continue;
    occupied_[slot / 64] &= ~bit;

    // The slot's chain moves to a list of its own, from which timers leave as they fire: a callback may set or
    // cancel any timer, those of this slot included.
    Timer* due = slots_[slot];
    slots_[slot] = nullptr;
    if (due != nullptr) due->link_ = &due;
    while (due != nullptr) {
      Timer& timer = *due;
      due = timer.next_;
      if (due != nullptr) due->link_ = &due;
      if (timer.due_ms_ > now_ms) {
        link(timer, slot);  // of a later turn
        continue;
      }
      timer.wheel_ = nullptr;
      timer.next_ = nullptr;
      timer.link_ = nullptr;
      --size_;
      timer.on_timer();
    }
  }
  find_next(now_tick + 1);
}

void TimerWheel::find_next(int64_t from_tick) {
  next_ms_ = kNever;
  if (size_ == 0) return;
  for (size_t i = 0; i < kSlots;) {
    const size_t slot = (static_cast<size_t>(from_tick) + i) % kSlots;
    const uint64_t rest = occupied_[slot / 64] >> (slot % 64);
    if (rest == 0) {
      i += 64 - slot % 64;
      continue;
    }
    i += static_cast<size_t>(std::countr_zero(rest));
    if (i >= kSlots) break;
    next_ms_ = (from_tick + static_cast<int64_t>(i)) * kTickMs;
    return;
  }
}

}  // namespace kv::api
