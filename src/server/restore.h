// Makes the data directory of one member of a new cluster from a backup.
//
// Each member of the new cluster is made by a call of its own, from the same file and with the same members: all of
// them begin at the same index and term, so they agree without talking. What is in the key space stays, leases, users
// and roles too. What belonged to the old cluster goes: its members, their ids and its own, its alarms.
//
// The directory appears by a rename, complete and synced, or not at all. A call that was killed leaves
// <data-dir>.restoring, which the next call for the same directory replaces, and beside which kvd does not begin a
// new, empty cluster in <data-dir> (check_no_restore()).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"

namespace kv::server {

struct RestoreOptions {
  std::string backup;  // the file
  std::string data_dir;
  // As in MemberOptions; empty `initial_cluster`: this member alone.
  std::string name = "default";
  std::vector<std::string> initial_advertise_peer_urls = {"http://localhost:2380"};
  std::map<std::string, std::vector<std::string>> initial_cluster;
  std::string initial_cluster_token = "etcd-cluster";
  // Don't compare the SHA-256 at the end. The checksums within are compared always.
  bool skip_hash_check = false;
  // Both or neither. See store::Rewrite.
  int64_t bump_revision = 0;
  bool mark_compacted = false;
};

struct Restored {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  int64_t revision = 0;
  uint64_t applied_index = 0;
};

// InvalidArgument: the options contradict each other. FailedPrecondition: there is something in the data directory, or
// another restore is at work on it. DataLoss: the backup is damaged, and where; nothing has been written then.
Result<Restored> restore(const RestoreOptions& options);

// FailedPrecondition when a restore into `data_dir` was begun and not finished, and there is no data directory yet.
Status check_no_restore(const std::string& data_dir);

}  // namespace kv::server
