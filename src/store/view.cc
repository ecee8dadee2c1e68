#include "store/view.h"

#include "store/errors.h"

namespace kv::store {
namespace {

Status commit_came_between() { return {Code::kAborted, "state: a commit came between"}; }

}  // namespace

Status damaged_head(std::string_view key) {
  return {Code::kDataLoss, "state: head record of key \"" + std::string(key) + "\" is damaged"};
}

void HeadIterator::seek(const KeyRange& range, bool reverse) {
  reverse_ = reverse;
  lower_ = range.begin;
  lower_slice_ = lower_;
  options_.iterate_lower_bound = &lower_slice_;
  options_.iterate_upper_bound = nullptr;
  if (!range.unbounded) {
    upper_ = range.end;
    upper_slice_ = upper_;
    options_.iterate_upper_bound = &upper_slice_;
  }
  iterator_.reset();
  if (range.empty()) return;
  iterator_.reset(database_->NewIterator(options_, database_.head()));
  if (reverse) {
    iterator_->SeekToLast();
  } else {
    iterator_->Seek(lower_slice_);
  }
}

Status HeadIterator::record(Record* record) const {
  return decode_record(view(iterator_->value()), record) ? Status() : damaged_head(key());
}

Status HeadIterator::status() const {
  return iterator_ ? from_rocksdb(iterator_->status(), "state: reading head") : Status();
}

CommittedView::CommittedView(const Database& database, const RecentChanges& recent, const BlockCounts& counts,
                             const Published& published, bool with_snapshot)
    : database_(database), recent_(recent), counts_(counts), published_(published) {
  do {
    if (snapshot_ != nullptr) database_->ReleaseSnapshot(snapshot_);
    // All up to this revision is visible to whatever is read after it. What is read may be younger; then the chain
    // leads back.
    current_ = published_.revision.load(std::memory_order_acquire);
    compacted_ = published_.compacted.load(std::memory_order_acquire);
    if (with_snapshot) snapshot_ = database_->GetSnapshot();
    compact_revision_ = published_.compact_revision.load(std::memory_order_acquire);
    // A tombstone that is younger than current_ may be gone already when a compaction has passed it.
  } while (compact_revision_ > current_);
}

CommittedView::~CommittedView() {
  history_.reset();
  if (snapshot_ != nullptr) database_->ReleaseSnapshot(snapshot_);
}

Result<bool> CommittedView::settle_committed(std::string_view key, Record* record, int64_t at) {
  if (record->mod.main <= at) return !record->tombstone;
  if (snapshot_ == nullptr) return commit_came_between();
  if (!history_) history_.emplace(database_, recent_, snapshot_, compacted_);
  return settle(key, record, at, compact_revision_, *history_,
                [this](Rev rev, Change* change) { return history_->find(rev, change); });
}

Result<bool> CommittedView::get(std::string_view key, int64_t at, Record* record) {
  rocksdb::ReadOptions options;
  options.snapshot = snapshot_;
  value_.Reset();
  const rocksdb::Status s = database_->Get(options, database_.head(), slice(key), &value_);
  if (s.IsNotFound()) {
    // It may have been there at current(), and its tombstone be gone already.
    const bool unsure = snapshot_ == nullptr && published_.compact_revision.load(std::memory_order_acquire) > current_;
    if (unsure) return commit_came_between();
    return false;
  }
  if (!s.ok()) return from_rocksdb(s, "state: reading head");
  if (!decode_record(view(value_), record)) return damaged_head(key);
  return settle_committed(key, record, at);
}

Status CommittedView::scan(const KeyRange& range, int64_t at, bool reverse, Visitor visit) {
  KV_CHECK(snapshot_ != nullptr, "a scan needs a snapshot");
  HeadIterator it(database_, snapshot_);
  it.seek(range, reverse);
  for (; it.valid(); it.next()) {
    Record record;
    KV_RETURN_IF_ERROR(it.record(&record));
    const Result<bool> there = settle_committed(it.key(), &record, at);
    if (!there.ok()) return there.status();
    if (*there && !visit(it.key(), record)) return {};
  }
  return it.status();
}

Result<int64_t> CommittedView::count_by_walking(const KeyRange& range, int64_t at) {
  int64_t n = 0;
  KV_RETURN_IF_ERROR(scan(range, at, false, [&n](std::string_view, const Record&) {
    ++n;
    return true;
  }));
  return n;
}

Result<int64_t> CommittedView::count(const KeyRange& range, int64_t at) {
  const BlockCounts::Inner inner = counts_.inner(range);
  if (!inner.any) return count_by_walking(range, at);
  int64_t keys = inner.keys;
  if (at != inner.revision) {
    // Back from the counts' revision to ours, unless the way is longer than the walk.
    if (inner.revision - at > inner.keys) return count_by_walking(range, at);
    // The counts may be younger than the snapshot.
    KV_RETURN_IF_ERROR(
        scan_history(database_, &recent_, nullptr, at, inner.revision, [&](const Change& change, std::string_view) {
          if (inner.contains(change.key)) keys -= count_delta(change.record);
          return true;
        }));
    // Unless a compaction has taken some of it meanwhile; the snapshot still has all.
    if (published_.compact_revision.load(std::memory_order_acquire) > at) return count_by_walking(range, at);
  }
  for (const KeyRange& edge : edges(range, inner)) {
    const Result<int64_t> n = count_by_walking(edge, at);
    if (!n.ok()) return n;
    keys += *n;
  }
  return keys;
}

std::array<KeyRange, 2> edges(const KeyRange& range, const BlockCounts::Inner& inner) {
  std::array<KeyRange, 2> out;
  out[0].begin = range.begin;
  out[0].end = inner.begin;
  if (!inner.unbounded) {
    out[1].begin = inner.end;
    out[1].end = range.end;
  }
  return out;
}

}  // namespace kv::store
