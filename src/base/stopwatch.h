// How long something takes, for a metric. What a test should own is timed by a Clock instead.
#pragma once

#include <chrono>

namespace kv {

class Stopwatch {
 public:
  // Since it was made.
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - since_).count(); }

 private:
  const std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

}  // namespace kv
