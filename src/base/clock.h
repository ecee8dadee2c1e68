// Time as a thing that is handed in, so that tests and the simulator own it.
#pragma once

#include <chrono>
#include <cstdint>

namespace kv {

class Clock {
 public:
  virtual ~Clock() = default;
  // Milliseconds on a clock that never goes back. Its zero means nothing.
  virtual int64_t monotonic_ms() const = 0;
  // Milliseconds since 1970 by the wall; may jump. For what people read, never for a decision.
  virtual int64_t wall_ms() const = 0;

  // The machine's own clocks. Lives for ever.
  static const Clock& system();
};

inline const Clock& Clock::system() {
  struct System final : Clock {
    int64_t monotonic_ms() const override {
      using namespace std::chrono;
      return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
    }
    int64_t wall_ms() const override {
      using namespace std::chrono;
      return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
    }
  };
  static const System clock;
  return clock;
}

}  // namespace kv
