// HTTP/2 frames (RFC 9113, section 6), as far as a gRPC call needs them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kv::load {

constexpr size_t kFrameHeader = 9;

enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kReset = 3,
  kSettings = 4,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};

enum FrameFlag : uint8_t {
  kAck = 0x1,
  kEndStream = 0x1,
  kEndHeaders = 0x4,
  kPadded = 0x8,
  kPriority = 0x20,
};

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline uint32_t read_u32(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 | static_cast<uint32_t>(p[2]) << 8 |
         p[3];
}
inline size_t frame_length(const uint8_t* p) {
  return static_cast<size_t>(p[0]) << 16 | static_cast<size_t>(p[1]) << 8 | p[2];
}

inline void append_u32(std::string& out, uint32_t v) {
  const char bytes[4] = {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
                         static_cast<char>(v)};
  out.append(bytes, 4);
}
inline void append_frame_header(std::string& out, size_t length, uint8_t type, uint8_t flags, uint32_t stream) {
  const char bytes[5] = {static_cast<char>(length >> 16), static_cast<char>(length >> 8), static_cast<char>(length),
                         static_cast<char>(type), static_cast<char>(flags)};
  out.append(bytes, 5);
  append_u32(out, stream);
}
inline void append_setting(std::string& out, uint16_t id, uint32_t value) {
  out += static_cast<char>(id >> 8);
  out += static_cast<char>(id);
  append_u32(out, value);
}
inline void append_window_update(std::string& out, uint32_t stream, uint32_t by) {
  append_frame_header(out, 4, kWindowUpdate, 0, stream);
  append_u32(out, by);
}

// A string literal of HPACK without Huffman coding; `text` shorter than 127 bytes.
inline void append_hpack_string(std::string& out, std::string_view text) {
  out += static_cast<char>(text.size());
  out += text;
}

}  // namespace kv::load
