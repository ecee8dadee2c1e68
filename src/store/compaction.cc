#include "store/compaction.h"

#include <algorithm>

#include "store/errors.h"
#include "store/history.h"
#include "store/view.h"

namespace kv::store {
namespace {

constexpr size_t kTombstonesAtOnce = 64;

Rev next_rev(Rev rev) { return {rev.main, rev.sub + 1}; }

// The history records from `from` on, as they are when it is made. No record reaches over `from` where a compaction has
// stopped: what was left of it then became a record of its own.
class RecordScan {
 public:
  RecordScan(const Database& database, Rev from) : iterator_(make(database)) { iterator_->Seek(history_key(from)); }

  // False at the end.
  Result<bool> read(Rev* first, HistoryReader* reader) {
    if (!iterator_->Valid()) {
      KV_RETURN_IF_ERROR(from_rocksdb(iterator_->status(), "state: compacting history"));
      return false;
    }
    if (!decode_history_key(view(iterator_->key()), first) || !reader->open(*first, view(iterator_->value()))) {
      return damaged_history(*first);
    }
    return true;
  }
  void next() { iterator_->Next(); }

 private:
  static rocksdb::Iterator* make(const Database& database) {
    rocksdb::ReadOptions options;
    options.fill_cache = false;
    return database->NewIterator(options, database.history());
  }

  std::unique_ptr<rocksdb::Iterator> iterator_;
};

}  // namespace

// Collects operations on history and writes them in small batches, each of them whole records.
class Compaction::Writer {
 public:
  Writer(const Database& database, const Limits& limits, absl::FunctionRef<bool()> pause)
      : database_(database), limits_(limits), pause_(pause) {}

  rocksdb::WriteBatch& batch() { return batch_; }

  // False when told to stop.
  Result<bool> write_if_full() {
    const bool full = static_cast<size_t>(batch_.Count()) >= limits_.operations_per_write ||
                      batch_.GetDataSize() >= limits_.bytes_per_write;
    if (!full) return true;
    return write();
  }
  Result<bool> write() {
    if (batch_.Count() == 0) return true;
    KV_RETURN_IF_ERROR(database_.write(&batch_, /*low_priority=*/true));
    batch_.Clear();
    return pause_();
  }

 private:
  const Database& database_;
  const Limits& limits_;
  absl::FunctionRef<bool()> pause_;
  rocksdb::WriteBatch batch_;
};

Status Compaction::load() {
  std::string bytes;
  const Result<bool> found = database_.get_meta(kMetaCompacted, &bytes);
  if (!found.ok()) return found.status();
  if (*found && !decode_history_key(bytes, &done_)) {
    return {Code::kDataLoss, "state: meta record \"compact.done\" is damaged"};
  }
  return {};
}

Status Compaction::remove_tombstones(std::vector<Tombstone>* tombstones) {
  if (tombstones->empty()) return {};
  {
    const std::lock_guard lock(guard_.mutex_);
    for (const Tombstone& t : *tombstones) guard_.watched_.insert(t.key);
  }
  // Read without the lock. A put that comes from now on strikes its key out.
  Status status;
  std::erase_if(*tombstones, [&](const Tombstone& t) {
    rocksdb::PinnableSlice value;
    const rocksdb::Status s = database_->Get(rocksdb::ReadOptions(), database_.head(), t.key, &value);
    if (s.IsNotFound()) return true;
    Record record;
    if (!s.ok()) {
      status = from_rocksdb(s, "state: compacting head");
    } else if (!decode_record(view(value), &record)) {
      status = damaged_head(t.key);
    }
    return !status.ok() || !record.tombstone || record.mod != t.mod;
  });
  const std::lock_guard lock(guard_.mutex_);
  if (status.ok()) {
    rocksdb::WriteBatch batch;
    for (const Tombstone& t : *tombstones) {
      if (guard_.watched_.contains(t.key)) batch.Delete(database_.head(), t.key);
    }
    if (batch.Count() > 0) status = database_.write(&batch);
  }
  guard_.watched_.clear();
  tombstones->clear();
  return status;
}

Result<bool> Compaction::run(int64_t revision, Hooks hooks) {
  Writer writer(database_, limits, hooks.pause);
  const Rev target{revision, 0};

  while (done_ < target) {
    // First pass over the window: what its changes superseded, and the tombstones that leave head. The latter must
    // go before history forgets them, or after a crash nobody would know of them.
    std::vector<Rev> superseded;
    std::vector<Tombstone> tombstones;
    Rev end = done_;
    bool full = false;
    {
      RecordScan scan(database_, done_);
      Rev first;
      HistoryReader reader;
      size_t seen = 0;
      for (; !full; scan.next()) {
        const Result<bool> more = scan.read(&first, &reader);
        if (!more.ok()) return more.status();
        if (!*more || first >= target) break;
        for (size_t i = reader.lower_bound(done_); i < reader.count() && reader.rev(i) < target; ++i) {
          Change change;
          if (!reader.change(i, &change)) return damaged_history(first);
          ++seen;
          if (!change.record.prev.none()) superseded.push_back(change.record.prev);
          if (change.record.tombstone) tombstones.push_back({std::string(change.key), change.record.mod});
          end = next_rev(change.record.mod);
          if (tombstones.size() >= kTombstonesAtOnce) {
            KV_RETURN_IF_ERROR(remove_tombstones(&tombstones));
            if (!hooks.pause()) return false;
          }
        }
        full = seen >= limits.changes_per_window;
      }
      KV_RETURN_IF_ERROR(remove_tombstones(&tombstones));
      if (!full) end = target;
    }
    std::sort(superseded.begin(), superseded.end());

    // Below the window there is one record per change, so what was superseded goes unread. All of it goes before the
    // changes that say so; the same holds within the window, which is walked upwards. So wherever this is cut off,
    // what is left to do can still be found.
    for (const Rev rev : superseded) {
      if (rev >= done_) break;
      writer.batch().Delete(database_.history(), history_key(rev));
      const Result<bool> go_on = writer.write_if_full();
      if (!go_on.ok() || !*go_on) return go_on;
    }
    {
      RecordScan scan(database_, done_);
      Rev first;
      HistoryReader reader;
      for (;; scan.next()) {
        const Result<bool> more = scan.read(&first, &reader);
        if (!more.ok()) return more.status();
        if (!*more || first >= end) break;
        bool first_survives = false;
        HistoryBuilder rest;
        for (size_t i = 0; i < reader.count(); ++i) {
          const Rev rev = reader.rev(i);
          const std::string_view bytes = reader.change_bytes(i);
          if (rev >= end) {
            rest.add_encoded(rev, bytes);
            continue;
          }
          Change change;
          if (!decode_change(bytes, &change)) return damaged_history(first);
          if (change.record.tombstone || std::binary_search(superseded.begin(), superseded.end(), rev)) continue;
          if (i == 0) first_survives = true;
          if (reader.count() == 1) continue;  // it stands alone already
          HistoryBuilder alone;
          alone.add_encoded(rev, bytes);
          writer.batch().Put(database_.history(), history_key(rev), alone.finish());
        }
        if (!first_survives) writer.batch().Delete(database_.history(), history_key(first));
        if (rest.count() > 0) writer.batch().Put(database_.history(), history_key(rest.first()), rest.finish());
        const Result<bool> go_on = writer.write_if_full();
        if (!go_on.ok() || !*go_on) return go_on;
      }
    }
    writer.batch().Put(database_.meta(), slice(kMetaCompacted), history_key(end));
    const Result<bool> go_on = writer.write();
    if (!go_on.ok()) return go_on;
    done_ = end;
    hooks.passed(end.main);
    if (!*go_on) return false;
  }

  // The changes at the compact revision itself stay, and supersede what was before.
  std::vector<Tombstone> tombstones;
  RecordScan scan(database_, target);
  Rev first;
  HistoryReader reader;
  for (;; scan.next()) {
    const Result<bool> more = scan.read(&first, &reader);
    if (!more.ok()) return more.status();
    if (!*more || first.main > revision) break;
    for (size_t i = reader.lower_bound(target); i < reader.count() && reader.rev(i).main == revision; ++i) {
      Change change;
      if (!reader.change(i, &change)) return damaged_history(first);
      const Rev prev = change.record.prev;
      if (!prev.none() && prev < target) writer.batch().Delete(database_.history(), history_key(prev));
      if (change.record.tombstone) tombstones.push_back({std::string(change.key), change.record.mod});
      if (tombstones.size() >= kTombstonesAtOnce) KV_RETURN_IF_ERROR(remove_tombstones(&tombstones));
      const Result<bool> go_on = writer.write_if_full();
      if (!go_on.ok() || !*go_on) return go_on;
    }
  }
  KV_RETURN_IF_ERROR(remove_tombstones(&tombstones));
  return writer.write();
}

}  // namespace kv::store
