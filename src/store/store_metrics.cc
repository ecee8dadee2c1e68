#include "store/store_metrics.h"

#include <memory>
#include <string>
#include <vector>

namespace kv::store {
namespace {

StoreMetrics make_metrics() {
  Metrics& metrics = Metrics::global();
  return {
      .puts = metrics.counter("etcd_mvcc_put_total", "Total number of puts seen by this member."),
      .put_bytes = metrics.counter("kvd_store_put_bytes_total", "Bytes of keys and values that were put."),
      .deletes = metrics.counter("etcd_mvcc_delete_total", "Total number of deletes seen by this member."),
      .ranges = metrics.counter("etcd_mvcc_range_total", "Total number of ranges seen by this member."),
      .txns = metrics.counter("etcd_mvcc_txn_total", "Total number of txns seen by this member."),
      .commit_seconds = metrics.histogram("etcd_disk_backend_commit_duration_seconds",
                                          "The latency distributions of commit called by backend.",
                                          Histogram::exponential(0.001, 2, 14)),
  };
}

// The names that etcd had up to 3.5, which older dashboards ask for.
std::vector<std::shared_ptr<void>> serve_old_names(const StoreMetrics& metrics) {
  std::vector<std::shared_ptr<void>> handles;
  const auto alias = [&](const std::string& name, const std::string& help, SampleType type, const Counter& counter) {
    handles.push_back(Metrics::global().collect(name, help, type, [&counter] {
      return std::vector<Sample>{{.labels = {}, .value = static_cast<double>(counter.value())}};
    }));
  };
  alias("etcd_debugging_mvcc_put_total", "Total number of puts seen by this member.", SampleType::kCounter,
        metrics.puts);
  alias("etcd_debugging_mvcc_delete_total", "Total number of deletes seen by this member.", SampleType::kCounter,
        metrics.deletes);
  alias("etcd_debugging_mvcc_range_total", "Total number of ranges seen by this member.", SampleType::kCounter,
        metrics.ranges);
  alias("etcd_debugging_mvcc_txn_total", "Total number of txns seen by this member.", SampleType::kCounter,
        metrics.txns);
  // A gauge in etcd, though it only grows.
  alias("etcd_debugging_mvcc_total_put_size_in_bytes", "The total size of put kv pairs seen by this member.",
        SampleType::kGauge, metrics.put_bytes);
  return handles;
}

}  // namespace

const StoreMetrics& store_metrics() {
  static const StoreMetrics metrics = make_metrics();
  static const std::vector<std::shared_ptr<void>> old_names = serve_old_names(metrics);
  return metrics;
}

void OperationCounts::add(const OperationCounts& command) {
  puts += command.puts;
  put_bytes += command.put_bytes;
  deletes += command.deletes;
  ranges += command.ranges;
  if (command.puts + command.deletes + command.ranges > 1) ++txns;
}

void OperationCounts::publish() const {
  const StoreMetrics& metrics = store_metrics();
  if (puts > 0) metrics.puts.add(puts);
  if (put_bytes > 0) metrics.put_bytes.add(put_bytes);
  if (deletes > 0) metrics.deletes.add(deletes);
  if (ranges > 0) metrics.ranges.add(ranges);
  if (txns > 0) metrics.txns.add(txns);
}

}  // namespace kv::store
