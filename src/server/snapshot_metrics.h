// What is counted of states that go from member to member, under etcd's names.
#pragma once

#include "base/metrics.h"
#include "base/stopwatch.h"
#include "raft/types.h"

namespace kv::server {

// One set for the process, made at the first use.
struct SnapshotMetrics {
  Histogram& copy_seconds;  // making the copy of the state that others fetch
  Histogram& save_seconds;  // fetching one, until it has its place on disk
  Histogram& sync_seconds;  // syncing one of its files
};
const SnapshotMetrics& snapshot_metrics();

// The same for one direction, with one other member.
struct SnapshotTraffic {
  Counter& successes;
  Counter& failures;
  Gauge& inflight;
  Histogram& seconds;  // of those that came to a good end
};
SnapshotTraffic snapshots_sent_to(raft::NodeId member);
SnapshotTraffic snapshots_received_from(raft::NodeId member);

// One state on its way. What was not said to be complete() by its end has failed.
class SnapshotTransfer {
 public:
  explicit SnapshotTransfer(const SnapshotTraffic& traffic) : traffic_(traffic) { traffic_.inflight.add(1); }
  ~SnapshotTransfer();
  SnapshotTransfer(const SnapshotTransfer&) = delete;
  SnapshotTransfer& operator=(const SnapshotTransfer&) = delete;

  void complete();  // once

 private:
  const SnapshotTraffic traffic_;
  const Stopwatch since_begun_;
  bool complete_ = false;
};

}  // namespace kv::server
