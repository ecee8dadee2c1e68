// A backup: one file that holds the state of a member at one revision, in a format of its own (docs/formats.md,
// "Backups"). Inside are the files of a checkpoint of the state, each in pieces with a checksum, and at the end a
// SHA-256 over everything before, where etcd's clients look for it.
//
// What is here knows the format and nothing else: neither RocksDB nor what the files mean.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kv::store {

inline constexpr uint32_t kBackupVersion = 1;
inline constexpr size_t kBackupPieceBytes = 1 << 20;
inline constexpr size_t kBackupSumBytes = 32;  // the SHA-256 at the end

struct BackupInfo {
  uint64_t cluster_id = 0;  // where it was made
  uint64_t member_id = 0;
  uint64_t applied_index = 0;  // the last log entry that it holds
  uint64_t applied_term = 0;
  int64_t revision = 0;
  int64_t compact_revision = 0;  // -1 or 0: nothing was compacted
  uint64_t keys = 0;             // live keys
  int64_t created_ms = 0;        // by the wall clock, since 1970
  std::string storage_version;   // "3.6.0", what etcd calls so; at most 16 bytes

  bool operator==(const BackupInfo&) const = default;
};

struct BackupEntry {
  std::string name;
  uint64_t bytes = 0;
};

// SHA-256 in steps.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(std::string_view bytes);
  std::string sum();  // kBackupSumBytes bytes; once

 private:
  void* context_;
};

// The bytes of a backup, made while they are asked for: holds one piece in memory, however large the backup is. One
// thread at a time.
class BackupEncoder {
 public:
  // Everything that lies in `directory`, which must stay as it is until the last byte was read. Fails when it holds
  // anything but plain files, or more than the format can take.
  static Result<std::unique_ptr<BackupEncoder>> open(const std::string& directory, const BackupInfo& info);
  ~BackupEncoder();
  BackupEncoder(const BackupEncoder&) = delete;
  BackupEncoder& operator=(const BackupEncoder&) = delete;

  // Of the whole backup, known from the beginning.
  uint64_t size_bytes() const { return size_bytes_; }
  uint64_t remaining_bytes() const { return size_bytes_ - given_bytes_; }
  // Gives the next at most `max` bytes; none when it is over. The sum, and no other byte, comes in the last one.
  Status read(size_t max, std::string* bytes);

 private:
  BackupEncoder() = default;
  Status next_chunk();
  Status next_piece();

  std::string directory_;
  std::vector<BackupEntry> files_;
  uint64_t size_bytes_ = 0;
  uint64_t content_bytes_ = 0;  // size_bytes_ without the sum
  uint64_t made_bytes_ = 0;
  uint64_t given_bytes_ = 0;
  std::string chunk_;  // made and not yet given, from chunk_given_ on
  size_t chunk_given_ = 0;
  size_t file_ = 0;  // the one that is being read
  uint64_t file_offset_ = 0;
  int fd_ = -1;
  Sha256 sha_;
};

// A backup that somebody brings. Nothing in it is believed: whatever does not fit is DataLoss with the offset in the
// file and, within a file of the checkpoint, its name. One thread at a time.
class BackupFile {
 public:
  // Reads and checks what comes before the pieces. NotFound when there is no such file; InvalidArgument when it is
  // something else than a backup, or of a newer version.
  static Result<std::unique_ptr<BackupFile>> open(const std::string& path);
  ~BackupFile();
  BackupFile(const BackupFile&) = delete;
  BackupFile& operator=(const BackupFile&) = delete;

  const BackupInfo& info() const { return info_; }
  const std::vector<BackupEntry>& files() const { return files_; }
  uint64_t size_bytes() const { return size_bytes_; }

  // Reads everything once. With `check_sum` the SHA-256 must be right; pieces are always checked.
  Status verify(bool check_sum);
  // The first four bytes of the SHA-256, as verify() computed it: names the content.
  uint32_t hash() const { return hash_; }

  // Writes the files into `directory`, which exists and is empty, and syncs them and it. To be called after verify();
  // checks every piece once more, in case the file has changed since.
  Status extract(const std::string& directory);

 private:
  BackupFile() = default;
  Status read_head();
  Status read_table(uint64_t table_bytes, uint64_t count, uint64_t seed);
  Status read_at(uint64_t offset, size_t bytes, std::string* out) const;
  Status read_piece(const BackupEntry& file, uint64_t offset, size_t bytes, std::string* out) const;
  Status damaged(uint64_t offset, const std::string& what) const;

  std::string path_;
  int fd_ = -1;
  uint64_t size_bytes_ = 0;
  BackupInfo info_;
  std::vector<BackupEntry> files_;
  uint64_t pieces_begin_ = 0;  // where the first file's first piece begins
  uint32_t hash_ = 0;
};

}  // namespace kv::store
