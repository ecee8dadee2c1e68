// How long a call that waits for others may wait, and how to end it from another thread.
#pragma once

#include <chrono>
#include <stop_token>

namespace kv::client {

// A wait ends at `deadline` with DeadlineExceeded, and with Canceled once a stop is requested of `stop`. Each request
// that is sent on the way has its own time besides (ClientOptions::call_timeout) and isn't cut short by `stop`.
struct Wait {
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::stop_token stop{};
};

template <typename Rep, typename Period>
Wait at_most(std::chrono::duration<Rep, Period> time) {
  return {.deadline = std::chrono::steady_clock::now() + time};
}

}  // namespace kv::client
