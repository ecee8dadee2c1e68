// Linearizable reads on their way: asked about, confirmed and waiting for the state to get there, or refused and to
// be asked about again. Reads that came together share one ReadIndex (thesis 6.4). Only book-keeping; the engine
// talks to the core.
//
// Owned by the engine's thread; size() may be called from any.
#pragma once

#include <absl/functional/any_invocable.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "raft/types.h"

namespace kv::server {

class ReadQueue {
 public:
  using Ready = absl::AnyInvocable<void(Status)>;

  // Takes reads that came together; the id to ask the core about.
  uint64_t add(std::vector<Ready>&& reads, int64_t expires_ms);
  // The core's answer. index 0: refused, see ask_again(). Unknown ids (expired meanwhile) are nothing.
  void answered(uint64_t id, raft::Index index);
  // Those that were refused, under new ids, to be asked about once more.
  std::vector<uint64_t> ask_again();

  // The state has reached `applied`: ends all whose index is reached, with ok.
  void serve(raft::Index applied);
  // Ends all whose time is up, with "etcdserver: request timed out", in the form that says at which step.
  void expire(int64_t now_ms);
  // Ends all that wait.
  void end(const Status& status);

  size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  struct Group {
    std::vector<Ready> reads;
    int64_t expires_ms = 0;
  };
  void finish(Group&& group, const Status& status);

  uint64_t last_id_ = 0;
  std::unordered_map<uint64_t, Group> asked_;
  std::multimap<raft::Index, Group> confirmed_;
  std::vector<Group> refused_;
  std::atomic<size_t> size_{0};
};

}  // namespace kv::server
