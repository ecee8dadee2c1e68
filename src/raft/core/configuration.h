// How one configuration becomes the next (4.1 single-server, 4.3 joint), and the rules that a change must keep.
#pragma once

#include "base/status.h"
#include "raft/types.h"

namespace kv::raft {

// Sorted lists without duplicates, nobody in two roles, no node 0, learners_next among the outgoing voters only,
// voters unless all is empty, at most kMaxMembers.
bool valid(const Configuration& configuration);

bool is_voter(const Configuration& configuration, NodeId id);  // in either half
bool is_learner(const Configuration& configuration, NodeId id);
bool is_member(const Configuration& configuration, NodeId id);
// Everybody, sorted.
std::vector<NodeId> members(const Configuration& configuration);

// The configuration after `change`; FailedPrecondition, with the reason, when it makes no sense for the present
// one:
// - one change, not `joint`: at once. Consecutive configurations then differ in at most one voter, so that any
//   two of their majorities meet (4.1);
// - several, or `joint`: the joint configuration. With `joint` it stays until a change with `leave_joint` ends
//   it; otherwise the leader ends it by itself (auto_leave);
// - no changes and `leave_joint`: out of the joint configuration.
// Refused: any other change while joint, a change without effect, a node named twice or 0, removing the last
// voter, more than kMaxMembers.
Result<Configuration> changed(const Configuration& configuration, const ConfigChange& change);

}  // namespace kv::raft
