// The copy of another member's state while it is being fetched, on disk so that neither a broken stream nor a crash
// loses what is there. Knows files, not members.
//
// A file grows as <name>.part and gets its own name when it is whole, matches its checksum, and is synced. So a file
// with its own name needs no second look; what stands in a .part may be anything after a crash of the machine, and is
// found out by the checksum over the whole file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"
#include "kvdpb/peer.pb.h"
#include "server/snapshot_files.h"

namespace kv::server {

class IncomingSnapshot {
 public:
  static constexpr uint64_t kMaxFiles = 100'000;

  explicit IncomingSnapshot(SnapshotPaths paths, SnapshotStepHook hook = {})
      : paths_(std::move(paths)), hook_(std::move(hook)) {}

  // The copy of which parts are on disk already; 0: of none.
  uint64_t begun() const;
  // Goes on with the copy that is begun when this is it, else drops that and begins this one. InvalidArgument for a
  // manifest that no honest member sends.
  Status begin(const kvdpb::SnapshotManifest& manifest);

  struct Wanted {
    std::string name;
    uint64_t offset = 0;
  };
  // What is missing first; nullopt: nothing is.
  std::optional<Wanted> next() const;
  // The piece that next() asked for. DataLoss when a checksum does not match: the piece is not taken, or the file
  // begins anew.
  Status add(const kvdpb::SnapshotPiece& piece);

  uint64_t bytes_missing() const;

  // When nothing is missing: the state must be what the manifest says. Then it takes its place (step 2 of an
  // installation), and this object is done. DataLoss: it is of no use, and gone.
  struct Placed {
    std::string path;
    raft::SnapshotMeta meta;
  };
  Result<Placed> finish();

  // Removes all that is there.
  Status drop();

 private:
  std::string path_of(const std::string& name) const { return paths_.incoming_state() + "/" + name; }
  // Looks what is on disk of the file at `file_`, and of those after it until one is not whole.
  Status advance();

  const SnapshotPaths paths_;
  const SnapshotStepHook hook_;
  kvdpb::SnapshotManifest manifest_;
  int file_ = 0;         // the first that is not whole
  uint64_t offset_ = 0;  // ... and how much of it is there
};

}  // namespace kv::server
