// gRPC's own pieces of the wire (gRPC over HTTP/2, the protocol document): the frame around a message, the timeout,
// the encodings of texts and of binary metadata. Pure functions and one small reader.
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/net/block_pool.h"
#include "base/status.h"

namespace kv::api {

// A frame: one byte (1: compressed), four bytes of length with the big end first, the message.
constexpr size_t kFrameHeaderBytes = 5;

// "100m" -> 100. Rounded up to a millisecond, since a deadline must not pass early. Nothing for what is malformed.
std::optional<int64_t> parse_timeout_ms(std::string_view text);

// For grpc-message: all but printable ASCII, and '%', becomes %XX.
std::string percent_encode(std::string_view text);

// For metadata whose key ends in "-bin". Decoding takes padded and unpadded text; nothing for what is neither.
std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);

// Bytes that are written once and then sent.
class FrameBytes {
 public:
  FrameBytes() = default;
  explicit FrameBytes(size_t size) : data_(PoolAllocator<char>().allocate(size)), size_(size) {}
  char* data() { return data_.get(); }
  const char* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(char* data) const { pool_free(data); }
  };
  std::unique_ptr<char[], Free> data_;
  size_t size_ = 0;
};

// The frame of `message`. InvalidArgument... never; ResourceExhausted when the message is larger than `max_bytes`.
// With `compress` it is gzipped if that makes it smaller.
Result<FrameBytes> make_frame(const google::protobuf::Message& message, size_t max_bytes, bool compress);

// gzip. Inflating stops with ResourceExhausted at `max_bytes`, whatever the input promises; Internal for what is
// not gzip or is cut short.
std::string gzip(std::string_view bytes);
Result<std::string> gunzip(std::string_view bytes, size_t max_bytes);

// Cuts the body of a request into its messages, however they are spread over DATA frames.
class FrameReader {
 public:
  explicit FrameReader(size_t max_bytes) : max_bytes_(max_bytes) {}

  struct Frame {
    bool compressed = false;
    std::string_view payload;  // into `bytes` of next() or into the reader; valid until the next call
  };
  // Takes the next message from the front of `bytes` and returns true; false when it needs more, and then all of
  // `bytes` is kept. An error ends the stream: next() must not be called again.
  Result<bool> next(std::string_view& bytes, Frame& frame);

  // Bytes of a message that is not complete yet.
  size_t buffered() const { return delivered_ ? 0 : buffer_.size(); }

 private:
  Status check_header(const char* header) const;

  const size_t max_bytes_;
  std::string buffer_;
  bool delivered_ = false;  // buffer_ holds what the last next() returned
};

}  // namespace kv::api
