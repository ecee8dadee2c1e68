// What the generator needs of protobuf's encoding.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kv::load {

// Protocol buffers by hand: the messages are few and small, and this is the generator's inner loop.
inline void append_varint(std::string& out, uint64_t v) {
  while (v >= 0x80) {
    out += static_cast<char>(v | 0x80);
    v >>= 7;
  }
  out += static_cast<char>(v);
}
inline void append_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  append_varint(out, field << 3 | 2);
  append_varint(out, bytes.size());
  out += bytes;
}
inline void append_number(std::string& out, uint32_t field, uint64_t v) {
  append_varint(out, field << 3);
  append_varint(out, v);
}

// Walks a message's fields. `bytes` is empty for numbers, `number` 0 for the rest.
struct Field {
  uint32_t id = 0;
  uint64_t number = 0;
  std::string_view bytes;
};
inline bool read_varint(std::string_view& in, uint64_t& out) {
  out = 0;
  for (unsigned shift = 0; shift < 64 && !in.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(in.front());
    in.remove_prefix(1);
    out |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}
inline bool next_field(std::string_view& in, Field& field) {
  uint64_t tag = 0;
  if (in.empty() || !read_varint(in, tag)) return false;
  field = {.id = static_cast<uint32_t>(tag >> 3), .number = 0, .bytes = {}};
  if ((tag & 7) == 0) return read_varint(in, field.number);
  uint64_t size = 0;
  if ((tag & 7) != 2 || !read_varint(in, size) || size > in.size()) return false;
  field.bytes = in.substr(0, size);
  in.remove_prefix(size);
  return true;
}

}  // namespace kv::load
