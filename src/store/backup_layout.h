// Where things lie in a backup (docs/formats.md, "Backups"): shared by the halves that write and read it. Internal.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/checksum.h"
#include "store/backup_file.h"

namespace kv::store::backup {

inline constexpr std::string_view kMagic{"KVDBACK\0", 8};
inline constexpr size_t kHeaderBytes = 128;
inline constexpr size_t kHeaderSummedBytes = 120;
inline constexpr size_t kVersionTextBytes = 16;
inline constexpr size_t kSumBytes = 8;  // of a checksum
inline constexpr uint64_t kHeaderSeed = 1;
inline constexpr size_t kEntryHeadBytes = 10;  // u64 size, u16 length of the name
inline constexpr size_t kNameMaxBytes = 255;
inline constexpr uint64_t kFilesMax = 1 << 20;
inline constexpr uint64_t kTableMaxBytes = 64 << 20;
inline constexpr uint64_t kFileMaxBytes = uint64_t{1} << 50;
inline constexpr size_t kBlockBytes = 512;  // etcd's clients take a file for complete when sum bytes exceed a multiple

inline void append_u16(std::string& out, uint16_t v) { out.append(reinterpret_cast<const char*>(&v), sizeof v); }
inline void append_u32(std::string& out, uint32_t v) { out.append(reinterpret_cast<const char*>(&v), sizeof v); }
inline void append_u64(std::string& out, uint64_t v) { out.append(reinterpret_cast<const char*>(&v), sizeof v); }

template <typename T>
T load(std::string_view bytes, size_t offset) {
  T v;
  std::memcpy(&v, bytes.data() + offset, sizeof v);
  return v;
}

inline size_t piece_bytes(const BackupEntry& file, uint64_t offset) {
  return static_cast<size_t>(std::min<uint64_t>(kBackupPieceBytes, file.bytes - offset));
}

// A file's bytes with the checksums of its pieces.
inline uint64_t stored_bytes(const BackupEntry& file) {
  return file.bytes + kSumBytes * ((file.bytes + kBackupPieceBytes - 1) / kBackupPieceBytes);
}

// The zeros that make everything before the sum a multiple of kBlockBytes.
inline uint64_t padded(uint64_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes; }

// `offset`: of the piece's first byte in the backup, so that whole pieces in the wrong place are found.
inline uint64_t piece_checksum(std::string_view piece, uint64_t offset) { return checksum(piece, offset); }

// What may stand for a file's name: what RocksDB calls its files. No way out of the directory, and nothing hidden.
inline bool is_file_name(std::string_view name) {
  if (name.empty() || name.size() > kNameMaxBytes || name[0] == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_' ||
           c == '.';
  });
}

}  // namespace kv::store::backup
