#include "store/database.h"

#include <rocksdb/cache.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/table_properties_collectors.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/log.h"
#include "store/errors.h"

namespace kv::store {
namespace {

// Of an entry in a memtable, however short: its node and its sequence number.
constexpr uint64_t kLeastEntryBytes = 32;

constexpr int64_t kFormatVersion = 1;

rocksdb::DBOptions db_options(const StoreOptions& o) {
  rocksdb::DBOptions db;
  db.create_if_missing = o.create_if_missing;
  db.create_missing_column_families = true;
  db.atomic_flush = true;
  db.db_write_buffer_size = o.write_buffer_bytes;
  // One thread applies; what runs in the background writes little and seldom.
  db.allow_concurrent_memtable_write = false;
  db.enable_write_thread_adaptive_yield = false;
  db.max_background_jobs = 3;
  db.bytes_per_sync = 1 << 20;
  db.max_open_files = 1000;
  // A file takes no more of the disk than is in it: a reserve that is being watched must not seem to come and go.
  db.allow_fallocate = false;
  db.keep_log_file_num = 3;
  db.max_log_file_size = 4 << 20;
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  db.paranoid_checks = true;
  db.avoid_flush_during_shutdown = !o.flush_on_close;
  return db;
}

rocksdb::ColumnFamilyOptions family_options(const StoreOptions& o, const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions cf;
  // The limit over all families is db_write_buffer_size; none of them flushes for itself before.
  cf.write_buffer_size = o.write_buffer_bytes;
  cf.max_write_buffer_number = 4;
  cf.arena_block_size = std::clamp<size_t>(o.write_buffer_bytes / 64, 4 << 10, 1 << 20);
  cf.compression = rocksdb::kLZ4Compression;
  cf.level_compaction_dynamic_level_bytes = true;
  // Files in which much is deleted are rewritten soon, so that scans don't step over the traces for long.
  cf.table_properties_collector_factories.push_back(rocksdb::NewCompactOnDeletionCollectorFactory(128, 64));
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.checksum = rocksdb::kXXH3;
  table.format_version = 5;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  cf.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return cf;
}

// 0700, as etcd does since CVE-2020-15113: what is in the key space is nobody else's business.
Status make_directory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return {Code::kInternal, "state: " + path + ": " + std::strerror(errno)};
  }
  if (::chmod(path.c_str(), 0700) != 0) return {Code::kInternal, "state: " + path + ": " + std::strerror(errno)};
  return {};
}

// RocksDB makes a new database where CURRENT is missing. Beside tables of an old one that would be an empty state
// in the place of a lost one.
Status check_not_orphaned(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::exists(fs::path(path) / "CURRENT", error)) return {};
  for (const auto& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().filename();
    if (entry.path().extension() == ".sst" || name.starts_with("MANIFEST-")) {
      return {Code::kDataLoss, "state: " + path + " holds " + name + " but no CURRENT: the files are damaged"};
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Database>> Database::open(const StoreOptions& options) { return open(options, false); }

Result<std::unique_ptr<Database>> Database::open_for_reading(const std::string& path) {
  StoreOptions options;
  options.path = path;
  options.create_if_missing = false;
  options.block_cache_bytes = 1 << 20;
  return open(options, true);
}

Result<std::unique_ptr<Database>> Database::open(const StoreOptions& options, bool for_reading) {
  if (options.create_if_missing) {
    KV_RETURN_IF_ERROR(make_directory(options.path));
  } else if (!std::filesystem::exists(options.path)) {
    return Status(Code::kNotFound, "state: " + options.path + " does not exist");
  }
  KV_RETURN_IF_ERROR(check_not_orphaned(options.path));

  std::unique_ptr<Database> database(new Database());
  const auto cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  const rocksdb::ColumnFamilyOptions plain = family_options(options, cache);
  // Most gets ask for a key's newest record: a filter over whole keys tells a memtable that lacks it from one that has
  // it without a walk through the skip list, which is most of what a get costs.
  rocksdb::ColumnFamilyOptions head = plain;
  head.memtable_whole_key_filtering = true;
  head.memtable_prefix_bloom_size_ratio = 0.02;
  rocksdb::ColumnFamilyOptions history = plain;
  // History is written in ascending order: each insert finds its place beside the one before.
  history.memtable_insert_with_hint_prefix_extractor.reset(rocksdb::NewFixedPrefixTransform(1));
  rocksdb::ColumnFamilyOptions waypoints = plain;
  waypoints.compaction_filter = database->waypoint_filter_.get();
  const std::vector<rocksdb::ColumnFamilyDescriptor> families = {{rocksdb::kDefaultColumnFamilyName, waypoints},
                                                                 {"head", head},
                                                                 {"history", history},
                                                                 {"meta", plain},
                                                                 {"lease", plain}};

  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status s =
      for_reading ? rocksdb::DB::OpenForReadOnly(db_options(options), options.path, families, &handles, &db)
                  : rocksdb::DB::Open(db_options(options), options.path, families, &handles, &db);
  if (!s.ok()) {
    const std::string text = "state: " + options.path + ": " + s.ToString();
    if (s.ToString().find("LOCK") != std::string::npos || s.ToString().find("lock hold") != std::string::npos) {
      return Status(Code::kUnavailable, text + " (another process holds it)");
    }
    const bool damaged = s.IsCorruption() || s.IsPathNotFound() || s.IsNotFound() || s.IsInvalidArgument();
    if (s.IsNoSpace()) return Status(Code::kResourceExhausted, text);
    return Status(damaged ? Code::kDataLoss : Code::kInternal, text);
  }
  database->db_.reset(db);
  std::copy(handles.begin(), handles.end(), database->handles_);
  for (int family = 0; family < kFamilies; ++family) {
    db->GetIntProperty(database->handles_[family], "rocksdb.cur-size-all-mem-tables",
                       &database->empty_memtable_bytes_[family]);
  }

  std::string bytes;
  const Result<bool> found = database->get_meta(kMetaFormat, &bytes);
  if (!found.ok()) return found.status();
  int64_t format = kFormatVersion;
  if (*found && (!decode_int64(bytes, &format) || format != kFormatVersion)) {
    return Status(Code::kDataLoss, "state: " + options.path + ": format " + std::to_string(format) +
                                       " is not known to this version, which knows " + std::to_string(kFormatVersion));
  }
  if (!*found && for_reading) {
    return Status(Code::kDataLoss, "state: " + options.path + ": meta record \"format\" is missing");
  }
  if (!*found) {
    rocksdb::WriteBatch batch;
    batch.Put(database->meta(), slice(kMetaFormat), encode_int64(kFormatVersion));
    KV_RETURN_IF_ERROR(database->write(&batch));
  }
  return database;
}

Database::~Database() {
  if (!db_) return;
  for (auto* handle : handles_) {
    if (handle != nullptr) db_->DestroyColumnFamilyHandle(handle);
  }
  // What is in memory is flushed here, so that a restart replays little; a crash does without.
  const rocksdb::Status s = db_->Close();
  if (!s.ok()) log_error("state: closing", {{"error", s.ToString()}});
}

Status Database::write(rocksdb::WriteBatch* batch, bool low_priority) const {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  options.low_pri = low_priority;
  return from_rocksdb(db_->Write(options, batch), "state: writing");
}

void Database::write_hints(rocksdb::WriteBatch* batch) const {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  options.no_slowdown = true;
  db_->Write(options, batch).PermitUncheckedError();
}

Result<bool> Database::get_meta(std::string_view key, std::string* value, bool persisted) const {
  rocksdb::ReadOptions options;
  if (persisted) options.read_tier = rocksdb::kPersistedTier;
  const rocksdb::Status s = db_->Get(options, meta(), slice(key), value);
  if (s.IsNotFound()) return false;
  if (!s.ok()) return from_rocksdb(s, "state: reading meta");
  return true;
}

Result<std::vector<std::pair<std::string, std::string>>> Database::records(std::string_view prefix) const {
  std::vector<std::pair<std::string, std::string>> out;
  const std::string start = std::string(kMetaRecordPrefix).append(prefix);
  const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(rocksdb::ReadOptions(), meta()));
  for (it->Seek(start); it->Valid() && it->key().starts_with(start); it->Next()) {
    out.emplace_back(it->key().ToString().substr(kMetaRecordPrefix.size()), it->value().ToString());
  }
  if (!it->status().ok()) return from_rocksdb(it->status(), "state: reading meta");
  return out;
}

uint64_t Database::unflushed_bytes() const {
  uint64_t sum = 0;
  for (int family = 0; family < kFamilies; ++family) {
    uint64_t bytes = 0, full = 0, entries = 0, full_entries = 0;
    db_->GetIntProperty(handles_[family], "rocksdb.cur-size-all-mem-tables", &bytes);
    db_->GetIntProperty(handles_[family], "rocksdb.num-entries-active-mem-table", &entries);
    db_->GetIntProperty(handles_[family], "rocksdb.num-entries-imm-mem-tables", &full_entries);
    db_->GetIntProperty(handles_[family], "rocksdb.num-immutable-mem-table", &full);
    const uint64_t empty = empty_memtable_bytes_[family] * (1 + full);
    // Memory is taken in blocks, and an empty memtable has its first one already: the first few entries show only so.
    sum += std::max(bytes > empty ? bytes - empty : 0, kLeastEntryBytes * (entries + full_entries));
  }
  return sum;
}

Status Database::flush() const {
  rocksdb::FlushOptions options;
  return from_rocksdb(db_->Flush(options, {head(), history(), meta(), lease(), waypoints()}), "state: flushing");
}

Status Database::defragment(std::atomic<bool>& cancel) const {
  rocksdb::CompactRangeOptions options;
  // RocksDB's own compactions, which keep writes from stalling, go on beside it, and it takes one thread.
  options.exclusive_manual_compaction = false;
  options.max_subcompactions = 1;
  // The lowest level too, which is where most of it lies; but not what this very call has written there.
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  options.canceled = &cancel;
  // The small families first: they are done at once, and the state's flush is then behind us.
  for (auto* family : {meta(), lease(), waypoints(), head(), history()}) {
    const rocksdb::Status s = db_->CompactRange(options, family, nullptr, nullptr);
    if (s.IsIncomplete() || cancel.load()) return {Code::kCanceled, "state: the defragmentation was stopped"};
    if (!s.ok()) return from_rocksdb(s, "state: defragmenting");
  }
  return wait_for_purge();
}

Status Database::wait_for_purge() const {
  // A compaction may be over for who asked for it before its background thread has deleted the files that it replaced.
  // With deletions held back, listing the log's files waits for those that are under way (so that
  // a backup's list holds); letting them go again deletes what came up meanwhile, in this thread.
  if (const rocksdb::Status s = db_->DisableFileDeletions(); !s.ok())
    return from_rocksdb(s, "state: waiting for deletions");
  rocksdb::VectorLogPtr files;
  const rocksdb::Status listed = db_->GetSortedWalFiles(files);
  const rocksdb::Status enabled = db_->EnableFileDeletions(/*force=*/false);
  return from_rocksdb(listed.ok() ? enabled : listed, "state: waiting for deletions");
}

}  // namespace kv::store
