// The file that a backup is saved to: FILE.part while it grows, FILE once it is complete, right and on disk.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "store/backup_file.h"

namespace kv::kvctl {

class SnapshotFile {
 public:
  explicit SnapshotFile(std::string path) : path_(std::move(path)) {}
  ~SnapshotFile();  // removes the .part, unless finish() has given it its name
  SnapshotFile(const SnapshotFile&) = delete;
  SnapshotFile& operator=(const SnapshotFile&) = delete;

  // What another process is at work on is left alone: FailedPrecondition.
  Status open();
  Status add(std::string_view bytes);
  // Compares the SHA-256 at the end with what came before, syncs, renames. An older FILE is replaced.
  Status finish();

  uint64_t bytes() const { return bytes_; }

 private:
  std::string part() const { return path_ + ".part"; }
  Status error(const char* doing) const;

  const std::string path_;
  int fd_ = -1;
  bool finished_ = false;
  uint64_t bytes_ = 0;
  store::Sha256 sha_;
  std::string last_;  // as many bytes as a sum has: not part of what is summed if nothing comes behind
};

}  // namespace kv::kvctl
