// History: every change since the compact revision, by revision. One record holds the changes of one batch (a
// large batch takes several), or, below the compact revision, one change.
//
// The newest records are also in a ring in memory, which is what a read a little in the past and a watcher that
// keeps up are served from.
#pragma once

#include <absl/functional/function_ref.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/database.h"
#include "store/encoding.h"

namespace kv::store {

// The newest history records, oldest first, without a gap up to the present.
class RecentChanges {
 public:
  struct Entry {
    Rev first;
    Rev last;
    std::shared_ptr<const std::string> bytes;
  };

  // Holds all changes with a main revision above `since`. `max_bytes` bounds the memory; the oldest go first.
  RecentChanges(int64_t since, size_t max_bytes) : since_(since), max_bytes_(max_bytes) {}

  // One thread; before the records' revision becomes visible to readers.
  void add(Entry entry);

  // The record that holds `rev`, if the ring reaches back that far. Any thread.
  std::shared_ptr<const std::string> find(Rev rev, Rev* first) const;
  // All records with changes above `after`; false when the ring doesn't reach back that far. Any thread.
  bool since(int64_t after, std::vector<Entry>* out) const;
  // The same for the changes at or after `from`, the first records only: of `max_bytes` together, and at least one.
  bool since(Rev from, size_t max_bytes, std::vector<Entry>* out) const;

 private:
  mutable std::mutex mutex_;  // guards all below
  std::deque<Entry> entries_;
  int64_t since_;
  size_t bytes_ = 0;
  const size_t max_bytes_;
};

// Finds single changes. One per request or batch; not thread-safe.
class HistoryCursor {
 public:
  // Reads the files as of `snapshot`, or as they are at the first use when it is null. Below the revision `compacted`,
  // read before the snapshot was taken, history has one record per change.
  HistoryCursor(const Database& database, const RecentChanges& recent, const rocksdb::Snapshot* snapshot,
                int64_t compacted)
      : database_(database), recent_(recent), snapshot_(snapshot), compacted_(compacted) {}

  // Lays the waypoints that were missing.
  ~HistoryCursor() { lay_missing(); }

  // The change at `rev`; false when history doesn't have it (any more). Valid until the next call.
  Result<bool> find(Rev rev, Change* change);

  // The earliest change of the key after the revision `at` that a waypoint leads to; false when none does, or only to
  // `before` or later. Valid until the next call.
  Result<bool> find_after(std::string_view key, int64_t at, Rev before, Change* change);
  // The key's change at `rev` should have a waypoint, and find_after() did not know it.
  void missing_waypoint(std::string_view key, Rev rev);

 private:
  void lay_missing();

  const Database& database_;
  const RecentChanges& recent_;
  const rocksdb::Snapshot* snapshot_;
  const int64_t compacted_;
  rocksdb::PinnableSlice value_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
  std::unique_ptr<rocksdb::Iterator> waypoints_;
  rocksdb::WriteBatch missing_;
  std::shared_ptr<const std::string> pinned_;
};

// Calls `visit` with each change whose main revision is in (after, upto], in order, until it answers false. From the
// ring when that reaches back far enough, else from the files as of `snapshot`.
using ChangeVisitor = absl::FunctionRef<bool(const Change& change, std::string_view change_bytes)>;
Status scan_history(const Database& database, const RecentChanges* recent, const rocksdb::Snapshot* snapshot,
                    int64_t after, int64_t upto, ChangeVisitor visit);

// The error for a history record that can't be read.
Status damaged_history(Rev first);

}  // namespace kv::store
