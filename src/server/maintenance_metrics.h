// How long an operator's work on one member's state takes, under etcd's names. One set for the process, made at the
// first use.
#pragma once

#include "base/metrics.h"

namespace kv::server {

struct MaintenanceMetrics {
  Histogram& hash_seconds;           // of the whole, as Maintenance.Hash asks for it
  Histogram& hash_revision_seconds;  // at a revision: HashKV, and the members' comparisons
  Histogram& defragment_seconds;
  Gauge& defragment_inflight;
  Histogram& backup_seconds;  // until its last byte is queued for the client
};
const MaintenanceMetrics& maintenance_metrics();

}  // namespace kv::server
