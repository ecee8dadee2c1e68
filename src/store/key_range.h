// The keys that a request names by key and range_end, as etcd reads the two.
#pragma once

#include <string_view>

namespace kv::store {

struct KeyRange {
  // range_end empty: the key alone. "\0": all keys from `key` on. Otherwise [key, range_end), which is empty when
  // range_end <= key. The bytes must outlive the range.
  static KeyRange of(std::string_view key, std::string_view range_end) {
    KeyRange r;
    r.begin = key;
    if (range_end.empty()) {
      r.single = true;
    } else if (range_end == std::string_view("\0", 1)) {
      r.unbounded = true;
    } else {
      r.end = range_end;
    }
    return r;
  }

  bool contains(std::string_view key) const {
    if (single) return key == begin;
    return key >= begin && (unbounded || key < end);
  }
  bool empty() const { return !single && !unbounded && end <= begin; }

  std::string_view begin;
  std::string_view end;  // of a range that is neither single nor unbounded
  bool single = false;
  bool unbounded = false;
};

}  // namespace kv::store
