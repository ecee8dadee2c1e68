// What a door counts of each call.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>

#include "api/call_table.h"
#include "base/metrics.h"

namespace kv::api {

constexpr size_t kCodes = 17;

// A row of the call table as it is served, with its counters under the names of go-grpc-prometheus. All doors count
// the same counters.
struct Method {
  const Row* row = nullptr;
  Counter* started = nullptr;
  std::array<Counter*, kCodes> handled{};
  Histogram* handling = nullptr;  // seconds, from a call's head to its answer's or stream's end
  Counter* received = nullptr;
  Counter* sent = nullptr;
  Counter* received_bytes = nullptr;  // of all methods together, as sent_bytes
  Counter* sent_bytes = nullptr;
};

Method method_of(const Row& row);

// When a call began, and what it took when it has ended. One reading of the clock each.
class CallTimer {
 public:
  void end(const Method& method) const {
    method.handling->observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count());
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace kv::api
