// Which groups of watchers does a change of this key concern? A hash look-up for single keys, an interval tree for
// ranges.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/functional/function_ref.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "store/interval_tree.h"
#include "store/key_range.h"

namespace kv::store {

template <typename Group>
class WatchIndex {
 public:
  // A group is added once; `range` is its own, and need not outlive the call.
  void add(const KeyRange& range, Group* group) {
    (range.single ? keys_[range.begin] : ranges_.at(range)).push_back(group);
  }
  void remove(const KeyRange& range, Group* group) {
    if (range.single) {
      const auto it = keys_.find(range.begin);
      std::erase(it->second, group);
      if (it->second.empty()) keys_.erase(it);
    } else {
      Groups* const groups = ranges_.get(range);
      std::erase(*groups, group);
      if (groups->empty()) ranges_.erase(range);
    }
  }

  void match(std::string_view key, absl::FunctionRef<void(Group&)> visit) const {
    if (const auto it = keys_.find(key); it != keys_.end()) {
      for (Group* const group : it->second) visit(*group);
    }
    if (ranges_.empty()) return;
    ranges_.visit(key, [&](Groups& groups) {
      for (Group* const group : groups) visit(*group);
    });
  }

  bool empty() const { return keys_.empty() && ranges_.empty(); }

 private:
  using Groups = std::vector<Group*>;
  // Abseil's own hash of strings knows std::string_view only where it is built for C++20.
  struct KeyHash {
    using is_transparent = void;
    size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
  };
  absl::flat_hash_map<std::string, Groups, KeyHash, std::equal_to<>> keys_;
  IntervalTree<Groups> ranges_;
};

}  // namespace kv::store
