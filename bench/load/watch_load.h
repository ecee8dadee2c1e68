// Watch load: watchers on streams, a writer, and how long an event takes from the put's request to the watcher.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/load/histogram.h"

namespace kv::load {

struct WatchLoadOptions {
  std::vector<std::string> endpoints;
  uint32_t connections = 8;  // each with one stream, which the watchers share
  uint32_t watchers = 1000;
  bool distinct = false;   // watcher i on a key of its own; else all on one prefix
  uint32_t in_flight = 1;  // puts whose events have not all come: the next one waits for one of them
  size_t value_bytes = 256;
  double seconds = 5;
  double warmup_s = 0.5;
  double patience_s = 10;
};

struct WatchLoadResult {
  LatencyHistogram latency;  // of each event
  uint64_t puts = 0;
  double seconds = 0;
};

// `measuring` is called when the warm-up is over. Throws std::runtime_error when a watcher or a put fails, an event
// comes twice or does not come in time.
WatchLoadResult run_watch_load(const WatchLoadOptions& options, const std::function<void()>& measuring);

}  // namespace kv::load
