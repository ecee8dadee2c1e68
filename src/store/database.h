// The RocksDB of the state: its options, its column families, and its errors in our words.
//
// It writes no WAL. All column families flush atomically, so what a crash leaves is the state after some
// WriteBatch, never a part of one.
#pragma once

#include <rocksdb/db.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "store/encoding.h"
#include "store/store.h"
#include "store/waypoints.h"

namespace kv::store {

class Database {
 public:
  static Result<std::unique_ptr<Database>> open(const StoreOptions& options);
  // Leaves the files alone and takes no lock.
  static Result<std::unique_ptr<Database>> open_for_reading(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  rocksdb::DB* operator->() const { return db_.get(); }
  rocksdb::DB* get() const { return db_.get(); }

  rocksdb::ColumnFamilyHandle* head() const { return handles_[kHead]; }
  rocksdb::ColumnFamilyHandle* history() const { return handles_[kHistory]; }
  rocksdb::ColumnFamilyHandle* meta() const { return handles_[kMeta]; }
  rocksdb::ColumnFamilyHandle* lease() const { return handles_[kLease]; }
  // RocksDB's default family: every database has it, so versions that know nothing of waypoints can open one with them.
  rocksdb::ColumnFamilyHandle* waypoints() const { return handles_[kWaypoints]; }

  // Without WAL; low priority for what runs in the background.
  Status write(rocksdb::WriteBatch* batch, bool low_priority = false) const;
  // What nobody misses where it can't be written now, by a reader, whom it must not hold up.
  void write_hints(rocksdb::WriteBatch* batch) const;

  // A value of meta; false when there is none. With `persisted`, as it is in the files: what a crash would leave.
  Result<bool> get_meta(std::string_view key, std::string* value, bool persisted = false) const;

  // The records (put_record) whose names start with `prefix`, by name.
  Result<std::vector<std::pair<std::string, std::string>>> records(std::string_view prefix) const;

  Status flush() const;

  // History below this revision is compacted.
  void drop_waypoints_below(int64_t revision) const { waypoint_filter_->drop_below(revision); }

  // What the memtables of all families take beyond what empty ones take (a filter of a megabyte, for one), which will
  // take nothing on disk.
  uint64_t unflushed_bytes() const;

  // See Store::defragment().
  Status defragment(std::atomic<bool>& cancel) const;

 private:
  // Returns when the files that finished compactions replaced are gone from the disk.
  Status wait_for_purge() const;

  enum Family { kWaypoints, kHead, kHistory, kMeta, kLease, kFamilies };

  Database() = default;
  static Result<std::unique_ptr<Database>> open(const StoreOptions& options, bool for_reading);

  const std::unique_ptr<WaypointFilter> waypoint_filter_ = std::make_unique<WaypointFilter>();  // outlives db_
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::ColumnFamilyHandle* handles_[kFamilies] = {};
  uint64_t empty_memtable_bytes_[kFamilies] = {};
};

// Names in meta.
constexpr std::string_view kMetaFormat = "format";
constexpr std::string_view kMetaApplied = "applied";
constexpr std::string_view kMetaCompact = "compact";         // the compact revision, durable before its effect
constexpr std::string_view kMetaCompacted = "compact.done";  // history below this revision is compacted
constexpr std::string_view kMetaRecordPrefix = "r/";         // put_record's

inline rocksdb::Slice slice(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view view(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

}  // namespace kv::store
