// The simulated clock: what will happen, in order of time. Events at the same time run in the order in which
// they were scheduled, so that a run depends on its seed alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace kv::sim {

class EventQueue {
 public:
  using Action = std::function<void()>;

  uint64_t now_us() const { return now_us_; }
  uint64_t events_run() const { return events_run_; }
  bool empty() const { return heap_.empty(); }

  void after(uint64_t delay_us, Action action) {
    heap_.push_back({now_us_ + delay_us, next_number_++, std::move(action)});
    std::push_heap(heap_.begin(), heap_.end(), Later());
  }

  // Moves the clock to the next event and runs it. False when there is none.
  bool run_next() {
    if (heap_.empty()) return false;
    std::pop_heap(heap_.begin(), heap_.end(), Later());
    Event event = std::move(heap_.back());
    heap_.pop_back();
    now_us_ = event.at_us;
    ++events_run_;
    event.action();
    return true;
  }

 private:
  struct Event {
    uint64_t at_us;
    uint64_t number;
    Action action;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const {
      return a.at_us != b.at_us ? a.at_us > b.at_us : a.number > b.number;
    }
  };

  std::vector<Event> heap_;
  uint64_t now_us_ = 0;
  uint64_t next_number_ = 0;
  uint64_t events_run_ = 0;
};

}  // namespace kv::sim
