// A set of keys made of ranges: what a user may read, or what a user may write. Ranges that overlap or touch are one,
// so a request for a range is covered by the union of what was granted, however it was cut into pieces.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace kv::store {

class KeySet {
 public:
  // The keys that a request names by key and range_end (store/key_range.h). A range without keys adds none.
  void add(std::string_view key, std::string_view range_end);

  // Whether every key that [key, range_end) names is in the set. A range that can hold no key (range_end <= key) is
  // covered where `key` is: nobody learns from it about keys that are not theirs, not even that they are there.
  // "From `key` on" is covered only by a range that has no end either (GHSA-xg4h-6gfc-h4m8).
  bool covers(std::string_view key, std::string_view range_end) const;

  bool empty() const { return ranges_.empty(); }

 private:
  using End = std::optional<std::string>;  // the first key behind the range; none: it has no end

  // From the first key of a range to its end. No two overlap or touch.
  std::map<std::string, End, std::less<>> ranges_;
};

}  // namespace kv::store
