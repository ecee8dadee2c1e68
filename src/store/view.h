// What a reader sees: the key space at one revision or another, from one place in time.
//
// `head` holds each key's newest record. Asked for revision `at`, a view takes the newest record and, as long as
// that is younger than `at`, follows the chain of `prev` back through history; when that turns out long, from the first
// waypoint after `at` on.
#pragma once

#include <absl/functional/function_ref.h>
#include <rocksdb/db.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "store/counts.h"
#include "store/database.h"
#include "store/history.h"
#include "store/key_range.h"

namespace kv::store {

// Views answer only about keys that are there: tombstones are how they know that one is not.
class View {
 public:
  using Visitor = absl::FunctionRef<bool(std::string_view key, const Record& record)>;

  virtual ~View() = default;

  // False when there is no such key. `record` is valid until the next call.
  virtual Result<bool> get(std::string_view key, int64_t at, Record* record) = 0;
  // In the order of keys, or against it, until `visit` answers false. `range` is not single.
  virtual Status scan(const KeyRange& range, int64_t at, bool reverse, Visitor visit) = 0;
  // The number of keys in `range`, which is not single.
  virtual Result<int64_t> count(const KeyRange& range, int64_t at) = 0;

 protected:
  // A read a little in the past is done with fewer steps than it costs to seek a waypoint.
  static constexpr int kStepsBeforeWaypoint = 4;

  // Takes the newest record of a key back to what it was at `at`. False when the key was not there then.
  // `compact_revision`: a change below it that can't be found was a tombstone. `find` is the history's, which may know
  // more than is committed.
  template <typename Find>
  static Result<bool> settle(std::string_view key, Record* record, int64_t at, int64_t compact_revision,
                             HistoryCursor& history, Find find) {
    for (int steps = 0; record->mod.main > at; ++steps) {
      Change change;
      if (steps == kStepsBeforeWaypoint) {
        const Result<bool> found = history.find_after(key, at, record->mod, &change);
        if (!found.ok()) return found.status();
        if (*found) *record = change.record;
      } else if (steps > kStepsBeforeWaypoint && has_waypoint(record->mod) && !record->prev.none()) {
        history.missing_waypoint(key, record->mod);
      }
      const Rev prev = record->prev;
      if (prev.none()) return false;
      const Result<bool> found = find(prev, &change);
      if (!found.ok()) return found.status();
      if (!*found) {
        if (prev.main <= compact_revision) return false;
        return Status(Code::kDataLoss,
                      "state: history has no revision " + std::to_string(prev.main) + "." + std::to_string(prev.sub));
      }
      *record = change.record;
    }
    return !record->tombstone;
  }
};

// The committed state, for readers on any thread. A view is used by one thread, for one request.
class CommittedView final : public View {
 public:
  struct Published {
    // Of the last commit, and of the last compaction; the latter is set before anything is removed.
    std::atomic<int64_t> revision{1};
    std::atomic<int64_t> compact_revision{-1};
    // History below is compacted, which is set after it is so.
    std::atomic<int64_t> compacted{0};
  };

  // Without a snapshot it costs least and serves one call of get(), at current() only. It answers kAborted when a
  // commit came between; then ask again.
  CommittedView(const Database& database, const RecentChanges& recent, const BlockCounts& counts,
                const Published& published, bool with_snapshot);
  ~CommittedView() override;

  int64_t current() const { return current_; }
  int64_t compact_revision() const { return compact_revision_; }
  const rocksdb::Snapshot* snapshot() const { return snapshot_; }

  Result<bool> get(std::string_view key, int64_t at, Record* record) override;
  Status scan(const KeyRange& range, int64_t at, bool reverse, Visitor visit) override;
  Result<int64_t> count(const KeyRange& range, int64_t at) override;

 private:
  Result<bool> settle_committed(std::string_view key, Record* record, int64_t at);
  Result<int64_t> count_by_walking(const KeyRange& range, int64_t at);

  const Database& database_;
  const RecentChanges& recent_;
  const BlockCounts& counts_;
  const Published& published_;
  const rocksdb::Snapshot* snapshot_ = nullptr;
  int64_t current_ = 0;
  int64_t compact_revision_ = -1;
  int64_t compacted_ = 0;
  rocksdb::PinnableSlice value_;
  std::optional<HistoryCursor> history_;
};

// Iterates over `head` within a range, in either direction, tombstones included.
class HeadIterator {
 public:
  HeadIterator(const Database& database, const rocksdb::Snapshot* snapshot) : database_(database) {
    options_.snapshot = snapshot;
  }
  void seek(const KeyRange& range, bool reverse);
  bool valid() const { return iterator_ && iterator_->Valid(); }
  void next() { reverse_ ? iterator_->Prev() : iterator_->Next(); }
  std::string_view key() const { return view(iterator_->key()); }
  // DataLoss when the record is none.
  Status record(Record* record) const;
  Status status() const;

 private:
  const Database& database_;
  rocksdb::ReadOptions options_;
  std::string lower_, upper_;
  rocksdb::Slice lower_slice_, upper_slice_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
  bool reverse_ = false;
};

// The parts of a range before and after the whole blocks within it; either may be empty.
std::array<KeyRange, 2> edges(const KeyRange& range, const BlockCounts::Inner& inner);

// The error for a record of head that can't be read.
Status damaged_head(std::string_view key);

}  // namespace kv::store
