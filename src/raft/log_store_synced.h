// The file SYNCED beside the log's RocksDB: the number of the last batch that is known to be on disk. It is written
// after each synced batch and not synced itself, so it costs next to nothing; it survives the process, and a power
// failure takes back the last seconds of it at most. What it says is a lower bound: when the recovered log ends
// before it, something that had been acknowledged is gone.
//
// Two slots, each in a page of its own, are written in turn, so that a torn write leaves the one before.
// Format: docs/formats.md.
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "raft/types.h"

namespace kv::raft {

class SyncedMark {
 public:
  struct Value {
    uint64_t batch = 0;
    Index last_index;
  };

  // Makes the file, durably, when it is not there and `create` is set. NotFound; DataLoss when no slot is whole;
  // otherwise the disk's error.
  static Result<std::unique_ptr<SyncedMark>> open(const std::shared_ptr<rocksdb::FileSystem>& files,
                                                  const std::string& directory, bool create);

  const Value& value() const { return value_; }
  // Only ever a larger batch number.
  Status advance(const Value& value);
  // Puts what was written on disk.
  Status sync();

 private:
  SyncedMark(std::string directory, std::unique_ptr<rocksdb::FSRandomRWFile> file)
      : directory_(std::move(directory)), file_(std::move(file)) {}

  const std::string directory_;  // for the words of an error
  std::unique_ptr<rocksdb::FSRandomRWFile> file_;
  Value value_;
};

}  // namespace kv::raft
