// What a door counts of each call.
#pragma once

#include <array>
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
  Counter* received = nullptr;
  Counter* sent = nullptr;
  Counter* received_bytes = nullptr;  // of all methods together, as sent_bytes
  Counter* sent_bytes = nullptr;
};

Method method_of(const Row& row);

}  // namespace kv::api
