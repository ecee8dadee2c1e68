// Linearizable reads (6.4): those that wait on the leader for a round of confirmation, and those that a follower
// has asked the leader about. Only book-keeping; who sends what is the state machine's affair.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "raft/types.h"

namespace kv::raft {

// On the leader. A read that arrives may be served at the commit index of that moment, if this member was still
// the leader then: a quorum that answers a round of heartbeats which began after it arrived says so. One round is
// under way at a time, and all reads that came while it was are confirmed by the next.
class ReadRounds {
 public:
  struct Read {
    uint64_t id;
    NodeId from;  // the follower that asks; 0: a read of this member
  };

  void add(Read read);
  size_t size() const { return waiting_.size() + confirming_.size(); }

  // The present number, which heartbeats carry; 0: there was no round yet.
  uint64_t round() const { return round_; }
  // Another number for the next heartbeats. Answers to it confirm the round under way too: they are later.
  void renumber() { ++round_; }
  bool under_way() const { return !confirming_.empty(); }
  bool wants_round() const { return !under_way() && !waiting_.empty(); }
  // All that wait are part of it, at `commit`. Only when wants_round().
  void begin(Index commit);
  // A quorum has answered it: the reads, which may be served at index().
  std::vector<Read> confirmed();
  Index index() const { return index_; }
  // Leadership is over: all of them, to be refused.
  std::vector<Read> abandon();
  // All of them, when nothing was confirmed for `limit` ticks: without check-quorum a leader may be cut off for
  // long, and its readers shall ask elsewhere.
  std::vector<Read> tick(uint32_t limit);

 private:
  std::vector<Read> waiting_;
  std::vector<Read> confirming_;
  uint64_t round_ = 0;
  Index index_;         // of the round under way
  uint32_t ticks_ = 0;  // since the last progress, while there are reads
};

// On a follower. Reads are sent to the leader in batches under one number; a few batches may be under way, and
// one that isn't answered for an election timeout is given up, since request or answer may have been lost.
class ForwardedReads {
 public:
  static constexpr size_t kMaxBatches = 4;

  void add(uint64_t id) { waiting_.push_back(id); }
  size_t size() const { return size_ + waiting_.size(); }

  bool wants_batch() const { return !waiting_.empty() && batches_.size() < kMaxBatches; }
  // All that wait go under `number`. Only when wants_batch().
  void begin(uint64_t number);
  // The reads of that batch, which is over; none if it is unknown or was given up.
  std::vector<uint64_t> answered(uint64_t number);
  // Those whose batch has waited for `limit` ticks: given up.
  std::vector<uint64_t> tick(uint32_t limit);
  // The leader is gone: all of them, to be refused.
  std::vector<uint64_t> abandon();

 private:
  struct Batch {
    uint64_t number;
    uint32_t ticks;
    std::vector<uint64_t> ids;
  };
  std::vector<uint64_t> waiting_;
  std::deque<Batch> batches_;
  size_t size_ = 0;  // ids in batches_
};

}  // namespace kv::raft
