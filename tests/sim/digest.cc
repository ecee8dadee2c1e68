#include "digest.h"

#include <type_traits>
#include <variant>

#include "base/checksum.h"
#include "draw.h"

namespace kv::sim {

using namespace raft;  // every name here is one of raft's

namespace {

uint64_t digest(const std::vector<NodeId>& nodes) {
  uint64_t hash = nodes.size();
  for (NodeId node : nodes) hash = mix(hash, node.value());
  return hash;
}

uint64_t digest(const std::vector<Entry>& entries) {
  uint64_t hash = entries.size();
  for (const Entry& entry : entries) hash = mix(hash, sim::digest(entry));
  return hash;
}

uint64_t digest(const SnapshotMeta& meta) {
  return mix(mix(meta.index.value(), meta.term.value()), sim::digest(meta.configuration));
}

template <typename... Numbers>
uint64_t mixed(Numbers... numbers) {
  uint64_t hash = 0;
  ((hash = mix(hash, static_cast<uint64_t>(numbers))), ...);
  return hash;
}

struct DigestBody {
  uint64_t operator()(const VoteRequest& m) const {
    return mixed(m.pre_vote, m.transfer, m.last_index.value(), m.last_term.value());
  }
  uint64_t operator()(const VoteReply& m) const { return mixed(m.pre_vote, m.granted); }
  uint64_t operator()(const AppendRequest& m) const {
    return mixed(m.previous_index.value(), m.previous_term.value(), m.commit.value(), digest(m.entries));
  }
  uint64_t operator()(const AppendReply& m) const {
    return mixed(m.accepted, m.index.value(), m.hint_index.value(), m.hint_term.value());
  }
  uint64_t operator()(const Heartbeat& m) const { return mixed(m.commit.value(), m.read_round); }
  uint64_t operator()(const HeartbeatReply& m) const { return mixed(m.read_round); }
  uint64_t operator()(const ReadIndexRequest& m) const { return mixed(m.id); }
  uint64_t operator()(const ReadIndexReply& m) const { return mixed(m.id, m.index.value()); }
  uint64_t operator()(const Forward& m) const { return mixed(m.type, m.data ? checksum(*m.data) : 0); }
  uint64_t operator()(const SnapshotOffer& m) const { return digest(m.meta); }
  uint64_t operator()(const SnapshotReply& m) const { return mixed(m.installed, m.index.value()); }
  uint64_t operator()(const TimeoutNow&) const { return 1; }
};

std::string id_list(const std::vector<NodeId>& nodes) {
  std::string out;
  for (NodeId node : nodes) out += (out.empty() ? "" : ",") + to_string(node);
  return out;
}

std::string pair(Index index, Term term) { return to_string(index) + "/" + to_string(term); }

struct DescribeBody {
  std::string operator()(const VoteRequest& m) const {
    return std::string(m.pre_vote ? "PreVote" : "Vote") + (m.transfer ? "(transfer)" : "") + " last " +
           pair(m.last_index, m.last_term);
  }
  std::string operator()(const VoteReply& m) const {
    return std::string(m.pre_vote ? "PreVoteReply" : "VoteReply") + (m.granted ? " granted" : " refused");
  }
  std::string operator()(const AppendRequest& m) const {
    return "Append after " + pair(m.previous_index, m.previous_term) + " " + describe(m.entries) + " commit " +
           to_string(m.commit);
  }
  std::string operator()(const AppendReply& m) const {
    if (m.accepted) return "AppendReply match " + to_string(m.index);
    return "AppendReply rejected " + to_string(m.index) + " hint " + pair(m.hint_index, m.hint_term);
  }
  std::string operator()(const Heartbeat& m) const {
    return "Heartbeat commit " + to_string(m.commit) + " round " + std::to_string(m.read_round);
  }
  std::string operator()(const HeartbeatReply& m) const {
    return "HeartbeatReply round " + std::to_string(m.read_round);
  }
  std::string operator()(const ReadIndexRequest& m) const { return "ReadIndex id " + std::to_string(m.id); }
  std::string operator()(const ReadIndexReply& m) const {
    return "ReadIndexReply id " + std::to_string(m.id) + " index " + to_string(m.index);
  }
  std::string operator()(const Forward&) const { return "Forward"; }
  std::string operator()(const SnapshotOffer& m) const { return "SnapshotOffer " + pair(m.meta.index, m.meta.term); }
  std::string operator()(const SnapshotReply& m) const {
    return std::string("SnapshotReply ") + (m.installed ? "installed " : "failed ") + to_string(m.index);
  }
  std::string operator()(const TimeoutNow&) const { return "TimeoutNow"; }
};

}  // namespace

uint64_t digest(const Entry& entry) {
  return mixed(entry.index.value(), entry.term.value(), entry.type, entry.data ? checksum(*entry.data) : 0);
}

uint64_t digest(const Configuration& c) {
  return mixed(digest(c.voters), digest(c.outgoing), digest(c.learners), digest(c.learners_next), c.auto_leave);
}

uint64_t digest(const Message& message) {
  const uint64_t head = mixed(message.from.value(), message.to.value(), message.term.value(), message.body.index());
  return mix(head, std::visit(DigestBody(), message.body));
}

uint64_t digest(const Ready& ready) {
  uint64_t hash = ready.number;
  if (ready.soft_state) hash = mix(hash, mixed(ready.soft_state->role, ready.soft_state->leader.value()));
  if (ready.hard_state) {
    hash = mix(hash,
               mixed(ready.hard_state->term.value(), ready.hard_state->vote.value(), ready.hard_state->commit.value()));
  }
  hash = mix(hash, mixed(digest(ready.entries), ready.must_sync, digest(ready.committed)));
  for (const Message& message : ready.messages) hash = mix(hash, digest(message));
  for (const Message& message : ready.messages_after_persist) hash = mix(hash, digest(message));
  for (const ReadState& read : ready.reads) hash = mix(hash, mixed(read.id, read.index.value()));
  if (ready.snapshot_to_install) {
    hash = mix(hash, mixed(digest(*ready.snapshot_to_install), ready.snapshot_from.value()));
  }
  return hash;
}

std::string describe(const Configuration& c) {
  std::string out = "(" + id_list(c.voters);
  if (c.joint()) out += " from " + id_list(c.outgoing);
  if (!c.learners.empty()) out += " learners " + id_list(c.learners);
  if (!c.learners_next.empty()) out += " learners-next " + id_list(c.learners_next);
  if (c.auto_leave) out += " auto-leave";
  return out + ")";
}

std::string describe(const ConfigChange& change) {
  std::string out = change.joint ? "joint" : "";
  if (change.leave_joint) out += "leave-joint";
  for (const SingleChange& single : change.changes) {
    static constexpr const char* kVerbs[] = {"voter+", "learner+", "remove-"};
    out += (out.empty() ? "" : " ") + std::string(kVerbs[static_cast<int>(single.type)]) + to_string(single.node);
  }
  return out;
}

std::string describe(const HardState& hs) {
  return "t" + to_string(hs.term) + " v" + to_string(hs.vote) + " c" + to_string(hs.commit);
}

std::string describe(const std::vector<Entry>& entries) {
  if (entries.empty()) return "[]";
  return "[" + pair(entries.front().index, entries.front().term) + ".." +
         pair(entries.back().index, entries.back().term) + "]";
}

std::string describe(const Message& message) {
  return to_string(message.from) + "->" + to_string(message.to) + " t" + to_string(message.term) + " " +
         std::visit(DescribeBody(), message.body);
}

std::string describe(const Ready& ready) {
  std::string out = "ready " + std::to_string(ready.number);
  if (ready.soft_state) {
    out += " " + std::string(role_name(ready.soft_state->role)) + " of " + to_string(ready.soft_state->leader);
  }
  if (ready.hard_state) out += " hs " + describe(*ready.hard_state);
  if (!ready.entries.empty()) out += " entries " + describe(ready.entries);
  if (ready.must_sync) out += " sync";
  if (!ready.committed.empty()) out += " committed " + describe(ready.committed);
  for (const ReadState& read : ready.reads) out += " read " + std::to_string(read.id) + "@" + to_string(read.index);
  if (ready.snapshot_to_install) {
    out += " install " + pair(ready.snapshot_to_install->index, ready.snapshot_to_install->term) + " from " +
           to_string(ready.snapshot_from);
  }
  for (const Message& message : ready.messages) out += "\n      now   " + describe(message);
  for (const Message& message : ready.messages_after_persist) out += "\n      later " + describe(message);
  return out;
}

}  // namespace kv::sim
