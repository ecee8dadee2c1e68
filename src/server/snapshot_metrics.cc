#include "server/snapshot_metrics.h"

#include <string>

#include "base/check.h"
#include "base/log.h"

namespace kv::server {
namespace {

SnapshotMetrics make_metrics() {
  Metrics& metrics = Metrics::global();
  return {
      .copy_seconds = metrics.histogram("etcd_debugging_snap_save_total_duration_seconds",
                                        "The total latency distributions of save called by snapshot.",
                                        Histogram::exponential(0.001, 2, 14)),
      .save_seconds = metrics.histogram("etcd_snap_db_save_total_duration_seconds",
                                        "The total latency distributions of v3 snapshot save",
                                        Histogram::exponential(0.1, 2, 10)),
      .sync_seconds = metrics.histogram("etcd_snap_db_fsync_duration_seconds",
                                        "The latency distributions of fsyncing .snap.db file",
                                        Histogram::exponential(0.001, 2, 14)),
  };
}

// `way` is "send" or "receive".
SnapshotTraffic traffic(const std::string& way, const MetricLabels& labels) {
  Metrics& metrics = Metrics::global();
  const std::string name = "etcd_network_snapshot_" + way;
  return {
      .successes = metrics.counter(name + "_success", "Total number of successful snapshot " + way + "s", labels),
      .failures = metrics.counter(name + "_failures", "Total number of snapshot " + way + " failures", labels),
      .inflight =
          metrics.gauge(name + "_inflights_total", "Total number of inflight snapshot " + way + "s", labels),
      .seconds = metrics.histogram(name + "_total_duration_seconds",
                                   "Total latency distributions of v3 snapshot " + way + "s",
                                   Histogram::exponential(0.1, 2, 10), labels),
  };
}

}  // namespace

const SnapshotMetrics& snapshot_metrics() {
  static const SnapshotMetrics metrics = make_metrics();
  return metrics;
}

SnapshotTraffic snapshots_sent_to(raft::NodeId member) { return traffic("send", {{"To", hex_id(member.value())}}); }

SnapshotTraffic snapshots_received_from(raft::NodeId member) {
  return traffic("receive", {{"From", hex_id(member.value())}});
}

SnapshotTransfer::~SnapshotTransfer() {
  if (!complete_) traffic_.failures.add();
  traffic_.inflight.add(-1);
}

void SnapshotTransfer::complete() {
  KV_CHECK(!complete_, "a snapshot is complete once");
  complete_ = true;
  traffic_.successes.add();
  traffic_.seconds.observe(since_begun_.seconds());
}

}  // namespace kv::server
