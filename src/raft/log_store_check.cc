#include "raft/log_store_check.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/table.h>
#include <rocksdb/wal_filter.h>
#include <rocksdb/write_batch.h>

#include <filesystem>
#include <optional>
#include <vector>

namespace kv::raft {

LogFiles::LogFiles(std::shared_ptr<rocksdb::FileSystem> b, const std::string& path, size_t memtable_bytes,
                   bool prepare_files)
    : base(std::move(b)),
      files(std::make_shared<WalFileSystem>(base, path, prepare_files ? memtable_bytes : 0)),
      env(rocksdb::NewCompositeEnv(files)) {
  options.env = env.get();
  // Below RocksDB a torn tail is cut at a frame's border, which is a batch's border. Anything that RocksDB still
  // finds wrong is damage.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kAbsoluteConsistency;
  options.paranoid_checks = true;
  options.recycle_log_file_num = 0;
  // A failed write is final until the process is started again.
  options.max_bgerror_resume_count = 0;
  // Opening and closing write no tables: the write-ahead logs are kept and read again.
  options.avoid_flush_during_recovery = true;
  options.avoid_flush_during_shutdown = true;
  // Entries are truncated soon after they are written. A flush merges two memtables at least, so that entries whose
  // range was deleted meanwhile never reach a table.
  options.write_buffer_size = memtable_bytes;
  options.min_write_buffer_number_to_merge = 2;
  options.max_write_buffer_number = 5;
  options.compression = rocksdb::kNoCompression;
  // One writer. (No memtable_insert_with_hint_prefix_extractor: RocksDB 7.8 keeps one map of hints for entries and
  // range deletions, which lie in different skip lists, and corrupts its memory when both come.)
  options.allow_concurrent_memtable_write = false;
  options.enable_write_thread_adaptive_yield = false;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(8 << 20);
  table.checksum = rocksdb::kXXH3;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.max_background_jobs = 2;
  // Tables go to disk bit by bit: one large sync at their end would hold up the syncs of the write-ahead log.
  options.bytes_per_sync = 1 << 20;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.skip_stats_update_on_db_open = true;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.max_log_file_size = 1 << 20;
  options.keep_log_file_num = 2;
}

Status damage(const std::string& path, const std::string& what) {
  const std::string data_dir = std::filesystem::path(path).parent_path().string();
  return {Code::kDataLoss,
          "the raft log in " + path + " is damaged: " + what +
              ". What this member had acknowledged can't be relied on any more, so it must not go on under its id: "
              "remove it from the cluster, delete its data directory (" +
              (data_dir.empty() ? path : data_dir) + "), and add it again as a new member"};
}

Status log_status(const std::string& path, const rocksdb::Status& status) {
  if (status.ok()) return {};
  if (status.IsCorruption()) return damage(path, status.ToString());
  const Code code = status.IsNoSpace() ? Code::kResourceExhausted : Code::kInternal;
  return {code, "the raft log in " + path + ": " + status.ToString()};
}

namespace {

// Finds the head record in a batch.
class HeadFinder final : public rocksdb::WriteBatch::Handler {
 public:
  rocksdb::Status PutCF(uint32_t, const rocksdb::Slice& key, const rocksdb::Slice& value) override {
    static const std::string wanted = head_key();
    if (key == rocksdb::Slice(wanted)) head = decode_head(value.ToStringView());
    return rocksdb::Status::OK();
  }
  rocksdb::Status DeleteCF(uint32_t, const rocksdb::Slice&) override { return rocksdb::Status::OK(); }
  rocksdb::Status DeleteRangeCF(uint32_t, const rocksdb::Slice&, const rocksdb::Slice&) override {
    return rocksdb::Status::OK();
  }

  std::optional<LogHead> head;
};

// Notes the number of every batch that recovery finds, and lets none of them in.
class BatchNumbers final : public rocksdb::WalFilter {
 public:
  const char* Name() const override { return "kvd.BatchNumbers"; }
  WalProcessingOption LogRecordFound(unsigned long long, const std::string& file, const rocksdb::WriteBatch& batch,
                                     rocksdb::WriteBatch*, bool*) override {
    HeadFinder finder;
    const bool readable = batch.Iterate(&finder).ok();
    if (!problem.empty()) return WalProcessingOption::kIgnoreCurrentRecord;
    if (!readable || !finder.head) {
      problem = file + ": a batch behind number " + std::to_string(last) + " can't be read";
    } else if (first == 0) {
      first = last = finder.head->batch;
    } else if (finder.head->batch != last + 1) {
      problem = file + ": batch " + std::to_string(last + 1) + " is missing before batch " +
                std::to_string(finder.head->batch);
    } else {
      ++last;
    }
    return WalProcessingOption::kIgnoreCurrentRecord;
  }

  uint64_t first = 0;  // 0: none found
  uint64_t last = 0;
  std::string problem;
};

}  // namespace

Result<uint64_t> check_batches(const LogFiles& files, const std::string& path, const SyncedMark::Value& synced) {
  BatchNumbers numbers;
  rocksdb::Options options = files.options;
  options.wal_filter = &numbers;
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::OpenForReadOnly(options, path, &opened);
  const std::unique_ptr<rocksdb::DB> db(opened);
  if (!status.ok()) return log_status(path, status);
  if (!numbers.problem.empty()) return damage(path, numbers.problem);

  // The filter kept everything out that is not in a table yet.
  uint64_t in_tables = 0;
  std::string record;
  const rocksdb::Status got = db->Get(rocksdb::ReadOptions(), head_key(), &record);
  if (got.ok()) {
    const auto head = decode_head(record);
    if (!head) return damage(path, "the head record is damaged");
    in_tables = head->batch;
  } else if (!got.IsNotFound()) {
    return log_status(path, got);
  }
  if (numbers.first > in_tables + 1) {
    return damage(
        path, "batches " + std::to_string(in_tables + 1) + " to " + std::to_string(numbers.first - 1) + " are missing");
  }
  const uint64_t last = std::max(in_tables, numbers.last);
  if (last < synced.batch) {
    return damage(path, "it ends with batch " + std::to_string(last) + ", and batch " + std::to_string(synced.batch) +
                            " (up to index " + to_string(synced.last_index) + ") had been acknowledged");
  }
  return last;
}

}  // namespace kv::raft
