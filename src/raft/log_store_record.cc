#include "raft/log_store_record.h"

#include <memory>

#include "base/checksum.h"
#include "raft/codec.h"

namespace kv::raft {
namespace {

constexpr uint32_t kGroup = 0;  // one group for now; the key has room for more
constexpr uint8_t kVersion = 1;

enum Kind : uint8_t { kHead = 1, kSnapshot = 2, kEntry = 3, kMeta = 4 };

void put_big(std::string& out, uint64_t v, size_t bytes) {
  for (size_t i = bytes; i-- > 0;) out.push_back(static_cast<char>(v >> (8 * i)));
}

void put(std::string& out, uint64_t v, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) out.push_back(static_cast<char>(v >> (8 * i)));
}

uint64_t get(std::string_view bytes, size_t at, size_t n) {
  uint64_t v = 0;
  for (size_t i = 0; i < n; ++i) v |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
  return v;
}

std::string make_key(Kind kind, uint64_t index) {
  std::string key;
  key.reserve(kLogKeyBytes);
  put_big(key, kGroup, 4);
  key.push_back(static_cast<char>(kind));
  put_big(key, index, 8);
  return key;
}

// A record that ends in its own checksum, seeded by its kind so that it can't be taken for another.
std::string seal(std::string record, Kind kind) {
  put(record, checksum(record, kind), 8);
  return record;
}

// The record without its checksum; nullopt when it does not match or the version is not ours.
std::optional<std::string_view> unseal(std::string_view record, Kind kind) {
  if (record.size() < 9 || static_cast<uint8_t>(record[0]) != kVersion) return std::nullopt;
  const std::string_view body = record.substr(0, record.size() - 8);
  if (get(record, body.size(), 8) != checksum(body, kind)) return std::nullopt;
  return body;
}

constexpr size_t kEntryPrefixBytes = 10;  // version, type, term

uint64_t entry_checksum(Index index, std::string_view prefix, std::string_view payload) {
  return checksum(payload, checksum(prefix, index.value()));
}

}  // namespace

std::string entry_key(Index index) { return make_key(kEntry, index.value()); }
std::string head_key() { return make_key(kHead, 0); }
std::string snapshot_key() { return make_key(kSnapshot, 0); }

std::string meta_key(std::string_view name) {
  std::string key;
  put_big(key, kGroup, 4);
  key.push_back(static_cast<char>(kMeta));
  key += name;
  return key;
}

std::optional<Index> index_of_entry_key(std::string_view key) {
  static const std::string prefix = entry_key(Index(0)).substr(0, 5);
  if (key.size() != kLogKeyBytes || !key.starts_with(prefix)) return std::nullopt;
  uint64_t index = 0;
  for (size_t i = 5; i < kLogKeyBytes; ++i) index = index << 8 | static_cast<uint8_t>(key[i]);
  return Index(index);
}

// 0 version u8, 1 type u8, 2 term u64, 10 checksum u64, 18 payload.
std::string entry_header(const Entry& entry) {
  std::string header;
  header.reserve(kEntryHeaderBytes);
  put(header, kVersion, 1);
  put(header, static_cast<uint8_t>(entry.type), 1);
  put(header, entry.term.value(), 8);
  const std::string_view payload = entry.data ? std::string_view(*entry.data) : std::string_view();
  put(header, entry_checksum(entry.index, header, payload), 8);
  return header;
}

std::optional<Entry> decode_entry(Index index, std::string_view record) {
  if (record.size() < kEntryHeaderBytes || static_cast<uint8_t>(record[0]) != kVersion ||
      static_cast<uint8_t>(record[1]) > static_cast<uint8_t>(EntryType::kConfigChange)) {
    return std::nullopt;
  }
  const std::string_view payload = record.substr(kEntryHeaderBytes);
  if (get(record, kEntryPrefixBytes, 8) != entry_checksum(index, record.substr(0, kEntryPrefixBytes), payload)) {
    return std::nullopt;
  }
  Entry entry;
  entry.index = index;
  entry.type = static_cast<EntryType>(record[1]);
  entry.term = Term(get(record, 2, 8));
  entry.data = std::make_shared<const std::string>(payload);
  return entry;
}

// 0 version u8, 1 batch, 9 term, 17 vote, 25 commit, 33 last index, 41 last term, 49 snapshot index,
// 57 snapshot term, 65 checksum.
std::string encode(const LogHead& head) {
  std::string record;
  record.reserve(73);
  put(record, kVersion, 1);
  for (const uint64_t v :
       {head.batch, head.hard_state.term.value(), head.hard_state.vote.value(), head.hard_state.commit.value(),
        head.last_index.value(), head.last_term.value(), head.snapshot_index.value(), head.snapshot_term.value()}) {
    put(record, v, 8);
  }
  return seal(std::move(record), kHead);
}

std::optional<LogHead> decode_head(std::string_view record) {
  const auto body = unseal(record, kHead);
  if (!body || body->size() != 65) return std::nullopt;
  LogHead head;
  head.batch = get(*body, 1, 8);
  head.hard_state = {Term(get(*body, 9, 8)), NodeId(get(*body, 17, 8)), Index(get(*body, 25, 8))};
  head.last_index = Index(get(*body, 33, 8));
  head.last_term = Term(get(*body, 41, 8));
  head.snapshot_index = Index(get(*body, 49, 8));
  head.snapshot_term = Term(get(*body, 57, 8));
  return head;
}

// 0 version u8, 1 index, 9 term, 17 configuration, checksum.
std::string encode_snapshot(const SnapshotMeta& meta) {
  std::string record;
  put(record, kVersion, 1);
  put(record, meta.index.value(), 8);
  put(record, meta.term.value(), 8);
  encode(meta.configuration, record);
  return seal(std::move(record), kSnapshot);
}

std::optional<SnapshotMeta> decode_snapshot(std::string_view record) {
  const auto body = unseal(record, kSnapshot);
  if (!body || body->size() < 17) return std::nullopt;
  auto configuration = decode_configuration(body->substr(17));
  if (!configuration) return std::nullopt;
  return SnapshotMeta{Index(get(*body, 1, 8)), Term(get(*body, 9, 8)), std::move(*configuration)};
}

// 0 version u8, 1 value, checksum of version, value and name.
std::string encode_meta(std::string_view name, std::string_view value) {
  std::string record;
  put(record, kVersion, 1);
  record += value;
  put(record, checksum(record, checksum(name, kMeta)), 8);
  return record;
}

std::optional<std::string> decode_meta(std::string_view name, std::string_view record) {
  if (record.size() < 9 || static_cast<uint8_t>(record[0]) != kVersion) return std::nullopt;
  const std::string_view body = record.substr(0, record.size() - 8);
  if (get(record, body.size(), 8) != checksum(body, checksum(name, kMeta))) return std::nullopt;
  return std::string(body.substr(1));
}

}  // namespace kv::raft
