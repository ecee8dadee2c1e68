// Keys and values in the log's RocksDB, byte by byte as docs/formats.md has them. No I/O here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "raft/types.h"

namespace kv::raft {

inline constexpr size_t kLogKeyBytes = 13;
inline constexpr size_t kEntryHeaderBytes = 18;

std::string entry_key(Index index);
std::string head_key();
std::string snapshot_key();
std::string meta_key(std::string_view name);
// nullopt when the key is not an entry's.
std::optional<Index> index_of_entry_key(std::string_view key);

// What stands before an entry's payload: version, type, term, and a checksum of these, the index and the payload.
std::string entry_header(const Entry& entry);
// nullopt when the record is not the entry of that index, whole and undamaged.
std::optional<Entry> decode_entry(Index index, std::string_view record);

// Written with every batch, so that one record says what the log is after it.
struct LogHead {
  uint64_t batch = 0;  // batches are numbered from 1 without a gap
  HardState hard_state;
  Index last_index;
  Term last_term;
  Index snapshot_index;  // the log begins behind it
  Term snapshot_term;
  bool operator==(const LogHead&) const = default;
};
std::string encode(const LogHead& head);
std::optional<LogHead> decode_head(std::string_view record);

std::string encode_snapshot(const SnapshotMeta& meta);
std::optional<SnapshotMeta> decode_snapshot(std::string_view record);

std::string encode_meta(std::string_view name, std::string_view value);
std::optional<std::string> decode_meta(std::string_view name, std::string_view record);

}  // namespace kv::raft
