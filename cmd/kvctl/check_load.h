// Puts made by many threads at a steady rate, and what they took: the load of `check perf` and `check datascale`.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "client/client.h"

namespace kv::kvctl {

struct LoadPlan {
  std::string prefix{};
  size_t key_bytes = 0;  // of random key behind the prefix, zeros after its first ten bytes
  size_t value_bytes = 0;
  int threads = 1;
  int64_t puts = INT64_MAX;                                    // at most
  int64_t puts_per_s = 0;                                      // 0: as many as go
  std::chrono::nanoseconds duration = std::chrono::hours(24);  // no put begins later
};

struct LoadReport {
  double seconds = 0;
  int64_t done = 0;
  double slowest_s = 0;
  double stddev_s = 0;
  std::map<std::string, int64_t> errors{};  // by text

  double puts_per_s() const { return seconds > 0 ? static_cast<double>(done) / seconds : 0; }
};

// `clients` are shared by the threads in turn. `interrupted` ends it early; `tick` is told about once a second how much
// of it is done (0 to 1), from the calling thread.
LoadReport run_load(const LoadPlan& plan, const std::vector<std::unique_ptr<Client>>& clients,
                    std::chrono::milliseconds call_timeout, const std::stop_token& interrupted,
                    const std::function<void(double)>& tick);

}  // namespace kv::kvctl
