// What the store counts, under etcd's names. One set for the process, made at the first use.
#pragma once

#include <cstdint>

#include "base/metrics.h"

namespace kv::store {

struct StoreMetrics {
  Counter& puts;
  Counter& put_bytes;
  Counter& deletes;
  Counter& ranges;
  Counter& txns;
  Histogram& commit_seconds;  // handing one batch to RocksDB
};

const StoreMetrics& store_metrics();

// What etcd counts of the commands that were carried out: each operation, and each command of more than one.
struct OperationCounts {
  uint64_t puts = 0;
  uint64_t put_bytes = 0;
  uint64_t deletes = 0;
  uint64_t ranges = 0;
  uint64_t txns = 0;

  // Takes in what one command did.
  void add(const OperationCounts& command);
  // Adds them to the process's metrics. Once a batch: a relaxed addition is cheap, but not nothing.
  void publish() const;
};

}  // namespace kv::store
