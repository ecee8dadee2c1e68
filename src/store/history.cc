#include "store/history.h"

#include <algorithm>

#include "store/errors.h"

namespace kv::store {
namespace {

constexpr uint32_t kWaypointsPerWrite = 256;

}  // namespace

Status damaged_history(Rev first) {
  return {Code::kDataLoss, "state: history record at revision " + std::to_string(first.main) + "." +
                               std::to_string(first.sub) + " is damaged"};
}

void RecentChanges::add(Entry entry) {
  const std::lock_guard lock(mutex_);
  bytes_ += entry.bytes->size();
  entries_.push_back(std::move(entry));
  while (bytes_ > max_bytes_ && !entries_.empty()) {
    bytes_ -= entries_.front().bytes->size();
    // A transaction may stand in several records: once its first is gone, all of it counts as gone.
    since_ = entries_.front().last.main;
    entries_.pop_front();
  }
}

std::shared_ptr<const std::string> RecentChanges::find(Rev rev, Rev* first) const {
  const std::lock_guard lock(mutex_);
  auto it = std::upper_bound(entries_.begin(), entries_.end(), rev,
                             [](Rev wanted, const Entry& e) { return wanted < e.first; });
  if (it == entries_.begin()) return nullptr;
  --it;
  if (rev > it->last) return nullptr;
  *first = it->first;
  return it->bytes;
}

bool RecentChanges::since(int64_t after, std::vector<Entry>* out) const {
  const std::lock_guard lock(mutex_);
  if (after < since_) return false;
  const auto it =
      std::partition_point(entries_.begin(), entries_.end(), [after](const Entry& e) { return e.last.main <= after; });
  out->assign(it, entries_.end());
  return true;
}

bool RecentChanges::since(Rev from, size_t max_bytes, std::vector<Entry>* out) const {
  out->clear();
  const std::lock_guard lock(mutex_);
  if (from.main <= since_) return false;
  auto it = std::partition_point(entries_.begin(), entries_.end(), [from](const Entry& e) { return e.last < from; });
  for (size_t bytes = 0; it != entries_.end() && bytes < max_bytes; ++it) {
    bytes += it->bytes->size();
    out->push_back(*it);
  }
  return true;
}

Result<bool> HistoryCursor::find(Rev rev, Change* change) {
  Rev first;
  std::string_view bytes;
  pinned_ = recent_.find(rev, &first);
  if (pinned_) {
    bytes = *pinned_;
  } else if (rev.main < compacted_) {
    // A single record: a get asks the bloom filters, and steps over no traces of what was removed.
    rocksdb::ReadOptions options;
    options.snapshot = snapshot_;
    value_.Reset();
    const rocksdb::Status s = database_->Get(options, database_.history(), history_key(rev), &value_);
    if (s.IsNotFound()) return false;
    if (!s.ok()) return from_rocksdb(s, "state: reading history");
    first = rev;
    bytes = view(value_);
  } else {
    if (!iterator_) {
      rocksdb::ReadOptions options;
      options.snapshot = snapshot_;
      iterator_.reset(database_->NewIterator(options, database_.history()));
    }
    iterator_->SeekForPrev(history_key(rev));
    if (!iterator_->Valid()) {
      KV_RETURN_IF_ERROR(from_rocksdb(iterator_->status(), "state: reading history"));
      return false;
    }
    if (!decode_history_key(view(iterator_->key()), &first)) return damaged_history(rev);
    bytes = view(iterator_->value());
  }
  HistoryReader reader;
  if (!reader.open(first, bytes)) return damaged_history(first);
  const size_t i = reader.lower_bound(rev);
  if (i == reader.count() || reader.rev(i) != rev) return false;
  if (!reader.change(i, change) || change->record.mod != rev) return damaged_history(first);
  return true;
}

Result<bool> HistoryCursor::find_after(std::string_view key, int64_t at, Rev before, Change* change) {
  if (!waypoints_) {
    rocksdb::ReadOptions options;
    options.snapshot = snapshot_;
    waypoints_.reset(database_->NewIterator(options, database_.waypoints()));
  }
  for (waypoints_->Seek(waypoint_key(key, {at + 1, 0})); waypoints_->Valid(); waypoints_->Next()) {
    Rev rev;
    if (!decode_waypoint_key(view(waypoints_->key()), key, &rev) || rev >= before) return false;
    const Result<bool> found = find(rev, change);
    if (!found.ok()) return found;
    // Else it leads astray: one of another key with the same hash, or what became of a transaction that failed.
    if (*found && change->key == key) return true;
  }
  KV_RETURN_IF_ERROR(from_rocksdb(waypoints_->status(), "state: reading waypoints"));
  return false;
}

void HistoryCursor::missing_waypoint(std::string_view key, Rev rev) {
  missing_.Put(database_.waypoints(), waypoint_key(key, rev), rocksdb::Slice());
  if (missing_.Count() >= kWaypointsPerWrite) lay_missing();
}

void HistoryCursor::lay_missing() {
  if (missing_.Count() == 0) return;
  database_.write_hints(&missing_);
  missing_.Clear();
}

namespace {

// False in `*more` when the visitor has had enough or the record goes beyond `upto`.
Status visit_record(Rev first, std::string_view bytes, int64_t after, int64_t upto, ChangeVisitor visit, bool* more) {
  HistoryReader reader;
  if (!reader.open(first, bytes)) return damaged_history(first);
  for (size_t i = reader.lower_bound({after + 1, 0}); i < reader.count(); ++i) {
    if (reader.rev(i).main > upto) {
      *more = false;
      return {};
    }
    Change change;
    const std::string_view change_bytes = reader.change_bytes(i);
    if (!decode_change(change_bytes, &change) || change.record.mod != reader.rev(i)) return damaged_history(first);
    if (!visit(change, change_bytes)) {
      *more = false;
      return {};
    }
  }
  return {};
}

}  // namespace

Status scan_history(const Database& database, const RecentChanges* recent, const rocksdb::Snapshot* snapshot,
                    int64_t after, int64_t upto, ChangeVisitor visit) {
  if (after >= upto) return {};
  bool more = true;
  std::vector<RecentChanges::Entry> entries;
  if (recent != nullptr && recent->since(after, &entries)) {
    for (const auto& entry : entries) {
      KV_RETURN_IF_ERROR(visit_record(entry.first, *entry.bytes, after, upto, visit, &more));
      if (!more) break;
    }
    return {};
  }
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  const std::unique_ptr<rocksdb::Iterator> it(database->NewIterator(options, database.history()));
  const std::string start = history_key({after + 1, 0});
  // The record that begins at or before the first wanted change may hold it.
  it->SeekForPrev(start);
  if (!it->Valid()) it->Seek(start);
  for (; it->Valid() && more; it->Next()) {
    Rev first;
    if (!decode_history_key(view(it->key()), &first)) return damaged_history({after + 1, 0});
    if (first.main > upto) break;
    KV_RETURN_IF_ERROR(visit_record(first, view(it->value()), after, upto, visit, &more));
  }
  return from_rocksdb(it->status(), "state: reading history");
}

}  // namespace kv::store
