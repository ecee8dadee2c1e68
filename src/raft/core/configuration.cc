#include "raft/core/configuration.h"

#include <algorithm>

#include "raft/core/quorum.h"

namespace kv::raft {

namespace {

using Nodes = std::vector<NodeId>;

bool has(const Nodes& nodes, NodeId id) { return std::binary_search(nodes.begin(), nodes.end(), id); }

void insert(Nodes& nodes, NodeId id) {
  const auto at = std::lower_bound(nodes.begin(), nodes.end(), id);
  if (at == nodes.end() || *at != id) nodes.insert(at, id);
}

void erase(Nodes& nodes, NodeId id) {
  const auto at = std::lower_bound(nodes.begin(), nodes.end(), id);
  if (at != nodes.end() && *at == id) nodes.erase(at);
}

bool ascending(const Nodes& nodes) {
  return std::adjacent_find(nodes.begin(), nodes.end(), std::greater_equal<>()) == nodes.end() &&
         !has(nodes, NodeId(0));
}

bool disjoint(const Nodes& a, const Nodes& b) {
  return std::none_of(a.begin(), a.end(), [&](NodeId id) { return has(b, id); });
}

Status refuse(std::string why) { return Status(Code::kFailedPrecondition, "raft: " + std::move(why)); }

// One step towards the new configuration. Outgoing voters are left alone: until the joint configuration ends they
// still vote, so one that becomes a learner waits in learners_next.
void apply(Configuration& next, const SingleChange& change) {
  switch (change.type) {
    case ChangeType::kAddVoter:
      insert(next.voters, change.node);
      erase(next.learners, change.node);
      erase(next.learners_next, change.node);
      break;
    case ChangeType::kAddLearner:
      erase(next.voters, change.node);
      insert(has(next.outgoing, change.node) ? next.learners_next : next.learners, change.node);
      break;
    case ChangeType::kRemove:
      erase(next.voters, change.node);
      erase(next.learners, change.node);
      erase(next.learners_next, change.node);
      break;
  }
}

Result<Configuration> left_joint(const Configuration& configuration) {
  if (!configuration.joint()) return refuse("the configuration is not joint");
  Configuration next;
  next.voters = configuration.voters;
  next.learners = configuration.learners;
  for (const NodeId id : configuration.learners_next) insert(next.learners, id);
  return next;
}

}  // namespace

bool valid(const Configuration& c) {
  for (const Nodes* nodes : {&c.voters, &c.outgoing, &c.learners, &c.learners_next}) {
    if (nodes->size() > kMaxMembers || !ascending(*nodes)) return false;
  }
  if (c.voters.empty() && !(c.outgoing.empty() && c.learners.empty() && c.learners_next.empty())) return false;
  if (c.auto_leave && !c.joint()) return false;
  return members(c).size() <= kMaxMembers && disjoint(c.voters, c.learners) && disjoint(c.outgoing, c.learners) &&
         disjoint(c.voters, c.learners_next) &&
         std::includes(c.outgoing.begin(), c.outgoing.end(), c.learners_next.begin(), c.learners_next.end());
}

bool is_voter(const Configuration& c, NodeId id) { return has(c.voters, id) || has(c.outgoing, id); }

bool is_learner(const Configuration& c, NodeId id) { return !is_voter(c, id) && has(c.learners, id); }

bool is_member(const Configuration& c, NodeId id) { return is_voter(c, id) || has(c.learners, id); }

std::vector<NodeId> members(const Configuration& c) {
  Nodes all = c.voters;
  for (const NodeId id : c.outgoing) insert(all, id);
  for (const NodeId id : c.learners) insert(all, id);
  return all;
}

Result<Configuration> changed(const Configuration& configuration, const ConfigChange& change) {
  if (change.changes.empty()) {
    if (!change.leave_joint) return refuse("the change is empty");
    return left_joint(configuration);
  }
  if (change.leave_joint) return refuse("leaving the joint configuration goes with no other change");
  if (configuration.joint()) return refuse("the configuration is joint: leave it first");
  Nodes named;
  for (const SingleChange& single : change.changes) {
    if (!single.node) return refuse("node 0 is nobody");
    if (has(named, single.node)) return refuse("node " + to_string(single.node) + " is named twice");
    insert(named, single.node);
  }

  Configuration next = configuration;
  // Where there are no voters yet there is nobody to agree with.
  const bool joint = !configuration.voters.empty() && (change.joint || change.changes.size() > 1);
  if (joint) next.outgoing = configuration.voters;
  for (const SingleChange& single : change.changes) apply(next, single);
  next.auto_leave = joint && !change.joint;

  if (next.voters.empty()) return refuse("no voter would be left");
  if (members(next).size() > kMaxMembers) return refuse("too many members");
  if (next.voters == configuration.voters && next.learners == configuration.learners) {
    return refuse("the change has no effect");
  }
  return next;
}

}  // namespace kv::raft
