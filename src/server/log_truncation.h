// When the raft log is cut at its beginning, and where: a pure rule, driven by the engine.
//
// etcd's --snapshot-count and --snapshot-catchup-entries count entries, and so do ours. But an entry of ours holds all
// the commands that waited for the log (server/engine.h), a megabyte of them at most: five thousand may be a second of
// a busy cluster or a day of a quiet one. So there is a bound on bytes beside each count, and the smaller wins.
//
// Three things hold a cut back:
//   - what is not durable in the state can't be replayed from anywhere else. No exception; the state is asked to flush.
//   - a follower that is only a little behind would need a whole snapshot instead of the few entries,
//   - and so would one that is fetching a snapshot and has to go on from there. Both hold it back only so far:
//     the disk is not theirs.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "raft/types.h"

namespace kv::server {

class LogTruncation {
 public:
  struct Options {
    // The log is cut when there are so many entries more than are kept.
    uint64_t snapshot_count = 10'000;  // etcd's
    uint64_t catchup_entries = 5'000;  // etcd's; kept for those who were away for a moment
    // ... or when it has more bytes than this; then so many are kept at most.
    uint64_t max_bytes = 256 << 20;
    uint64_t catchup_bytes = 128 << 20;
    // What is held back at most for followers, in all.
    uint64_t held_entries = 200'000;
    uint64_t held_bytes = 1 << 30;
  };

  // Where things are when it is asked.
  struct Place {
    raft::Index first;    // the log's first entry
    raft::Index applied;  // ... and the last that the state has
    raft::Index durable;  // ... and that it has on disk
    // Followers that are served have what is up to here, and need the rest; nullopt: nobody needs anything.
    std::optional<raft::Index> needed_after;
  };

  // The log is found with entries `first` to `last`, which have some `bytes` together.
  LogTruncation(const Options& options, raft::Index first, raft::Index last, uint64_t bytes);

  // Entries were appended, the last of them at `last`; those from `first` on that were there before are replaced.
  void appended(raft::Index first, raft::Index last, uint64_t bytes);
  // The log now begins after `index`, and ends there unless it reaches further.
  void began_after(raft::Index index);

  // True when there is too much of it; only then it need be asked for more, which costs a look at the disk.
  bool due(raft::Index first, raft::Index applied) const;
  // What to drop: all up to this index, which is at most `applied` and `durable`. Not before it is worth a write.
  std::optional<raft::Index> cut(const Place& place) const;
  // True when the log can't be cut as it should because the state has too little on disk.
  bool wants_flush(const Place& place) const;

  // Of the entries after `index`; up to a megabyte too much.
  uint64_t bytes_after(raft::Index index) const;

 private:
  // The entries up to `index` have so many bytes, counted from where this object began.
  struct Mark {
    raft::Index index;
    uint64_t bytes;
  };

  raft::Index wanted(raft::Index base) const;
  // The smallest index after which there are at most so many bytes.
  raft::Index with_at_most(uint64_t bytes) const;

  const Options options_;
  std::deque<Mark> marks_;  // ascending; the first is where the log begins, the last its end
};

}  // namespace kv::server
