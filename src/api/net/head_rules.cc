#include "api/net/head_rules.h"

#include <nghttp2/nghttp2.h>

#include <charconv>

namespace kv::api {
namespace {

enum Pseudo : uint8_t { kMethod = 1, kScheme = 2, kPath = 4, kAuthority = 8 };

const uint8_t* bytes_of(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

}  // namespace

void HeadRules::begin(Block block) {
  *this = HeadRules();
  block_ = block;
}

bool HeadRules::field(std::string_view name, std::string_view value) {
  if (malformed_) return false;
  const bool characters = nghttp2_check_header_name(bytes_of(name), name.size()) != 0 &&
                          nghttp2_check_header_value_rfc9113(bytes_of(value), value.size()) != 0;
  malformed_ = !characters || !(name[0] == ':' ? pseudo(name, value) : regular(name, value));
  return !malformed_;
}

bool HeadRules::pseudo(std::string_view name, std::string_view value) {
  if (block_ == Block::kTrailers || regular_seen_) return false;
  uint8_t which = 0;
  if (name == ":method") which = kMethod;
  if (name == ":scheme") which = kScheme;
  if (name == ":path") which = kPath;
  if (name == ":authority") which = kAuthority;
  if (which == 0 || (pseudo_seen_ & which) != 0) return false;
  if (value.empty() && which != kAuthority) return false;
  pseudo_seen_ |= which;
  if (which == kMethod) connect_ = value == "CONNECT";
  return true;
}

bool HeadRules::regular(std::string_view name, std::string_view value) {
  regular_seen_ = true;
  switch (name.size()) {
    case 2: return name != "te" || value == "trailers";
    case 7: return name != "upgrade";
    case 10: return name != "connection" && name != "keep-alive";
    case 14: return name != "content-length" || content_length_of(value);
    case 16: return name != "proxy-connection";
    case 17: return name != "transfer-encoding";
    default: return true;
  }
}

bool HeadRules::content_length_of(std::string_view value) {
  int64_t length = -1;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
  if (error != std::errc() || end != value.data() + value.size() || length < 0) return false;
  if (value[0] == '-' || content_length_ >= 0) return false;
  content_length_ = length;
  return true;
}

bool HeadRules::end(bool ends_stream) {
  if (malformed_) return false;
  if (block_ == Block::kTrailers) return ends_stream;
  const uint8_t required = connect_ ? kMethod | kAuthority : kMethod | kScheme | kPath;
  const uint8_t forbidden = connect_ ? kScheme | kPath : 0;
  if ((pseudo_seen_ & required) != required || (pseudo_seen_ & forbidden) != 0) return false;
  return !ends_stream || content_length_ <= 0;
}

}  // namespace kv::api
