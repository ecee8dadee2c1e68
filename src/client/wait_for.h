// Waiting on a condition for as long as a Wait says. Internal.
#pragma once

#include <condition_variable>
#include <mutex>

#include "base/status.h"
#include "client/wait.h"

namespace kv::client {

// Ok once `ready` holds; `lock` is held then, as always when it returns.
template <typename Ready>
Status wait_for(std::condition_variable_any& changed, std::unique_lock<std::mutex>& lock, const Wait& wait,
                Ready ready) {
  // time_point::max() as a deadline would overflow on its way to the kernel.
  const bool forever = wait.deadline == std::chrono::steady_clock::time_point::max();
  if (forever ? changed.wait(lock, wait.stop, ready) : changed.wait_until(lock, wait.stop, wait.deadline, ready)) {
    return {};
  }
  if (wait.stop.stop_requested()) return Status(Code::kCanceled, "context canceled");
  return Status(Code::kDeadlineExceeded, "context deadline exceeded");
}

}  // namespace kv::client
