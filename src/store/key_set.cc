#include "store/key_set.h"

#include <iterator>
#include <utility>

#include "store/key_range.h"

namespace kv::store {

void KeySet::add(std::string_view key, std::string_view range_end) {
  const KeyRange range = KeyRange::of(key, range_end);
  if (range.empty()) return;
  std::string begin(key);
  End end;
  if (range.single) {
    // The least key above it.
    end = begin + '\0';
  } else if (!range.unbounded) {
    end = std::string(range.end);
  }
  // All that overlaps or touches is taken into it: first what begins before it, then what begins within.
  auto it = ranges_.upper_bound(begin);
  if (it != ranges_.begin()) {
    const auto before = std::prev(it);
    if (!before->second || *before->second >= begin) it = before;
  }
  while (it != ranges_.end() && (!end || it->first <= *end)) {
    if (it->first < begin) begin = it->first;
    if (!it->second || (end && *end < *it->second)) end = it->second;
    it = ranges_.erase(it);
  }
  ranges_.emplace(std::move(begin), std::move(end));
}

bool KeySet::covers(std::string_view key, std::string_view range_end) const {
  const auto after = ranges_.upper_bound(key);
  if (after == ranges_.begin()) return false;
  const End& end = std::prev(after)->second;
  if (!end) return true;
  const KeyRange range = KeyRange::of(key, range_end);
  if (range.unbounded) return false;
  if (range.single || range.empty()) return key < *end;
  return range.end <= *end;
}

}  // namespace kv::store
