// What the directories of snapshots hold, and in which order a received state takes the place of the old one, so that
// a crash between any two steps leaves what the next start can put right.
//
//   <data-dir>/log                      the raft log
//   <data-dir>/state                    the state, or ...
//   <data-dir>/state-<index, 16 hex>    ... a received one that has taken its place: the highest counts
//   <data-dir>/snapshots/outgoing-<id>  a copy that others fetch; of no use after a restart
//   <data-dir>/snapshots/incoming/      what is being fetched: MANIFEST, state/<file>, state/<file>.part
//
// A received state is installed in these steps. Each is durable before the next begins:
//
//   1  all files are in incoming/state, checked against their checksums, and the state is that of the manifest
//   2  incoming/state is renamed to state-<index>. From here on it is the member's state, come what may: whoever
//      starts finds it, and does what is left of the following.
//   3  the log is made to begin after <index>
//   4  (a running member) the new state is served, the old one closed and removed when its last reader is done
//   5  (a start) the old state is removed, and state-<index> renamed to state
//
// Before 2 the old pair of log and state is whole. After 2 and before 3 the log is that of the old state; the start
// does 3 before anybody looks at it. After 3 everything is as if the member had just started there.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "kvdpb/peer.pb.h"
#include "raft/log_store.h"
#include "raft/types.h"
#include "store/store.h"

namespace kv::server {

class SnapshotPaths {
 public:
  explicit SnapshotPaths(std::string data_dir) : data_dir_(std::move(data_dir)) {}

  const std::string& data_dir() const { return data_dir_; }
  std::string state() const { return data_dir_ + "/state"; }
  std::string state(raft::Index index) const;  // state-<index>
  std::string snapshots() const { return data_dir_ + "/snapshots"; }
  std::string outgoing(uint64_t id) const;
  std::string incoming() const { return snapshots() + "/incoming"; }
  std::string incoming_state() const { return incoming() + "/state"; }
  std::string incoming_manifest() const { return incoming() + "/MANIFEST"; }

 private:
  std::string data_dir_;
};

// Steps of an installation and of a start, for tests that end the process at one of them.
enum class SnapshotStep : uint8_t {
  kManifestWritten,
  kPieceWritten,
  kFileChecked,   // and has its own name
  kStateRenamed,  // step 2
  kIncomingRemoved,
  kLogBegun,  // step 3
  kOldStateRemoved,
  kStateInPlace,  // step 5
};
inline constexpr int kSnapshotSteps = 8;
std::string_view step_name(SnapshotStep step);
// Called after each step. Empty: nobody looks.
using SnapshotStepHook = std::function<void(SnapshotStep)>;

// What the state says of where it stands: its applied index and the configuration as of it. DataLoss when it says none.
Result<raft::SnapshotMeta> snapshot_meta(const store::StateInfo& info);

// A name that may stand in a manifest: one of RocksDB's files, and nothing that leads elsewhere.
bool valid_file_name(std::string_view name);

// The bytes of <incoming>/MANIFEST: the message and, before it, its XXH3. nullopt when they are none.
std::string encode_manifest(const kvdpb::SnapshotManifest& manifest);
std::optional<kvdpb::SnapshotManifest> decode_manifest(std::string_view bytes);

// Step 2. Returns where the state is now.
Result<std::string> place_received_state(const SnapshotPaths& paths, raft::Index index, const SnapshotStepHook& hook);

// The state of a member that does not run, for who only looks at it: the received one that the next start would put in
// its place, or the one of always.
std::string current_state(const std::string& data_dir);

// Before the state is opened: finishes an installation that a crash has interrupted (steps 3 and 5), and removes what
// is of no use. What is being fetched stays. DataLoss when log and state can't be made to fit.
Status recover_snapshots(const SnapshotPaths& paths, raft::LogStore& log, const SnapshotStepHook& hook = {});

}  // namespace kv::server
