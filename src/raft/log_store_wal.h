// The file layer under the log's RocksDB: what RocksDB writes to its write-ahead log goes to disk in frames of our
// own, in files that are used again and again.
//
// Frames, because RocksDB's own format can't tell a torn tail (a write that a crash cut short) from damage to what
// had been synced: in both cases a record does not match its checksum. A frame is what one sync made durable, and
// the next is begun only when that sync has succeeded. So a bad frame behind which no good one stands is a torn
// tail; a bad frame before a good one is damage.
//
// The same files again, because overwriting blocks that a file already has needs no commit of the file system's
// journal: a sync takes about half the time, and does not wait for others' commits. RocksDB's own recycling is off
// in every recovery mode that keeps what was synced.
//
// Format: docs/formats.md, "The log's frames".
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace kv::raft {

class WalFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  // `directory` holds the write-ahead logs; all other files pass through to `base`. When there is no file to use
  // again, one of `prepared_bytes` zeros is made by a thread of this object's own, not before the present file has
  // taken a good part of its own; 0: never.
  WalFileSystem(std::shared_ptr<rocksdb::FileSystem> base, std::string directory, size_t prepared_bytes);
  ~WalFileSystem() override;

  const char* Name() const override { return "kvd.WalFileSystem"; }

  // The newest file in which a torn tail was found by reading; empty: none.
  std::string last_torn() const;

  rocksdb::IOStatus NewSequentialFile(const std::string& name, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSSequentialFile>* file,
                                      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override;
  // A write-ahead log is never written again after a restart, nor cut to the size that RocksDB believes it has.
  rocksdb::IOStatus ReopenWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* file,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReuseWritableFile(const std::string& name, const std::string& old_name,
                                      const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override;
  // Keeps a few write-ahead logs as spares.
  rocksdb::IOStatus DeleteFile(const std::string& name, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;

  // True once when the present file grows block by block, as a new log's first does, and a prepared one is ready: it
  // is worth while to begin the next file now.
  bool take_switch_hint();

  // For the files.
  void note_torn(const std::string& name);
  void want_spare();

 private:
  // Gives a spare that name; false when there is none.
  bool reuse_spare(const std::string& name);

  std::string new_spare_name() const;
  void prepare_spares();
  rocksdb::IOStatus write_zeros(const std::string& name);

  const std::string directory_;
  const size_t prepared_bytes_;
  std::atomic<bool> switch_hint_{false};
  std::atomic<bool> stopping_{false};

  mutable std::mutex mutex_;         // guards what follows
  std::vector<std::string> spares_;  // full paths
  std::string last_torn_;
  bool grows_ = false;   // the newest file has no blocks of its own yet
  bool wanted_ = false;  // the preparer shall look whether a spare is missing
  std::condition_variable changed_;
  std::thread preparer_;  // runs once it was wanted
};

}  // namespace kv::raft
