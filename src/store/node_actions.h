// What the newest calls of /v2/keys were, by the revision that each made: history knows puts and deletes, and watchers
// of etcd's v2 API are told "create" or "expire", and for how long a key was to be there. Of no more calls than etcd 2
// kept events.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <utility>

#include "base/clock.h"

namespace kv::store {

// Watchers are not told of it.
inline constexpr const char* kRefreshAction = "refresh";

struct NodeAction {
  std::string action;  // empty: it is not known
  std::string path;    // of the node; what else the call changed went with it
  bool makes_directory = false;
  // Unix time at which the node's lease was to end, and that of the node before; 0: there is none.
  int64_t expires_at_ms = 0;
  int64_t prev_expires_at_ms = 0;
  int64_t done_at_ms = 0;  // Unix time, by this member's clock; set by NodeActions
};

// Any thread.
class NodeActions {
 public:
  static constexpr size_t kMost = 1000;

  // Revisions rise.
  void add(int64_t revision, NodeAction action) {
    action.done_at_ms = Clock::system().wall_ms();
    const std::lock_guard lock(mutex_);
    actions_.emplace_back(revision, std::move(action));
    if (actions_.size() > kMost) actions_.pop_front();
  }
  NodeAction at(int64_t revision) const {
    const std::lock_guard lock(mutex_);
    const auto found = std::lower_bound(actions_.begin(), actions_.end(), revision,
                                        [](const auto& action, int64_t wanted) { return action.first < wanted; });
    return found != actions_.end() && found->first == revision ? found->second : NodeAction();
  }

 private:
  mutable std::mutex mutex_;
  std::deque<std::pair<int64_t, NodeAction>> actions_;
};

}  // namespace kv::store
