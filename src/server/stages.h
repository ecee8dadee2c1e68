// The two stages that the engine feeds. Each does its work on the caller's thread, or on a thread of its own and
// reports back: one class for both ways, chosen at construction.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/thread.h"
#include "raft/core/core.h"
#include "raft/log_store.h"
#include "server/applier.h"

namespace kv::server {

// A queue with a thread that hands all that waits to `work` in one go; or no thread, and push() calls `work` at
// once. Bounded by what the engine lets be in flight (core's limits), not by the queue itself.
template <typename Item>
class Stage {
 public:
  using Work = std::function<void(std::vector<Item>&&)>;

  Stage(std::string name, bool own_thread, Work work) : work_(std::move(work)) {
    if (own_thread) thread_ = std::thread([this, name = std::move(name)] { loop(name); });
  }
  // Works off what waits, then joins.
  ~Stage() {
    if (!thread_.joinable()) return;
    inbox_.close();
    thread_.join();
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  void push(Item&& item) {
    if (thread_.joinable()) {
      KV_CHECK(inbox_.push(std::move(item)), "a stage overflowed: the core's limits do not hold");
      return;
    }
    std::vector<Item> one;
    one.push_back(std::move(item));
    work_(std::move(one));
  }

 private:
  void loop(const std::string& name) {
    name_this_thread(name);
    std::vector<Item> items;
    while (inbox_.take_all(items, std::chrono::steady_clock::time_point::max())) {
      if (!items.empty()) work_(std::move(items));
    }
  }

  Work work_;
  Inbox<Item> inbox_{1 << 20};
  std::thread thread_;
};

// What one Ready wants of the log, and the messages that may leave when it is on disk.
struct LogWrite {
  uint64_t number = 0;  // of the last Ready that it covers
  std::optional<raft::HardState> hard_state;
  std::vector<raft::Entry> entries;
  bool sync = false;
  std::vector<raft::Message> then_send;
  // Instead of all that: the log is to begin after this, in its turn among the writes.
  std::optional<raft::SnapshotMeta> begin_after;

  bool empty() const { return !hard_state && entries.empty(); }
};

// Joins consecutive writes into as few as possible: one sync covers them. A write that replaces entries (its
// first index is not the next one) begins a new one, and a log that is to begin elsewhere is joined with nothing.
std::vector<LogWrite> join(std::vector<LogWrite>&& writes);

}  // namespace kv::server
