// Looking at a log before touching it: its RocksDB is opened read-only and its write-ahead logs are read once, so that
// damage is found while everything is still as it was. Internal to the log store.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/options.h>

#include <memory>
#include <string>

#include "base/status.h"
#include "raft/log_store_record.h"
#include "raft/log_store_synced.h"
#include "raft/log_store_wal.h"

namespace kv::raft {

// What RocksDB needs to open the log of that directory. `env` refers to `files`.
struct LogFiles {
  LogFiles(std::shared_ptr<rocksdb::FileSystem> base, const std::string& path, size_t memtable_bytes,
           bool prepare_files);

  std::shared_ptr<rocksdb::FileSystem> base;
  std::shared_ptr<WalFileSystem> files;
  std::unique_ptr<rocksdb::Env> env;
  rocksdb::Options options;
};

// DataLoss in words that say what to do. `path` is the log's own directory.
Status damage(const std::string& path, const std::string& what);
// RocksDB's status as ours: Corruption is DataLoss.
Status log_status(const std::string& path, const rocksdb::Status& status);

// Every batch is there, from the first that the tables lack to the last that was acknowledged. Returns the number of
// the last batch. DataLoss otherwise.
Result<uint64_t> check_batches(const LogFiles& files, const std::string& path, const SyncedMark::Value& synced);

}  // namespace kv::raft
