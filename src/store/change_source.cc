#include "store/change_source.h"

#include "store/errors.h"
#include "store/generation.h"

namespace kv::store {
namespace {

// Records of the ring that a reader of history takes at a time: it mostly stops before it has read them all.
constexpr size_t kRecentBytesAtOnce = 1 << 20;

// `*more` becomes false when the visitor has had enough or the record goes beyond `upto`.
Status visit_record(Rev first, std::string_view bytes, Rev from, int64_t upto, ChangeSource::Visitor visit,
                    bool* more) {
  HistoryReader reader;
  if (!reader.open(first, bytes)) return damaged_history(first);
  for (size_t i = reader.lower_bound(from); i < reader.count(); ++i) {
    Change change;
    *more = reader.rev(i).main <= upto;
    if (!*more) return {};
    if (!reader.change(i, &change) || change.record.mod != reader.rev(i)) return damaged_history(first);
    *more = visit(change);
    if (!*more) return {};
  }
  return {};
}

Status read_files(const Database& database, Rev from, int64_t upto, ChangeSource::Visitor visit) {
  const std::unique_ptr<rocksdb::Iterator> it(database->NewIterator(rocksdb::ReadOptions(), database.history()));
  const std::string start = history_key(from);
  // The record that begins at or before the first wanted change may hold it.
  it->SeekForPrev(start);
  if (!it->Valid()) it->Seek(start);
  for (bool more = true; it->Valid() && more; it->Next()) {
    Rev first;
    if (!decode_history_key(view(it->key()), &first)) return damaged_history(from);
    if (first.main > upto) break;
    KV_RETURN_IF_ERROR(visit_record(first, view(it->value()), from, upto, visit, &more));
  }
  return from_rocksdb(it->status(), "state: reading history");
}

}  // namespace

int64_t ChangeSource::revision() const { return current_.get()->published.revision.load(std::memory_order_acquire); }

int64_t ChangeSource::compact_revision() const {
  return current_.get()->published.compact_revision.load(std::memory_order_acquire);
}

Result<bool> ChangeSource::read_recent(Rev from, int64_t upto, Visitor visit) const {
  const auto now = current_.get();
  std::vector<RecentChanges::Entry> entries;
  if (!now->recent.since(from, SIZE_MAX, &entries)) return false;
  bool more = true;
  for (auto entry = entries.begin(); more && entry != entries.end(); ++entry) {
    KV_RETURN_IF_ERROR(visit_record(entry->first, *entry->bytes, from, upto, visit, &more));
  }
  return true;
}

Status ChangeSource::read(Rev from, int64_t upto, Visitor visit) const {
  const auto now = current_.get();
  bool more = true;
  std::vector<RecentChanges::Entry> entries;
  while (more) {
    // The ring goes on meanwhile; what it loses the files have.
    if (!now->recent.since(from, kRecentBytesAtOnce, &entries)) return read_files(*now->database, from, upto, visit);
    if (entries.empty()) break;
    for (auto entry = entries.begin(); more && entry != entries.end(); ++entry) {
      KV_RETURN_IF_ERROR(visit_record(entry->first, *entry->bytes, from, upto, visit, &more));
    }
    from = {entries.back().last.main, entries.back().last.sub + 1};
  }
  return {};
}

Predecessors::Predecessors(const ChangeSource& source) : source_(source) { open(); }

void Predecessors::open() {
  generation_ = source_.current_.get();
  history_.emplace(*generation_->database, generation_->recent, nullptr,
                   generation_->published.compacted.load(std::memory_order_acquire));
}

Result<bool> Predecessors::find(const Change& change, Record* prev) {
  // etcd asks for the key at the revision before, and gets an error when that is compacted.
  const int64_t at = change.record.mod.main - 1;
  // The change may be of a state that has come since, and so may be what it replaced.
  if (change.record.prev.main > generation_->published.revision.load(std::memory_order_acquire)) {
    history_.reset();
    open();
  }
  Rev rev = change.record.prev;
  while (!rev.none() && at >= source_.compact_revision()) {
    const Result<bool> found = history_->find(rev, &found_);
    if (!found.ok()) return found;
    // Gone by a compaction since: compact_revision() would now say so.
    if (!*found) return false;
    if (found_.record.mod.main <= at) {
      *prev = found_.record;
      return !prev->tombstone;
    }
    rev = found_.record.prev;  // of the same revision: a nested transaction may change a key more than once
  }
  return false;
}

}  // namespace kv::store
