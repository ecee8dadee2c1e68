// Whoever waits for leadership to move: MoveLeader, and a leader that stops. Any thread.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <mutex>
#include <vector>

#include "base/status.h"

namespace kv::server {

class Transfers {
 public:
  using Over = absl::AnyInvocable<void(Status)>;

  // `over` is called once: ok when `target` leads; else "request timed out" or "server stopped".
  void wait_for(uint64_t target, int64_t expires_ms, Over over);
  // The same, ok as soon as somebody other than `from` leads.
  void wait_for_change(uint64_t from, int64_t expires_ms, Over over);

  void leader_is(uint64_t leader);
  void expire(int64_t now_ms);
  void close();

 private:
  struct Wait {
    uint64_t node;
    bool change;  // wait for anybody but `node`, instead of for `node`
    int64_t expires_ms;
    Over over;
  };
  void add(Wait wait);
  template <typename Predicate>
  void end_if(Predicate ended, const Status& status);

  std::mutex mutex_;  // guards all below
  bool closed_ = false;
  std::vector<Wait> waits_;
};

}  // namespace kv::server
