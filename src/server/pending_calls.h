// The calls of this member's clients that wait for their proposal to be applied. A call is added before its
// proposal leaves, and ended exactly once: by its command being applied here, or by time.
//
// The count and the bytes that may wait are bounded: this is where overload is refused.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "google/protobuf/message.h"

namespace kv::server {

// The response is the command's own response type, alive during the call only; null when the status is not ok.
using Completion = absl::AnyInvocable<void(Status, google::protobuf::Message*)>;

// All methods: any thread. Completions run on the calling thread, outside the lock.
class PendingCalls {
 public:
  // Numbers ascend from `first_number`, which must be random: commands from before a restart are applied again
  // after it, and must not meet a call of the new life under their number.
  PendingCalls(size_t max_calls, size_t max_bytes, uint64_t first_number)
      : max_calls_(max_calls), max_bytes_(max_bytes), last_number_(first_number), lost_up_to_(first_number) {}

  // The call's number, which goes into the command; or ResourceExhausted "etcdserver: too many requests", or
  // Unavailable "etcdserver: server stopped" after close(). `completion` is moved from only on success.
  Result<uint64_t> add(size_t bytes, int64_t expires_ms, Completion& completion);

  // Takes the completions of those `numbers` that still wait, in that order; empty functions for the rest.
  std::vector<Completion> take(const std::vector<uint64_t>& numbers);

  bool waits(uint64_t number) const;

  // The leader to whom all went that wait leads no more, or is not heard of.
  void leader_lost();
  // Another leads, or in another term. Only the words for a timeout depend on it.
  void leader_found();
  // It leads still. What waits since it was lost may have been lost with the stream to it, and nobody can tell: it
  // expires at `expires_ms` at the latest.
  void leader_returned(int64_t expires_ms);

  // Ends what has expired by `now_ms` with Unavailable "etcdserver: request timed out", with etcd's words for a change
  // of leaders or a lost connection where there was one.
  void expire(int64_t now_ms);

  // Ends all that wait with `status`, and every later add().
  void close(Status status);

  size_t size() const;
  // Of the proposals that wait.
  size_t bytes() const;

 private:
  struct Call {
    Completion completion;
    size_t bytes = 0;
  };
  // Expiry times ascend with the numbers as long as all calls get the same timeout, which they do.
  struct Expiry {
    int64_t expires_ms;
    uint64_t number;
    bool stream_lost = false;
  };
  Status timed_out(const Expiry& expiry) const;

  const size_t max_calls_;
  const size_t max_bytes_;

  mutable std::mutex mutex_;  // guards all below
  uint64_t last_number_;
  uint64_t lost_up_to_;       // the number of the last call whose leader was lost
  uint64_t found_after_ = 0;  // the same, of those that have seen another since
  size_t bytes_ = 0;
  bool closed_ = false;
  std::unordered_map<uint64_t, Call> calls_;
  std::deque<Expiry> expiries_;
};

}  // namespace kv::server
