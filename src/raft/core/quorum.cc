#include "raft/core/quorum.h"

#include <algorithm>
#include <functional>

namespace kv::raft {

Index majority_index(std::span<Index> reached) {
  KV_CHECK(!reached.empty(), "no voters");
  // In descending order, the index at place majority - 1 is one that exactly a majority has or is beyond.
  const auto place = reached.begin() + static_cast<std::ptrdiff_t>(majority(reached.size()) - 1);
  std::nth_element(reached.begin(), place, reached.end(), std::greater<>());
  return *place;
}

VoteResult majority_vote(size_t voters, size_t yes, size_t no) {
  KV_CHECK(voters > 0 && yes + no <= voters, "more votes than voters");
  if (yes >= majority(voters)) return VoteResult::kWon;
  if (voters - no < majority(voters)) return VoteResult::kLost;
  return VoteResult::kPending;
}

VoteResult both(VoteResult a, VoteResult b) {
  if (a == VoteResult::kLost || b == VoteResult::kLost) return VoteResult::kLost;
  return a == b ? a : VoteResult::kPending;
}

}  // namespace kv::raft
