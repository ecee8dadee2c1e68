#include "server/member_metrics.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/process_metrics.h"
#include "server/maintenance_metrics.h"
#include "server/member.h"
#include "server/membership.h"
#include "server/snapshot_metrics.h"

namespace kv::server {
namespace {

using Samples = std::vector<Sample>;

std::vector<std::shared_ptr<void>> process_metrics() { return serve_process_metrics(Metrics::global()); }

constexpr int64_t kStatsKeptMs = 10;

}  // namespace

MemberMetrics::MemberMetrics(const Sources& sources) : sources_(sources), handles_(process_metrics()) {
  serve_consensus();
  serve_store();
  serve_versions();
  serve_peers();
  // Shown from the start, though nothing of it may have happened yet.
  (void)maintenance_metrics();
  (void)snapshot_metrics();
}

void MemberMetrics::gauge(const std::string& name, const std::string& help, std::function<double()> read) {
  handles_.push_back(Metrics::global().gauge_callback(name, help, std::move(read)));
}

void MemberMetrics::serve_consensus() {
  const Sources& s = sources_;
  gauge("etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.",
        [&s] { return s.engine.soft_state().leader ? 1 : 0; });
  gauge("etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.",
        [&s] { return s.engine.soft_state().role == raft::Role::kLeader ? 1 : 0; });
  gauge("etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.", [&s] {
    for (const etcdserverpb::Member& member : members(s.store)) {
      if (member.id() == s.id) return member.islearner() ? 1 : 0;
    }
    return 0;
  });
  // etcd shows raft's indexes here. An entry of kvd holds many proposals under load.
  gauge("etcd_server_proposals_committed_total", "The total number of consensus proposals committed.",
        [&s] { return static_cast<double>(s.engine.commit_index()); });
  gauge("etcd_server_proposals_applied_total", "The total number of consensus proposals applied.",
        [&s] { return static_cast<double>(s.engine.applied_index()); });
  gauge("etcd_server_proposals_pending", "The current number of pending proposals to commit.",
        [&s] { return static_cast<double>(s.calls.size()); });
  gauge("kvd_raft_term", "The raft term.", [&s] { return static_cast<double>(s.term.load()); });
  gauge("kvd_log_bytes", "Bytes of the raft log on disk.", [&s] { return static_cast<double>(s.log.bytes_on_disk()); });
}

void MemberMetrics::serve_store() {
  const auto stat = [this](const std::string& name, const std::string& help, auto field) {
    gauge(name, help, [this, field] { return static_cast<double>(stats().*field); });
  };
  using Stats = store::StoreStats;
  for (const char* name : {"etcd_mvcc_db_total_size_in_bytes", "etcd_debugging_mvcc_db_total_size_in_bytes"})
    stat(name, "Total size of the underlying database physically allocated in bytes.", &Stats::bytes_on_disk);
  stat("etcd_mvcc_db_total_size_in_use_in_bytes", "Total size of the underlying database logically in use in bytes.",
       &Stats::bytes_in_use);
  stat("etcd_debugging_mvcc_keys_total", "Total number of keys.", &Stats::keys);
  stat("etcd_debugging_mvcc_current_revision", "The current revision of store.", &Stats::revision);
  stat("etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store.",
       &Stats::compact_revision);
  // etcd counts events that wait for a stream's sender. Here what waits are revisions: the hub reads them when it comes
  // to them, and what a stream can't take is read again from history (that is what slow watchers are).
  gauge("etcd_debugging_mvcc_pending_events_total", "Total number of pending events to be sent.",
        [this] { return static_cast<double>(sources_.watches.untold_revisions()); });
  gauge("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.",
        [this] { return quota_bytes(); });
}

const store::StoreStats& MemberMetrics::stats() {
  if (const int64_t now_ms = Clock::system().monotonic_ms(); now_ms >= stats_until_ms_) {
    stats_ = sources_.store.stats();
    stats_until_ms_ = now_ms + kStatsKeptMs;
  }
  return stats_;
}

// What the data may grow to. Without a quota that is what the disk has room for: alerts that compare the size with the
// quota (etcd's do) then warn of a disk that fills.
double MemberMetrics::quota_bytes() {
  if (sources_.quota_bytes > 0) return static_cast<double>(sources_.quota_bytes);
  std::error_code error;
  const auto space = std::filesystem::space(sources_.data_dir, error);
  const auto used = static_cast<double>(stats().bytes_on_disk);
  return error ? used : used + static_cast<double>(space.available);
}

void MemberMetrics::serve_versions() {
  const auto one = [this](const std::string& name, const std::string& help, const std::string& label,
                          std::function<std::string()> value) {
    handles_.push_back(Metrics::global().collect(name, help, SampleType::kGauge, [label, value = std::move(value)] {
      return Samples{{.labels = {{label, value()}}, .value = 1}};
    }));
  };
  one("etcd_server_id", "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.",
      "server_id", [id = hex_id(sources_.id)] { return id; });
  one("etcd_server_version", "Which version is running. 1 for 'server_version' label with current version.",
      "server_version", [] { return std::string(kServerVersion); });
  one("etcd_cluster_version", "Which version is running. 1 for 'cluster_version' label with current cluster version",
      "cluster_version", [this] { return sources_.store.record(kClusterVersionRecord).value_or("not_decided"); });
}

void MemberMetrics::serve_peers() {
  const auto per_peer = [this](const std::string& name, const std::string& help, SampleType type, auto labels,
                               auto value) {
    handles_.push_back(Metrics::global().collect(name, help, type, [this, labels, value] {
      Samples samples;
      for (const raft::PeerStats& peer : sources_.transport.stats())
        samples.push_back({labels(hex_id(peer.id.value())), static_cast<double>(value(peer))});
      return samples;
    }));
  };
  const auto both = [local = hex_id(sources_.id)](const std::string& peer) {
    return MetricLabels{{"Local", local}, {"Remote", peer}};
  };
  const auto to = [](const std::string& peer) { return MetricLabels{{"To", peer}}; };
  const auto from = [](const std::string& peer) { return MetricLabels{{"From", peer}}; };
  using Peer = raft::PeerStats;
  per_peer("etcd_network_known_peers", "The current number of known peers.", SampleType::kGauge, both,
           [](const Peer&) { return 1; });
  per_peer("etcd_network_active_peers", "The current number of active peer connections.", SampleType::kGauge, both,
           [](const Peer& p) { return p.connected ? 1 : 0; });
  per_peer("etcd_network_disconnected_peers_total", "The total number of disconnected peers.", SampleType::kCounter,
           both, [](const Peer& p) { return p.lost_streams; });
  per_peer("etcd_network_peer_sent_bytes_total", "The total number of bytes sent to peers.", SampleType::kCounter, to,
           [](const Peer& p) { return p.sent_bytes; });
  per_peer("etcd_network_peer_received_bytes_total", "The total number of bytes received from peers.",
           SampleType::kCounter, from, [](const Peer& p) { return p.received_bytes; });
  per_peer("etcd_network_peer_sent_failures_total", "The total number of send failures from peers.",
           SampleType::kCounter, to, [](const Peer& p) { return p.dropped_messages; });
  per_peer("etcd_network_peer_received_failures_total", "The total number of receive failures from peers.",
           SampleType::kCounter, from, [](const Peer& p) { return p.failed_receives; });
}

}  // namespace kv::server
