#include "api/net/grpc_wire.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace kv::api {
namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr auto kBase64Values = [] {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (size_t i = 0; i < kBase64.size(); ++i) values[static_cast<uint8_t>(kBase64[i])] = static_cast<int8_t>(i);
  return values;
}();

uint32_t length_of(const char* header) {
  const auto byte = [&](int i) { return static_cast<uint32_t>(static_cast<uint8_t>(header[i])); };
  return byte(1) << 24 | byte(2) << 16 | byte(3) << 8 | byte(4);
}

void write_header(char* into, bool compressed, size_t size) {
  into[0] = compressed ? 1 : 0;
  for (int i = 0; i < 4; ++i) into[1 + i] = static_cast<char>(size >> (24 - 8 * i));
}

Status too_large(size_t size, size_t max) {
  return {Code::kResourceExhausted,
          "grpc: received message larger than max (" + std::to_string(size) + " vs. " + std::to_string(max) + ")"};
}

}  // namespace

std::optional<int64_t> parse_timeout_ms(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t value = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  switch (text.back()) {
    case 'H': return value * 3'600'000;
    case 'M': return value * 60'000;
    case 'S': return value * 1'000;
    case 'm': return value;
    case 'u': return (value + 999) / 1'000;
    case 'n': return (value + 999'999) / 1'000'000;
    default: return std::nullopt;
  }
}

std::string percent_encode(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%') {
      out += c;
    } else {
      const auto byte = static_cast<uint8_t>(c);
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

std::string base64_encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    count += 8;
    for (; count >= 6; count -= 6) out += kBase64[bits >> (count - 6) & 63];
  }
  if (count > 0) out += kBase64[bits << (6 - count) & 63];
  return out;  // without padding, as the protocol document asks of implementations
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 == 0) {
    for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = kBase64Values[static_cast<uint8_t>(c)];
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count);
    }
  }
  return out;
}

Result<FrameBytes> make_frame(const google::protobuf::Message& message, size_t max_bytes, bool compress) {
  const size_t size = message.ByteSizeLong();
  if (size > max_bytes || size > INT32_MAX) {
    return Status(Code::kResourceExhausted, "trying to send message larger than max (" + std::to_string(size) +
                                                " vs. " + std::to_string(max_bytes) + ")");
  }
  FrameBytes frame(kFrameHeaderBytes + size);
  write_header(frame.data(), false, size);
  message.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(frame.data() + kFrameHeaderBytes));
  if (!compress) return frame;
  const std::string packed = gzip({frame.data() + kFrameHeaderBytes, size});
  if (packed.size() >= size) return frame;
  FrameBytes smaller(kFrameHeaderBytes + packed.size());
  write_header(smaller.data(), true, packed.size());
  std::memcpy(smaller.data() + kFrameHeaderBytes, packed.data(), packed.size());
  return smaller;
}

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;  // the largest window, with gzip's header and trailer
  KV_CHECK(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) == Z_OK, "zlib has no memory");
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  KV_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END, "deflateBound was too small");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Result<std::string> gunzip(std::string_view bytes, size_t max_bytes) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;
  KV_CHECK(inflateInit2(&stream, kGzip) == Z_OK, "zlib has no memory");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  int result = Z_OK;
  // Memory is taken as it is filled, so that a small bomb costs no more than what it has unpacked so far.
  while (result == Z_OK && out.size() <= max_bytes) {
    const size_t have = out.size();
    const size_t room = std::min(std::max<size_t>(have, 4096), max_bytes + 1 - have);
    out.resize(have + room);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + have);
    stream.avail_out = static_cast<uInt>(room);
    result = inflate(&stream, Z_NO_FLUSH);
    out.resize(have + room - stream.avail_out);
  }
  inflateEnd(&stream);
  if (out.size() > max_bytes) {
    return Status(Code::kResourceExhausted,
                  "grpc: received message after decompression larger than max " + std::to_string(max_bytes));
  }
  if (result != Z_STREAM_END || stream.avail_in != 0) {
    return Status(Code::kInternal, "grpc: failed to decompress the received message");
  }
  return out;
}

Status FrameReader::check_header(const char* header) const {
  const auto flag = static_cast<uint8_t>(header[0]);
  if (flag > 1) {
    return {Code::kInternal, "grpc: received unexpected payload format " + std::to_string(flag)};
  }
  const size_t size = length_of(header);
  return size > max_bytes_ ? too_large(size, max_bytes_) : Status();
}

Result<bool> FrameReader::next(std::string_view& bytes, Frame& frame) {
  if (delivered_) {
    delivered_ = false;
    buffer_.clear();
    constexpr size_t kKeepBytes = 64 << 10;
    if (buffer_.capacity() > kKeepBytes) buffer_ = {};
  }
  if (buffer_.empty() && bytes.size() >= kFrameHeaderBytes) {
    KV_RETURN_IF_ERROR(check_header(bytes.data()));
    const size_t size = length_of(bytes.data());
    if (bytes.size() >= kFrameHeaderBytes + size) {
      frame = {.compressed = bytes[0] != 0, .payload = bytes.substr(kFrameHeaderBytes, size)};
      bytes.remove_prefix(kFrameHeaderBytes + size);
      return true;
    }
  }
  const auto take = [&](size_t want) {  // until buffer_ holds `want`
    const size_t n = std::min(want - std::min(want, buffer_.size()), bytes.size());
    buffer_.append(bytes.substr(0, n));
    bytes.remove_prefix(n);
    return buffer_.size() >= want;
  };
  if (!take(kFrameHeaderBytes)) return false;
  KV_RETURN_IF_ERROR(check_header(buffer_.data()));
  // The buffer grows with what arrives, not with what the header promises.
  const size_t size = length_of(buffer_.data());
  if (!take(kFrameHeaderBytes + size)) return false;
  frame = {.compressed = buffer_[0] != 0, .payload = std::string_view(buffer_).substr(kFrameHeaderBytes)};
  delivered_ = true;
  return true;
}

}  // namespace kv::api
