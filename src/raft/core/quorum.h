// The arithmetic of majorities, and of the two majorities that a joint configuration asks for (4.3). Knows no
// messages: it is told what each voter has reached or answered, and says what the group as a whole has.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/check.h"
#include "raft/types.h"

namespace kv::raft {

// Members of one configuration, of all kinds together. Seven is a lot already; the limit bounds what a hostile
// snapshot offer can make us count.
inline constexpr size_t kMaxMembers = 64;

enum class VoteResult : uint8_t { kPending, kWon, kLost };

constexpr size_t majority(size_t voters) { return voters / 2 + 1; }

// The largest index that a majority of `reached` (one number a voter) has reached. Reorders `reached`, which
// must not be empty.
Index majority_index(std::span<Index> reached);

// Lost: those who have not refused are too few for a majority. `voters` must not be 0.
VoteResult majority_vote(size_t voters, size_t yes, size_t no);

// Both halves of a joint configuration must agree.
VoteResult both(VoteResult a, VoteResult b);

// The largest index that a quorum of `configuration` has reached; `reached` says it of one voter:
// Index reached(NodeId). Without voters nothing is ever reached: 0.
template <typename Reached>
Index quorum_index(const Configuration& configuration, Reached&& reached) {
  const auto of = [&](const std::vector<NodeId>& voters) {
    KV_CHECK(voters.size() <= kMaxMembers, "configuration too large");
    std::array<Index, kMaxMembers> indexes;
    for (size_t i = 0; i < voters.size(); ++i) indexes[i] = reached(voters[i]);
    return majority_index(std::span(indexes.data(), voters.size()));
  };
  if (configuration.voters.empty()) return Index(0);
  const Index incoming = of(configuration.voters);
  if (!configuration.joint()) return incoming;
  const Index outgoing = of(configuration.outgoing);
  return incoming < outgoing ? incoming : outgoing;
}

// How a vote stands; `answer` says what one voter has answered: std::optional<bool> answer(NodeId). Without
// voters no vote is ever won.
template <typename Answer>
VoteResult quorum_vote(const Configuration& configuration, Answer&& answer) {
  const auto of = [&](const std::vector<NodeId>& voters) {
    size_t yes = 0;
    size_t no = 0;
    for (const NodeId id : voters) {
      const std::optional<bool> vote = answer(id);
      if (vote) ++(*vote ? yes : no);
    }
    return majority_vote(voters.size(), yes, no);
  };
  if (configuration.voters.empty()) return VoteResult::kLost;
  const VoteResult incoming = of(configuration.voters);
  return configuration.joint() ? both(incoming, of(configuration.outgoing)) : incoming;
}

// Whether those of whom `has` is true are a quorum: bool has(NodeId).
template <typename Has>
bool quorum_of(const Configuration& configuration, Has&& has) {
  return quorum_vote(configuration, [&](NodeId id) -> std::optional<bool> {
           return has(id) ? std::optional(true) : std::nullopt;
         }) == VoteResult::kWon;
}

}  // namespace kv::raft
