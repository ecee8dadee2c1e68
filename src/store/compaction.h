// Compaction: removes what no reader may ask for any more, in the background, a little at a time.
//
// Below the compact revision history keeps only the newest change of each key, and of deleted keys nothing; at the
// compact revision itself it keeps everything, because a watch may start there. A tombstone at or below it
// leaves head.
//
// How. Each change names the one it replaced (`prev`), so a single pass over the changes since the last compaction
// finds everything that became superseded, without asking about keys that did not change. What survives of a batch's
// record is written as one record per change, so that it can be removed later without being read. Each change is thus
// written at most twice in its life and removed once.
#pragma once

#include <absl/functional/function_ref.h>

#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/database.h"
#include "store/encoding.h"

namespace kv::store {

// Keeps the removal of a tombstone from meeting a put of the same key: the compaction says which keys it is about to
// remove, the thread that applies strikes out those that it writes.
class HeadGuard {
 public:
  // Held while a batch is written to the database.
  std::mutex& mutex() { return mutex_; }

  // Both with mutex() held.
  bool watching() const { return !watched_.empty(); }
  void strike_out(std::string_view key) {
    if (const auto it = watched_.find(key); it != watched_.end()) watched_.erase(it);
  }

 private:
  friend class Compaction;
  std::mutex mutex_;                            // guards all below, and the order of writes to head
  std::set<std::string, std::less<>> watched_;  // keys that the compaction is about to remove from head
};

class Compaction {
 public:
  // `pause` is called after each write, with no lock held; when it answers false the compaction stops where it is.
  // `passed` is called with the revision below which history is compacted: from now on every view of the database shows
  // it so.
  struct Hooks {
    absl::FunctionRef<bool()> pause;
    absl::FunctionRef<void(int64_t)> passed;
  };

  Compaction(const Database& database, HeadGuard& guard) : database_(database), guard_(guard) {}

  // What an earlier run reached.
  Status load();
  // History below this revision is compacted.
  Rev done() const { return done_; }

  // Compacts up to `revision`, which is durable in meta as the compact revision. False when `pause` stopped it. It may
  // be run again after a stop, an error or a crash, and goes on where it was.
  Result<bool> run(int64_t revision, Hooks hooks);

  // Bounds of one step: changes looked at before their predecessors are removed, and what one write may hold.
  struct Limits {
    size_t changes_per_window = 256 << 10;
    size_t operations_per_write = 64;
    size_t bytes_per_write = 64 << 10;
  };
  Limits limits;

 private:
  struct Tombstone {
    std::string key;
    Rev mod;
  };
  class Writer;

  Status remove_tombstones(std::vector<Tombstone>* tombstones);

  const Database& database_;
  HeadGuard& guard_;
  Rev done_;
};

}  // namespace kv::store
