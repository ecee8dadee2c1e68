// What the newest calls of /v2/keys were, by the revision that each made: history knows puts and deletes, and watchers
// of etcd's v2 API are told "create" or "expire". Of no more calls than etcd 2 kept events.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <utility>

namespace kv::store {

// Watchers are not told of it.
inline constexpr const char* kRefreshAction = "refresh";

// Any thread.
class NodeActions {
 public:
  static constexpr size_t kMost = 1000;

  // Revisions rise.
  void add(int64_t revision, std::string action) {
    const std::lock_guard lock(mutex_);
    actions_.emplace_back(revision, std::move(action));
    if (actions_.size() > kMost) actions_.pop_front();
  }
  // Empty when it is not known.
  std::string at(int64_t revision) const {
    const std::lock_guard lock(mutex_);
    const auto found = std::lower_bound(actions_.begin(), actions_.end(), revision,
                                        [](const auto& action, int64_t wanted) { return action.first < wanted; });
    return found != actions_.end() && found->first == revision ? found->second : std::string();
  }

 private:
  mutable std::mutex mutex_;
  std::deque<std::pair<int64_t, std::string>> actions_;
};

}  // namespace kv::store
