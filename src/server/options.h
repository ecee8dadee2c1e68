// What a member is told at its start. cmd/kvd fills it from flags; tests and embedders by hand.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/auto_compaction.h"
#include "server/reconfiguration.h"

namespace kv::tls {
class Context;
}

namespace kv::server {

struct MemberOptions {
  std::string name = "default";
  std::string data_dir = "kvd.data";

  std::vector<std::string> listen_peer_urls = {"http://localhost:2380"};
  std::vector<std::string> initial_advertise_peer_urls = {"http://localhost:2380"};
  // For https peer URLs, ours and the others'; see raft::Transport::Options.
  std::shared_ptr<tls::Context> peer_tls;
  bool check_peer_names = true;
  std::vector<std::string> advertise_client_urls = {"http://localhost:2379"};

  // name -> peer URLs of all first members, this one among them. Empty: this one alone. Read only when the data
  // directory is new: afterwards the log knows who takes part.
  std::map<std::string, std::vector<std::string>> initial_cluster;
  std::string initial_cluster_token = "etcd-cluster";
  // --initial-cluster-state existing: never begin a new cluster, whatever the data directory holds.
  bool must_exist = false;

  ReconfigurationRules reconfiguration;
  // Makes a cluster of this member alone out of the data it has; all others are removed. For a quorum lost for good.
  bool force_new_cluster = false;

  int64_t heartbeat_interval_ms = 100;
  int64_t election_timeout_ms = 1000;
  bool pre_vote = true;

  // When the raft log is cut, and what is kept of it (server/log_truncation.h).
  uint64_t snapshot_count = 10'000;
  uint64_t snapshot_catchup_entries = 5'000;
  // Newest log entries in memory, cut from the log or not: who is behind by less needs neither disk nor snapshot.
  size_t log_cache_bytes = 64 << 20;

  size_t max_request_bytes = 1536 * 1024;  // one proposal, encoded
  size_t max_txn_ops = 128;
  // How often an idle watcher that asked for it is told how far the store is; a tenth of it more, by chance.
  int64_t watch_progress_interval_ms = 600'000;
  // Calls that may wait for their proposal, and their bytes; beyond either: "etcdserver: too many requests".
  size_t max_pending_calls = 1 << 16;
  size_t max_pending_bytes = 256 << 20;

  // How users' tokens are made and checked: "simple", or "jwt," and its options (server/jwt.h).
  std::string auth_token = "simple";
  int64_t auth_token_ttl_ms = 300'000;  // of a simple token that is not used
  int bcrypt_cost = 10;                 // 4 to 31; each step doubles what a password costs, to compare and to guess
  size_t auth_min_password_bytes = 1;

  // Of the state's size; 0 or less: none. Beyond it the NOSPACE alarm stops writes (server/space_guard.h).
  int64_t quota_bytes = 0;
  // What stays free on the disk of data_dir, by the same alarm; negative: by the disk's size; 0: not looked at.
  int64_t min_free_bytes = -1;
  // Compare states with the other members before serving, and, as the leader, so often (0: never).
  bool corrupt_check_at_start = false;
  int64_t corrupt_check_interval_ms = 0;
  // What takes longer to apply or to read is told in the log; 0: nothing is.
  int64_t slow_call_ms = 100;

  AutoCompactionPolicy auto_compaction;
  // The leader notes now and then what leases have left, so that its successor need not begin anew.
  bool lease_checkpoints = true;
  int64_t lease_checkpoint_interval_ms = 300'000;

  size_t write_buffer_bytes = 64 << 20;
  size_t block_cache_bytes = 256 << 20;

  // How many threads one member's pipeline takes: 1 (log and apply on the engine's own thread), 3 (each its own),
  // or 0: by the number of cores. On two cores one thread wins by a quarter (docs/design.md).
  int pipeline_threads = 0;
  bool unsafe_no_fsync = false;
};

}  // namespace kv::server
