// The bytes of the state: revisions, records of the two column families head and history, and the small
// records of meta. docs/formats.md tells the same in prose.
//
// Record is the one shape of "what a change made of a key". Its encoding is the value in `head`, and, with the key
// in front of it, one change in `history`; so a change is encoded once and stored in both.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace kv::store {

// etcd's revision: main counts transactions that changed something, sub the changes within one.
struct Rev {
  int64_t main = 0;
  uint32_t sub = 0;

  // {0,0} is no revision: the first change of a store has main 2.
  bool none() const { return main == 0; }
  auto operator<=>(const Rev&) const = default;
};

struct Record {
  Rev mod;                 // of this change
  Rev prev;                // the key's change before this one; none when there is none, or only a tombstone at or
                           // below the compact revision of that time
  bool tombstone = false;  // the key was deleted; everything below is then empty
  int64_t create_revision = 0;
  int64_t version = 0;
  int64_t lease = 0;
  std::string_view value;
};

void encode_record(const Record& record, std::string* out);
// False when the bytes are no record. `value` points into `bytes`.
[[nodiscard]] bool decode_record(std::string_view bytes, Record* record);

// A change in history: the key, then the record's encoding.
struct Change {
  std::string_view key;
  Record record;
  std::string_view encoded;  // the record's encoding, as it stands in head
};
[[nodiscard]] bool decode_change(std::string_view bytes, Change* change);

// Keys of history: main and sub, big endian, so that bytes sort as revisions do.
constexpr size_t kHistoryKeySize = 12;
std::string history_key(Rev rev);
[[nodiscard]] bool decode_history_key(std::string_view bytes, Rev* rev);

// Builds the value of one history record, change by change, in ascending order of revision.
class HistoryBuilder {
 public:
  // Offsets into bytes(), which may move as it grows but keeps its contents.
  struct Place {
    uint32_t offset = 0;  // of the change: length of the key, key, record
    uint32_t size = 0;
  };

  HistoryBuilder();
  Place add(std::string_view key, const Record& record);
  // Adds a change as it was cut out of another record.
  void add_encoded(Rev mod, std::string_view change_bytes);
  // Drops the changes added after the first `count`, whose bytes end at `size`.
  void truncate(size_t count, size_t size);

  size_t count() const { return index_.size() / kIndexEntrySize; }
  const std::string& bytes() const { return *bytes_; }
  Rev first() const { return first_; }

  // Appends the index. Nothing may be added afterwards.
  const std::string& finish();
  // The bytes, to be kept beyond the builder; nothing may be added afterwards.
  std::shared_ptr<const std::string> share_bytes() const { return bytes_; }

  static constexpr size_t kIndexEntrySize = 12;

 private:
  void index(Rev mod);

  std::shared_ptr<std::string> bytes_ = std::make_shared<std::string>();
  std::string index_;
  Rev first_;
};

// Reads the value of one history record. The bytes must outlive it.
class HistoryReader {
 public:
  // `first` is the revision in the record's key. False when the bytes are no history record.
  [[nodiscard]] bool open(Rev first, std::string_view bytes);

  size_t count() const { return count_; }
  Rev rev(size_t i) const;
  // The bytes of change i, for HistoryBuilder::add_encoded.
  std::string_view change_bytes(size_t i) const;
  [[nodiscard]] bool change(size_t i, Change* out) const { return decode_change(change_bytes(i), out); }
  // The position of the first change at or after `rev`; count() when there is none.
  size_t lower_bound(Rev rev) const;

 private:
  Rev first_;
  std::string_view bytes_;  // up to the index
  const char* index_ = nullptr;
  size_t count_ = 0;
};

// ---- meta ----

// Written with every batch.
struct Applied {
  uint64_t index = 0;
  uint64_t term = 0;
  int64_t revision = 1;
};
std::string encode_applied(const Applied& applied);
[[nodiscard]] bool decode_applied(std::string_view bytes, Applied* applied);

std::string encode_int64(int64_t n);
[[nodiscard]] bool decode_int64(std::string_view bytes, int64_t* n);

// ---- varints (LEB128), shared by the formats above and the checkpoints of counts ----
void put_varint(std::string* out, uint64_t n);
[[nodiscard]] bool get_varint(std::string_view* in, uint64_t* n);

}  // namespace kv::store
