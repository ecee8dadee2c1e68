// The raft log on a RocksDB of its own, <data-dir>/log: entries, hard state, the snapshot that the log begins
// after. One write() is one WriteBatch, synced when it must be. Byte formats: docs/formats.md.
//
// Recovery tells two things apart. A torn tail (the last write was cut by a crash, so it was never acknowledged)
// is cut off with a warning. Anything else that is missing or does not match its checksum is damage to what was
// acknowledged: open() fails with DataLoss and a text that names the index and says what to do. It is never
// repaired silently (docs/design.md; Alagappan et al., "Protocol-aware recovery", FAST 2018).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "raft/core/core.h"
#include "raft/types.h"

namespace rocksdb {
class FileSystem;
}

namespace kv::raft {

class LogStore final : public LogReader {
 public:
  struct Options {
    std::string path;
    bool create_if_missing = true;
    bool sync = true;  // off only in tests and benchmarks that say so
    size_t cache_bytes = 64 << 20;
    // Two of these at least are held before anything goes to a table; truncated entries go to none.
    size_t memtable_bytes = 64 << 20;
    // Make the next write-ahead log's file before it is needed, in the background, once the log is in real use.
    bool prepare_files = true;
    std::shared_ptr<rocksdb::FileSystem> file_system;  // null: the machine's; tests put their own between
  };

  // DataLoss: damaged, see above. Unavailable: another process holds it. Otherwise the disk's error.
  static Result<std::unique_ptr<LogStore>> open(const Options& options);
  ~LogStore() override;

  // What open() found. snapshot: where the log begins (index 0 when it begins at the beginning).
  HardState hard_state() const;
  SnapshotMeta snapshot() const;
  uint64_t loaded_bytes() const;  // of the entries, together

  // Appends `entries` (consecutive; replaces what exists from entries[0].index on) and stores `hard_state`, in
  // one batch. With `sync` it returns after the data is on disk; without, the batch may be lost even if only the
  // process dies, but never in part, and never without all that came after it. An I/O error is returned once, and every
  // later write fails with the same status: a failed sync is never retried as if nothing had happened (fsyncgate).
  Status write(const std::optional<HardState>& hard_state, const std::vector<Entry>& entries, bool sync);

  // The log now begins after `meta`: entries up to meta.index go (range delete), or all of them when the log
  // does not reach it or disagrees with its term (a snapshot from the leader was installed).
  Status truncate_prefix(const SnapshotMeta& meta);

  // LogReader. Thread-safe against one writer.
  Index first_index() const override;
  Index last_index() const override;
  std::optional<Term> term(Index index) const override;
  std::vector<Entry> entries(Index from, Index to, size_t max_bytes) const override;

  // Small named values that live beside the log (how the member began). Synced.
  Status put_meta(std::string_view name, std::string_view value);
  Result<std::optional<std::string>> get_meta(std::string_view name) const;

  uint64_t bytes_on_disk() const;

 private:
  struct Rep;
  explicit LogStore(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace kv::raft
