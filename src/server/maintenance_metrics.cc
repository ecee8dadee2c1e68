#include "server/maintenance_metrics.h"

namespace kv::server {
namespace {

MaintenanceMetrics make_metrics() {
  Metrics& metrics = Metrics::global();
  return {
      .hash_seconds =
          metrics.histogram("etcd_mvcc_hash_duration_seconds", "The latency distribution of storage hash operation.",
                            Histogram::exponential(0.01, 2, 15)),
      .hash_revision_seconds = metrics.histogram("etcd_mvcc_hash_rev_duration_seconds",
                                                 "The latency distribution of storage hash by revision operation.",
                                                 Histogram::exponential(0.01, 2, 15)),
      .defragment_seconds = metrics.histogram("etcd_disk_backend_defrag_duration_seconds",
                                              "The latency distribution of backend defragmentation.",
                                              Histogram::exponential(0.1, 2, 13)),
      .defragment_inflight =
          metrics.gauge("etcd_disk_defrag_inflight",
                        "Whether or not defrag is active on the member. 1 means active, 0 means not."),
      .backup_seconds = metrics.histogram("etcd_disk_backend_snapshot_duration_seconds",
                                          "The latency distribution of backend snapshots.",
                                          Histogram::exponential(0.01, 2, 17)),
  };
}

}  // namespace

const MaintenanceMetrics& maintenance_metrics() {
  static const MaintenanceMetrics metrics = make_metrics();
  return metrics;
}

}  // namespace kv::server
