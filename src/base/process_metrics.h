// The process as the kernel sees it, under the names that every Prometheus client has: process_cpu_seconds_total,
// process_resident_memory_bytes, process_open_fds and the like, and etcd's os_fd_used and os_fd_limit. Read from /proc
// when the metrics are read, and at no other time.
#pragma once

#include <memory>
#include <vector>

#include "base/metrics.h"

namespace kv {

// They are served as long as the handles live.
[[nodiscard]] std::vector<std::shared_ptr<void>> serve_process_metrics(Metrics& metrics);

}  // namespace kv
