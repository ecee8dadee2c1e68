#include "store/watch_event.h"

namespace kv::store {
namespace {

// The wire types of protobuf's encoding, and the tags that are made of them and the fields' numbers.
constexpr uint8_t kVarint = 0, kBytes = 2;
constexpr char tag(int field, uint8_t type) { return static_cast<char>(field << 3 | type); }

size_t varint_size(uint64_t n) {
  size_t size = 1;
  for (; n >= 0x80; n >>= 7) ++size;
  return size;
}

// A field with the default value is left out, as in every proto3 message.
size_t number_size(int64_t n) { return n == 0 ? 0 : 1 + varint_size(static_cast<uint64_t>(n)); }
size_t bytes_size(size_t n) { return n == 0 ? 0 : 1 + varint_size(n) + n; }

void put_number(std::string* out, int field, int64_t n) {
  if (n == 0) return;
  out->push_back(tag(field, kVarint));
  put_varint(out, static_cast<uint64_t>(n));
}
void put_bytes(std::string* out, int field, std::string_view bytes) {
  if (bytes.empty()) return;
  out->push_back(tag(field, kBytes));
  put_varint(out, bytes.size());
  out->append(bytes);
}

// mvccpb.KeyValue; of a deleted key it has no more than key and mod_revision.
size_t key_value_size(std::string_view key, const Record& r) {
  return bytes_size(key.size()) + number_size(r.create_revision) + number_size(r.mod.main) + number_size(r.version) +
         bytes_size(r.value.size()) + number_size(r.lease);
}
void put_key_value(std::string* out, int field, size_t size, std::string_view key, const Record& r) {
  out->push_back(tag(field, kBytes));
  put_varint(out, size);
  put_bytes(out, 1, key);
  put_number(out, 2, r.create_revision);
  put_number(out, 3, r.mod.main);
  put_number(out, 4, r.version);
  put_bytes(out, 5, r.value);
  put_number(out, 6, r.lease);
}

}  // namespace

void append_watch_event(const Change& change, const Record* prev, std::string* out) {
  const size_t kv_size = key_value_size(change.key, change.record);
  const size_t prev_size = prev == nullptr ? 0 : key_value_size(change.key, *prev);
  size_t size = number_size(change.record.tombstone ? 1 : 0) + 1 + varint_size(kv_size) + kv_size;
  if (prev != nullptr) size += 1 + varint_size(prev_size) + prev_size;

  out->push_back(tag(11, kBytes));
  put_varint(out, size);
  put_number(out, 1, change.record.tombstone ? 1 : 0);
  put_key_value(out, 2, kv_size, change.key, change.record);
  if (prev != nullptr) put_key_value(out, 3, prev_size, change.key, *prev);
}

}  // namespace kv::store
