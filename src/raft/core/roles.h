// The four roles of a member. What only one role has stands in that role alone, so that a follower can't read a
// leader's book-keeping, nor a new leader its predecessor's.
#pragma once

#include <map>
#include <optional>
#include <variant>
#include <vector>

#include "raft/core/progress.h"
#include "raft/core/quorum.h"
#include "raft/core/reads.h"
#include "raft/types.h"

namespace kv::raft {

struct Follower {
  NodeId leader;  // 0: none known in this term
  ForwardedReads reads;
  // The leader asked us to stand (3.10) while a committed configuration change was not applied yet.
  bool stand_when_applied = false;
};

// The answers of those who are voters; only the first of each counts.
class Ballot {
 public:
  void record(NodeId voter, bool granted) { votes_.emplace(voter, granted); }
  VoteResult result(const Configuration& configuration) const {
    return quorum_vote(configuration, [&](NodeId id) -> std::optional<bool> {
      const auto vote = votes_.find(id);
      return vote == votes_.end() ? std::nullopt : std::optional(vote->second);
    });
  }

 private:
  std::map<NodeId, bool> votes_;
};

struct PreCandidate {
  Ballot ballot;
};

struct Candidate {
  Ballot ballot;
};

struct Peer {
  NodeId id;
  Progress progress;
  Index commit_told;             // the highest commit index that it can know from what was sent
  uint64_t confirmed_round = 0;  // the last round of reads that it has answered
  bool recently_active = false;  // since the last check of the quorum
  bool active_before = false;    // between the last two
  uint64_t told_round = 0;       // the first round whose heartbeat said Leader::last_word; 0: none yet
};

struct Leader {
  Index term_start;         // its first entry: only from here on are replicas counted (3.6.2)
  std::vector<Peer> peers;  // all members but itself
  ReadRounds reads;
  size_t uncommitted_bytes = 0;  // of entries that it appended itself
  uint32_t heartbeat_elapsed = 0;
  NodeId transferee;  // 0: no transfer under way
  uint32_t transfer_elapsed = 0;
  // Not 0: this leader is no voter any more, and steps down when a quorum knows this commit index (4.2.2).
  Index last_word;

  Peer* peer(NodeId id) {
    for (Peer& peer : peers) {
      if (peer.id == id) return &peer;
    }
    return nullptr;
  }
};

// In the order of Role.
using RoleState = std::variant<Follower, PreCandidate, Candidate, Leader>;

}  // namespace kv::raft
