// The commands of this member's own clients on their way into the log: those that wait to be proposed, and those that
// were, until their fate is known.
//
// A command is proposed in one term, to that term's leader, and no other leader takes it: the core drops what was
// forwarded in another term than its own. Along the log terms never go back (thesis 3.3, 3.4.1), so as soon as an entry
// of a later term is applied here, what is on its way since an earlier term has been applied before it, or never will
// be. Then whoever still waits has its command proposed once more, and it takes effect once. That is what makes a
// change of leaders a pause for writes and not an error, where etcd has to say "request timed out, possibly due to
// previous leader failure".
//
// Owned by the engine's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "raft/types.h"
#include "server/pending_calls.h"

namespace kv::server {

class ProposalQueue {
 public:
  explicit ProposalQueue(const PendingCalls& calls) : calls_(calls) {}

  // `call`: the number under which its client waits; 0 when nobody does, and the command goes with its leader.
  void add(std::string&& command, uint64_t call, int64_t expires_ms);
  bool waits() const { return !waiting_.empty(); }

  // Appends what waits to `batch`, a serialized kvdpb::Batch, as far as it stays within `max_bytes`; an empty batch
  // takes one whatever its size. The number of commands, for proposed().
  size_t join(std::string& batch, size_t max_bytes) const;
  // The first `count` of those that wait have left for the leader of `term`, in one entry. kNo: they are not proposed
  // again, because that leader may hand them to the next one.
  enum class Kept : uint8_t { kYes, kNo };
  void proposed(size_t count, raft::Term term, Kept kept = Kept::kYes);

  // An entry of `term` is applied here, all before it too, and their calls are answered. True when commands wait now
  // that had left in vain.
  bool term_applied(raft::Term term);
  // The state was replaced by one that ends in `term`: nobody can tell here what it holds of that which left up to
  // then. The calls of those.
  std::vector<uint64_t> state_replaced(raft::Term term);

  // Lets go of what was answered, as long as it comes in turn. After each round of the applier.
  void forget_answered();
  // Lets go of what waits since too long, and of all that was answered. With each tick.
  void expire(int64_t now_ms);

  // Of those that have left and are not let go yet.
  size_t under_way() const { return under_way_.size(); }

 private:
  struct Departed;
  bool answered(const Departed& departed) const;

  struct Proposal {
    std::string command;
    uint64_t call = 0;
    int64_t expires_ms = 0;
  };
  // One entry's share: in the log as a whole or not at all.
  struct Departed {
    raft::Term term;
    std::vector<Proposal> proposals;  // that somebody waits for, at least one
    uint64_t last_call = 0;           // of theirs
  };

  const PendingCalls& calls_;
  std::deque<Proposal> waiting_;
  std::deque<Departed> under_way_;  // terms ascend
};

}  // namespace kv::server
