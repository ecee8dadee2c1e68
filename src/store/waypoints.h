// Waypoints: short cuts into the past of keys that change often.
//
// The changes of a key are a chain, each of which names the one before, and head has only its newest end. So what a key
// was at an old revision would take as many steps as it has newer versions. But about one change in sixteen has a
// waypoint, a row in a family of its own under the key's hash and the change's revision: whoever looks for a revision
// seeks the first waypoint after it and goes on from there, a few steps, however long the chain is.
//
// Which changes have one is said by their revision alone: whoever applies has nothing to remember, and no pattern in
// which keys are written makes the gaps longer.
//
// They are hints. The change that one leads to says itself whose it is and when it was made, so a wrong one can't make
// a wrong answer, and a missing one costs steps only: a state that was written by a version without them has none, and
// a reader that had to go a long way leaves them behind for the next.
#pragma once

#include <rocksdb/compaction_filter.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "store/encoding.h"

namespace kv::store {

// Steps from one waypoint of a key to the next, in the mean.
constexpr uint64_t kStepsPerWaypoint = 16;

// Whether a change that has another before it gets one.
bool has_waypoint(Rev rev);

// The key's hash, which keeps its waypoints together in the order of revisions, and the revision.
std::string waypoint_key(std::string_view key, Rev rev);
// False when the bytes are no waypoint of that key.
[[nodiscard]] bool decode_waypoint_key(std::string_view bytes, std::string_view key, Rev* rev);

// Drops the waypoints that history has been compacted beyond, whenever RocksDB rewrites them: nobody seeks them any
// more, so nobody has to look for them either.
class WaypointFilter final : public rocksdb::CompactionFilter {
 public:
  void drop_below(int64_t revision) { below_.store(revision, std::memory_order_relaxed); }

  const char* Name() const override { return "kvd.waypoints"; }
  bool Filter(int level, const rocksdb::Slice& key, const rocksdb::Slice& value, std::string* new_value,
              bool* value_changed) const override;

 private:
  std::atomic<int64_t> below_{0};
};

}  // namespace kv::store
