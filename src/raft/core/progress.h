// What a leader knows of one follower's log, and what it may send next (3.5, 10.2.1). Knows no messages.
//
//   probe      the leader does not know where the logs agree: one AppendRequest at a time, and none further
//              before an answer or a sign of life
//   replicate  the logs agree up to `match`: requests are sent ahead of the answers, up to the window
//   snapshot   the follower needs what the leader's log no longer holds: nothing is sent until it has installed
//
//     probe --accepted--> replicate --rejected, unreachable--> probe
//     probe --entries are gone--> snapshot --installed or caught up--> replicate
//     snapshot --refused, unreachable, or no answer for long--> probe
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "raft/core/core.h"
#include "raft/types.h"

namespace kv::raft {

// The AppendRequests that a follower has not answered: bounded by their number and by their bytes. The last one
// that fits may go over the limit of bytes, so that an entry larger than the limit is sent too.
class Inflight {
 public:
  Inflight(size_t max_requests, size_t max_bytes) : max_requests_(max_requests), max_bytes_(max_bytes) {}

  // A request whose last entry is `last` has left; `last` ascends. Not when full().
  void add(Index last, size_t bytes);
  // All requests up to `index` are answered.
  void acknowledge(Index index);
  void clear();

  bool full() const { return requests_.size() >= max_requests_ || bytes_ >= max_bytes_; }
  bool empty() const { return requests_.empty(); }
  size_t count() const { return requests_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Request {
    Index last;
    size_t bytes;
  };
  size_t max_requests_;
  size_t max_bytes_;
  size_t bytes_ = 0;
  std::deque<Request> requests_;
};

class Progress {
 public:
  // `next` is a guess: a new leader takes its last index + 1 (3.5.3).
  Progress(Index next, size_t max_inflight_requests, size_t max_inflight_bytes)
      : next_(next), inflight_(max_inflight_requests, max_inflight_bytes) {}

  Index match() const { return match_; }  // the logs agree up to here, on the follower's disk; only grows
  Index next() const { return next_; }    // the next entry to send; > match
  ProgressState state() const { return state_; }
  const Inflight& inflight() const { return inflight_; }
  Index snapshot() const { return snapshot_; }  // in kSnapshot: the one that was offered

  // Whether an AppendRequest may leave now. An empty one is never held up by a full window, see may_send_empty().
  bool may_send() const;
  // Replicating, and no request is on its way that could bring news (of the commit index) with its answer.
  bool idle() const { return state_ == ProgressState::kReplicate && inflight_.empty(); }

  // ---- what the leader has sent ----
  // Entries next() .. `last`. Only when may_send().
  void sent_entries(Index last, size_t bytes);
  // An AppendRequest without entries.
  void sent_empty();
  void sent_snapshot(Index index);

  // ---- what the follower has answered ----
  // True when `match` has grown or the state has changed. `available` is the lowest `match` from which the leader's
  // log can go on: with less, a follower that needs a snapshot still does.
  bool accepted(Index index, Index available);
  // previous_index `rejected` did not match; the logs may agree at `hint` and below. False: old news.
  bool rejected(Index rejected, Index hint);
  // Any sign of life: a probe that waits for an answer may be repeated, its request may have been lost. True when
  // entries have been on their way since the last sign and none was acknowledged: look for a gap.
  bool heard();
  // The snapshot could not be installed, or nothing was heard of it for long. The next probe waits for a sign of
  // life, so that a follower that fails at once isn't asked again at once.
  void snapshot_failed();
  // A message could not be delivered.
  void unreachable();

  // ---- time ----
  // A tick in kSnapshot; after `limit` of them the state is kProbe again.
  void tick(uint32_t limit);

 private:
  void probe();

  ProgressState state_ = ProgressState::kProbe;
  Index match_;
  Index next_;
  bool paused_ = false;  // in kProbe: a request is unanswered
  Index snapshot_;
  uint32_t snapshot_ticks_ = 0;
  Index match_when_heard_;
  Inflight inflight_;
};

}  // namespace kv::raft
