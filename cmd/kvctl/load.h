// Calls made by many threads, as fast as they go or at a steady rate, and what they took: the load of `check` and of
// `bench`.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "kvctl/latencies.h"

namespace kv::kvctl {

struct LoadPlan {
  int threads = 1;
  int64_t calls = INT64_MAX;                                   // at most
  int64_t calls_per_s = 0;                                     // 0: as many as go
  std::chrono::nanoseconds duration = std::chrono::hours(24);  // no call begins later
  // With a rate: a call's time begins when it was due, not when a thread was free for it.
  bool from_due = false;
};

struct LoadReport {
  double seconds = 0;
  Latencies latencies{};                    // of the calls that were answered
  std::map<std::string, int64_t> errors{};  // by text; when there are many texts, the rest under one

  int64_t done() const { return latencies.count(); }
  int64_t failed() const;
  double per_s() const { return seconds > 0 ? static_cast<double>(done()) / seconds : 0; }
};

// What one thread does at its turn, which counts up from 0 over all threads.
using LoadCall = std::function<Status(int thread, int64_t turn)>;

// `interrupted` ends it early; `tick` is told ten times a second how many calls are done and how much of the load that
// is (0 to 1), from the calling thread.
LoadReport run_load(const LoadPlan& plan, const LoadCall& call, const std::stop_token& interrupted,
                    const std::function<void(int64_t done, double part)>& tick);

}  // namespace kv::kvctl
