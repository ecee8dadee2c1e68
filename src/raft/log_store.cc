#include "raft/log_store.h"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "raft/log_store_check.h"
#include "raft/log_store_record.h"
#include "raft/log_store_synced.h"
#include "raft/log_store_tail.h"

namespace kv::raft {
namespace {

// A batch that grew beyond this gives its memory back.
constexpr size_t kKeepBatchBytes = 4 << 20;
// A replaced suffix shorter than this is deleted entry by entry: range deletions slow down every later read.
constexpr uint64_t kMaxSingleDeletes = 256;
// Write-ahead logs pile up over restarts, because none of them writes tables; beyond this number they are flushed.
constexpr size_t kMaxWals = 8;

rocksdb::Slice slice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }

// Makes the directory, for nobody but us, and its parents; tightens one that was there.
Status make_directory(const std::string& path) {
  namespace fs = std::filesystem;
  const auto failed = [&path](int error) {
    return Status(Code::kInternal, "can't make directory " + path + ": " + std::strerror(error));
  };
  const fs::path parent = fs::path(path).parent_path();
  struct stat found {};
  if (!parent.empty() && ::stat(parent.c_str(), &found) != 0) KV_RETURN_IF_ERROR(make_directory(parent.string()));
  if (::mkdir(path.c_str(), 0700) == 0) return {};
  if (errno != EEXIST || ::stat(path.c_str(), &found) != 0) return failed(errno);
  if (!S_ISDIR(found.st_mode)) return failed(ENOTDIR);
  if ((found.st_mode & 077) != 0) {
    log_warning("the raft log's directory was open to others; it is not any more", {{"path", path}});
    if (::chmod(path.c_str(), 0700) != 0) return failed(errno);
  }
  return {};
}

// The write-ahead logs in a directory, oldest first.
std::vector<std::string> wal_names(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(path, error)) {
    if (file.path().extension() == ".log") names.push_back(file.path().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

struct LogStore::Rep {
  explicit Rep(const Options& o)
      : options(o),
        files(o.file_system ? o.file_system : rocksdb::FileSystem::Default(), o.path, o.memtable_bytes,
              o.prepare_files),
        cache(o.cache_bytes) {}
  ~Rep() {
    db.reset();
    if (file_lock != nullptr) files.base->UnlockFile(file_lock, rocksdb::IOOptions(), nullptr).PermitUncheckedError();
  }

  Status open();
  Status load();
  Status load_entries();
  Status commit(rocksdb::WriteBatch& batch, LogHead& next, bool sync);
  std::vector<Entry> read(Index from, Index to, size_t max_bytes, size_t& bytes) const;

  const Options options;
  LogFiles files;
  rocksdb::FileLock* file_lock = nullptr;
  std::unique_ptr<SyncedMark> synced;
  std::unique_ptr<rocksdb::DB> db;
  uint64_t loaded_bytes = 0;

  // The writer's alone.
  rocksdb::WriteBatch batch;
  bool unsynced = false;  // something was written since the last sync
  Status failure;         // the first error of a write; final

  mutable std::mutex mutex;  // guards what follows; the writer, who alone changes it, reads it without
  LogHead head;
  SnapshotMeta snapshot;
  TermRuns terms;
  EntryCache cache;
};

// ---- opening -----------------------------------------------------------------------------------------------

Result<std::unique_ptr<LogStore>> LogStore::open(const Options& options) {
  auto rep = std::make_unique<Rep>(options);
  KV_RETURN_IF_ERROR(rep->open());
  return std::unique_ptr<LogStore>(new LogStore(std::move(rep)));
}

LogStore::LogStore(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}

LogStore::~LogStore() {
  // One more batch on disk: whatever is damaged from now on, the last entry included, has something behind it that
  // proves it was acknowledged.
  if (rep_->failure.ok() && rep_->head.batch > 0) {
    rep_->batch.Clear();
    LogHead next = rep_->head;
    if (Status s = rep_->commit(rep_->batch, next, rep_->options.sync || rep_->unsynced); s.ok()) {
      s = rep_->synced->sync();
    }
  }
}

Status LogStore::Rep::open() {
  const std::string& path = options.path;
  const bool exists = std::filesystem::exists(path + "/CURRENT");
  if (!exists && !options.create_if_missing) return {Code::kNotFound, "there is no raft log in " + path};
  KV_RETURN_IF_ERROR(make_directory(path));
  // Our own lock, taken before anything is read: RocksDB's comes with opening for writing only.
  if (rocksdb::IOStatus s = files.base->LockFile(path + "/kvd.lock", rocksdb::IOOptions(), &file_lock, nullptr);
      !s.ok()) {
    return {Code::kUnavailable, "the raft log in " + path + " is in use by another process: " + s.ToString()};
  }
  auto mark = SyncedMark::open(files.base, path, /*create=*/!exists);
  if (!mark.ok()) {
    if (mark.status().code() == Code::kNotFound) return damage(path, "the file SYNCED is missing");
    if (mark.status().code() == Code::kDataLoss) return damage(path, mark.status().text());
    return mark.status();
  }
  synced = std::move(*mark);
  if (!exists && synced->value().batch > 0) return damage(path, "the file CURRENT is missing");

  uint64_t last_batch = 0;
  if (exists) {
    auto checked = check_batches(files, path, synced->value());
    if (!checked.ok()) return checked.status();
    last_batch = *checked;
  }
  const auto wals = wal_names(path);
  // An older one was torn by an earlier crash, and that was told then.
  if (!wals.empty() && files.files->last_torn() == wals.back()) {
    log_warning("the last write to the raft log was cut short and is dropped; it had not been acknowledged",
                {{"path", path}, {"last_batch", last_batch}});
  }

  rocksdb::Options db_options = files.options;
  db_options.create_if_missing = !exists;
  db_options.error_if_exists = !exists;
  if (wals.size() > kMaxWals) db_options.avoid_flush_during_recovery = false;
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(db_options, path, &opened);
  db.reset(opened);
  if (!status.ok()) return log_status(path, status);
  KV_RETURN_IF_ERROR(load());
  if (head.batch != last_batch) {
    return damage(path, "it was read twice, with batches up to " + std::to_string(last_batch) + " and " +
                            std::to_string(head.batch));
  }
  return {};
}

Status LogStore::Rep::load() {
  const std::string& path = options.path;
  terms.reset(Index(0), Term(0));
  std::string record;
  rocksdb::Status got = db->Get(rocksdb::ReadOptions(), head_key(), &record);
  if (got.IsNotFound()) return {};  // new
  if (!got.ok()) return log_status(path, got);
  const auto found = decode_head(record);
  if (!found) return damage(path, "the head record is damaged");
  head = *found;
  if (head.snapshot_index) {
    got = db->Get(rocksdb::ReadOptions(), snapshot_key(), &record);
    if (!got.ok() && !got.IsNotFound()) return log_status(path, got);
    const auto meta = got.ok() ? decode_snapshot(record) : std::nullopt;
    if (!meta || meta->index != head.snapshot_index || meta->term != head.snapshot_term) {
      return damage(path, "the snapshot record is missing or damaged");
    }
    snapshot = *meta;
  }
  terms.reset(snapshot.index, snapshot.term);
  return load_entries();
}

// Every entry is read once: a hole or a damaged record shows now, not when a follower asks for it.
Status LogStore::Rep::load_entries() {
  const std::string& path = options.path;
  rocksdb::ReadOptions read;
  const std::string upper = entry_key(Index(UINT64_MAX));
  const rocksdb::Slice upper_bound(upper);
  read.iterate_upper_bound = &upper_bound;
  read.readahead_size = 1 << 20;
  read.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(read));
  Index expected = snapshot.index + 1;
  for (it->Seek(entry_key(Index(0))); it->Valid(); it->Next(), ++expected) {
    const auto index = index_of_entry_key(it->key().ToStringView());
    if (!index || *index < expected || *index > head.last_index) {
      return damage(path, "it holds an entry " + (index ? to_string(*index) : "of no index") + " outside its bounds (" +
                              to_string(snapshot.index + 1) + " to " + to_string(head.last_index) + ")");
    }
    if (*index != expected) return damage(path, "entry " + to_string(expected) + " is missing");
    const auto entry = decode_entry(*index, it->value().ToStringView());
    if (!entry) return damage(path, "entry " + to_string(*index) + " does not match its checksum");
    if (entry->term < terms.at(*index - 1)) {
      return damage(path, "the term of entry " + to_string(*index) + " is lower than the one before");
    }
    terms.append(entry->index, entry->term);
    loaded_bytes += entry->bytes();
    cache.append(*entry);
  }
  if (!it->status().ok()) {
    if (!it->status().IsCorruption()) return log_status(path, it->status());
    return damage(path, "entry " + to_string(expected) + " can't be read: " + it->status().ToString());
  }
  if (expected != head.last_index + 1) {
    return damage(path, "entries " + to_string(expected) + " to " + to_string(head.last_index) + " are missing");
  }
  if (terms.at(head.last_index) != head.last_term) return damage(path, "the last entry has another term than it had");
  return {};
}

// ---- writing -----------------------------------------------------------------------------------------------

// Numbers `next`, adds it as the head record and writes the batch. The only way to the disk. On success the caller
// makes it `head` in the same step in which the rest of what readers see changes.
Status LogStore::Rep::commit(rocksdb::WriteBatch& writes, LogHead& next, bool sync) {
  next.batch = head.batch + 1;
  rocksdb::Status status = writes.Put(head_key(), encode(next));
  rocksdb::WriteOptions write;
  write.sync = sync;
  if (status.ok()) status = db->Write(write, &writes);
  Status result = log_status(options.path, status);
  if (result.ok() && sync) result = synced->advance({next.batch, next.last_index});
  if (writes.GetDataSize() > kKeepBatchBytes) writes = rocksdb::WriteBatch();
  if (result.ok()) {
    unsynced = !sync;
    if (files.files->take_switch_hint()) {
      // Begins the next memtable, and with it the next file. What it flushes is little: the log has just begun.
      rocksdb::FlushOptions flush;
      flush.wait = false;
      flush.allow_write_stall = true;
      db->Flush(flush).PermitUncheckedError();
    }
    return {};
  }
  failure = result;
  log_error("the raft log can't be written; this member must stop",
            {{"path", options.path}, {"why", result.to_string()}});
  return result;
}

Status LogStore::write(const std::optional<HardState>& hard_state, const std::vector<Entry>& entries, bool sync) {
  Rep& rep = *rep_;
  if (!rep.failure.ok()) return rep.failure;
  if (!hard_state && entries.empty() && !(sync && rep.unsynced)) return {};
  LogHead next = rep.head;
  if (hard_state) next.hard_state = *hard_state;
  rocksdb::WriteBatch& batch = rep.batch;
  batch.Clear();
  rocksdb::Status status;
  if (!entries.empty()) {
    KV_CHECK(entries.front().index > rep.head.snapshot_index && entries.front().index <= rep.head.last_index + 1,
             "entries do not follow the log");
    Index expected = entries.front().index;
    for (const Entry& entry : entries) {
      KV_CHECK(entry.index == expected, "entries to write are consecutive");
      ++expected;
      const std::string key = entry_key(entry.index);
      const std::string header = entry_header(entry);
      const rocksdb::Slice keys[] = {key};
      const rocksdb::Slice values[] = {header, entry.data ? slice(*entry.data) : rocksdb::Slice()};
      status = batch.Put(rocksdb::SliceParts(keys, 1), rocksdb::SliceParts(values, 2));
      if (!status.ok()) break;
    }
    next.last_index = entries.back().index;
    next.last_term = entries.back().term;
    if (next.last_index + kMaxSingleDeletes >= rep.head.last_index) {
      for (Index i = next.last_index + 1; i <= rep.head.last_index && status.ok(); ++i) {
        status = batch.Delete(entry_key(i));
      }
    } else if (status.ok()) {
      status = batch.DeleteRange(entry_key(next.last_index + 1), entry_key(rep.head.last_index + 1));
    }
  }
  KV_CHECK(status.ok(), status.ToString());
  KV_RETURN_IF_ERROR(rep.commit(batch, next, sync && rep.options.sync));
  const std::lock_guard lock(rep.mutex);
  rep.head = next;
  if (entries.empty()) return {};
  rep.terms.cut_suffix(entries.front().index);
  rep.cache.cut_suffix(entries.front().index);
  for (const Entry& entry : entries) {
    rep.terms.append(entry.index, entry.term);
    rep.cache.append(entry);
  }
  return {};
}

Status LogStore::truncate_prefix(const SnapshotMeta& meta) {
  Rep& rep = *rep_;
  if (!rep.failure.ok()) return rep.failure;
  if (meta.index <= rep.head.snapshot_index) return {};
  const bool keeps_rest = meta.index <= rep.head.last_index && rep.terms.at(meta.index) == meta.term;
  LogHead next = rep.head;
  next.snapshot_index = meta.index;
  next.snapshot_term = meta.term;
  Index end = meta.index + 1;
  if (!keeps_rest) {
    end = std::max(end, rep.head.last_index + 1);
    next.last_index = meta.index;
    next.last_term = meta.term;
  }
  rocksdb::WriteBatch& batch = rep.batch;
  batch.Clear();
  // From the beginning of all time, so that one range covers all that earlier ones did.
  rocksdb::Status status = batch.DeleteRange(entry_key(Index(0)), entry_key(end));
  if (status.ok()) status = batch.Put(snapshot_key(), encode_snapshot(meta));
  KV_CHECK(status.ok(), status.ToString());
  KV_RETURN_IF_ERROR(rep.commit(batch, next, rep.options.sync));
  const std::lock_guard lock(rep.mutex);
  rep.head = next;
  rep.snapshot = meta;
  if (keeps_rest) {
    rep.terms.cut_prefix(meta.index);
    rep.cache.cut_prefix(meta.index);
  } else {
    rep.terms.reset(meta.index, meta.term);
    rep.cache.cut_suffix(Index(0));
  }
  return {};
}

Status LogStore::put_meta(std::string_view name, std::string_view value) {
  Rep& rep = *rep_;
  if (!rep.failure.ok()) return rep.failure;
  rep.batch.Clear();
  const rocksdb::Status status = rep.batch.Put(meta_key(name), encode_meta(name, value));
  KV_CHECK(status.ok(), status.ToString());
  LogHead next = rep.head;
  KV_RETURN_IF_ERROR(rep.commit(rep.batch, next, rep.options.sync));
  const std::lock_guard lock(rep.mutex);
  rep.head = next;
  return {};
}

// ---- reading -----------------------------------------------------------------------------------------------

uint64_t LogStore::loaded_bytes() const { return rep_->loaded_bytes; }

HardState LogStore::hard_state() const {
  const std::lock_guard lock(rep_->mutex);
  return rep_->head.hard_state;
}

SnapshotMeta LogStore::snapshot() const {
  const std::lock_guard lock(rep_->mutex);
  return rep_->snapshot;
}

Index LogStore::first_index() const {
  const std::lock_guard lock(rep_->mutex);
  return rep_->head.snapshot_index + 1;
}

Index LogStore::last_index() const {
  const std::lock_guard lock(rep_->mutex);
  return rep_->head.last_index;
}

std::optional<Term> LogStore::term(Index index) const {
  const std::lock_guard lock(rep_->mutex);
  if (index < rep_->head.snapshot_index || index > rep_->head.last_index) return std::nullopt;
  return rep_->terms.at(index);
}

std::vector<Entry> LogStore::entries(Index from, Index to, size_t max_bytes) const {
  std::vector<Entry> found;
  if (from >= to) return found;
  size_t bytes = 0;
  Index cached;
  {
    const std::lock_guard lock(rep_->mutex);
    KV_CHECK(from > rep_->head.snapshot_index && to <= rep_->head.last_index + 1, "entries outside the log");
    cached = rep_->cache.empty() ? to : std::max(from, std::min(to, rep_->cache.first()));
    if (cached == from) {
      for (Index i = from; i < to; ++i) {
        const Entry& entry = rep_->cache.at(i);
        bytes += entry.bytes();
        if (bytes > max_bytes && !found.empty()) break;
        found.push_back(entry);
      }
      return found;
    }
  }
  found = rep_->read(from, cached, max_bytes, bytes);
  // The writer may have cut the log meanwhile; what was read is still what was there when the call began.
  if (found.size() < cached - from || bytes > max_bytes) return found;
  const std::lock_guard lock(rep_->mutex);
  for (Index i = cached; i < to && !rep_->cache.empty() && i >= rep_->cache.first() && i <= rep_->head.last_index;
       ++i) {
    const Entry& entry = rep_->cache.at(i);
    bytes += entry.bytes();
    if (bytes > max_bytes) break;
    found.push_back(entry);
  }
  return found;
}

// From disk. Stops where the log no longer holds an entry; aborts on a damaged one, since nothing that this member
// says about its log can be relied on then.
std::vector<Entry> LogStore::Rep::read(Index from, Index to, size_t max_bytes, size_t& bytes) const {
  std::vector<Entry> found;
  rocksdb::ReadOptions read_options;
  const std::string upper = entry_key(to);
  const rocksdb::Slice upper_bound(upper);
  read_options.iterate_upper_bound = &upper_bound;
  const std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(read_options));
  Index expected = from;
  for (it->Seek(entry_key(from)); it->Valid(); it->Next(), ++expected) {
    const auto index = index_of_entry_key(it->key().ToStringView());
    if (index != expected) break;
    auto entry = decode_entry(expected, it->value().ToStringView());
    KV_CHECK(entry.has_value(),
             damage(options.path, "entry " + to_string(expected) + " does not match its checksum").text());
    bytes += entry->bytes();
    if (bytes > max_bytes && !found.empty()) break;
    found.push_back(std::move(*entry));
  }
  KV_CHECK(it->status().ok(), log_status(options.path, it->status()).text());
  if (found.empty()) {
    const std::lock_guard lock(mutex);
    KV_CHECK(from <= head.snapshot_index || from > head.last_index,
             damage(options.path, "entry " + to_string(from) + " is missing").text());
  }
  return found;
}

Result<std::optional<std::string>> LogStore::get_meta(std::string_view name) const {
  std::string record;
  const rocksdb::Status status = rep_->db->Get(rocksdb::ReadOptions(), meta_key(name), &record);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return log_status(rep_->options.path, status);
  auto value = decode_meta(name, record);
  if (!value) return damage(rep_->options.path, "the record \"" + std::string(name) + "\" does not match its checksum");
  return value;
}

uint64_t LogStore::bytes_on_disk() const {
  uint64_t total = 0;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(rep_->options.path, error)) {
    std::error_code gone;  // files come and go
    const uint64_t size = std::filesystem::file_size(file.path(), gone);
    if (!gone) total += size;
  }
  return total;
}

}  // namespace kv::raft
