// What a request's head must look like (RFC 9113, 8.2 and 8.3), decided here and not by nghttp2, whose rules for
// :authority refuse what stock etcd clients send ("http://127.0.0.1:2379", their target as it was given).
#pragma once

#include <cstdint>
#include <string_view>

namespace kv::api {

// Takes the fields of one header block in their order. After the first violation the block stays malformed.
class HeadRules {
 public:
  // A request's head, or the trailers that may follow its body.
  enum class Block : uint8_t { kHead, kTrailers };
  void begin(Block block);

  // False when the block is malformed.
  bool field(std::string_view name, std::string_view value);
  // The block is complete, and so is the request if `ends_stream`.
  bool end(bool ends_stream);

  // What content-length promised; -1 when there was none.
  int64_t content_length() const { return content_length_; }

 private:
  bool pseudo(std::string_view name, std::string_view value);
  bool regular(std::string_view name, std::string_view value);
  bool content_length_of(std::string_view value);

  Block block_ = Block::kHead;
  bool malformed_ = false;
  bool regular_seen_ = false;
  bool connect_ = false;
  uint8_t pseudo_seen_ = 0;  // a bit for each
  int64_t content_length_ = -1;
};

}  // namespace kv::api
