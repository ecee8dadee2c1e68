// How often something may happen in a second. Counts in fixed seconds: an honest client that is twice as fast for a
// moment passes, a flood does not.
#pragma once

#include <cstdint>

namespace kv::api {

class RateLimit {
 public:
  explicit RateLimit(uint32_t per_second) : per_second_(per_second) {}

  // False when it has happened too often. Times never go back.
  [[nodiscard]] bool allow(int64_t now_ms) {
    if (now_ms - second_began_ms_ >= 1000) {
      second_began_ms_ = now_ms;
      count_ = 0;
    }
    return ++count_ <= per_second_;
  }

 private:
  const uint32_t per_second_;
  uint32_t count_ = 0;
  int64_t second_began_ms_ = INT64_MIN / 2;
};

}  // namespace kv::api
