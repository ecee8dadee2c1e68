#include "raft/core_cluster.h"

#include <algorithm>

#include "base/check.h"

namespace kv::raft::test {

// ---- MemoryLog ------------------------------------------------------------------------------------------------

std::optional<Term> MemoryLog::term(Index index) const {
  if (index == snapshot_.index) return snapshot_.term;
  if (index < snapshot_.index || index > last_index()) return std::nullopt;
  return entries_[index - snapshot_.index - 1].term;
}

std::vector<Entry> MemoryLog::entries(Index from, Index to, size_t max_bytes) const {
  KV_CHECK(from >= first_index() && to <= last_index() + 1, "the core asks for what is not on disk");
  std::vector<Entry> out;
  size_t bytes = 0;
  for (Index i = from; i < to; ++i) {
    const Entry& entry = entries_[i - first_index()];
    bytes += entry.bytes();
    if (bytes > max_bytes && !out.empty()) break;
    out.push_back(entry);
  }
  return out;
}

void MemoryLog::append(const std::vector<Entry>& entries) {
  if (entries.empty()) return;
  const Index from = entries.front().index;
  KV_CHECK(from >= first_index() && from <= last_index() + 1, "a hole in the log");
  entries_.resize(from - first_index());
  entries_.insert(entries_.end(), entries.begin(), entries.end());
}

void MemoryLog::truncate_prefix(const SnapshotMeta& meta) {
  if (term(meta.index) == meta.term) {
    entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(meta.index - snapshot_.index));
  } else {
    entries_.clear();
  }
  snapshot_ = meta;
}

// ---- nodes ----------------------------------------------------------------------------------------------------

Node& Cluster::add(NodeId id, const std::function<void(Node&)>& prepare) {
  KV_CHECK(!nodes_.contains(id), "there is such a node");
  auto node = std::make_unique<Node>();
  node->options.id = id;
  node->options.seed = id.value();
  if (prepare) prepare(*node);
  nodes_[id] = std::move(node);
  start(id);
  return *nodes_[id];
}

Node& Cluster::node(NodeId id) {
  const auto found = nodes_.find(id);
  KV_CHECK(found != nodes_.end(), "no such node");
  return *found->second;
}

std::vector<NodeId> Cluster::ids() const {
  std::vector<NodeId> ids;
  for (const auto& [id, node] : nodes_) ids.push_back(id);
  return ids;
}

bool Cluster::running(NodeId id) const {
  const auto found = nodes_.find(id);
  return found != nodes_.end() && found->second->core;
}

void Cluster::start(NodeId id) {
  Node& n = node(id);
  KV_CHECK(!n.core, "it runs already");
  const InitialState initial{
      .hard_state = n.hard_state, .configuration = n.machine.configuration, .applied = n.machine.applied};
  n.core = std::make_unique<Core>(n.options, initial, n.log);
  n.last_hard_state = n.hard_state;
}

void Cluster::stop(NodeId id) {
  Node& n = node(id);
  n.core.reset();
  n.writes.clear();
  n.to_apply.clear();
  n.installing.reset();
  ++n.options.seed;
}

bool Cluster::ready(NodeId id) {
  Node& n = node(id);
  if (!n.core || !n.core->has_ready()) return false;
  Ready ready = n.core->take_ready();
  KV_CHECK(ready.soft_state || ready.hard_state || !ready.entries.empty() || !ready.messages.empty() ||
               !ready.messages_after_persist.empty() || !ready.committed.empty() || !ready.reads.empty() ||
               ready.snapshot_to_install,
           "a Ready with nothing in it");
  const std::string me = to_string(id);
  if (ready.soft_state) {
    const SoftState& soft = *ready.soft_state;
    const std::string in_term = " in term " + to_string(n.core->term());
    if (soft.role == Role::kFollower) {
      say(me + (soft.leader ? " follows " + to_string(soft.leader) : " is a follower without a leader") + in_term);
    } else {
      say(me + " is " + std::string(role_name(soft.role)) + in_term);
    }
  }
  std::string write;
  if (ready.hard_state) {
    const HardState& now = *ready.hard_state;
    if (now.term != n.last_hard_state.term) write += " term " + to_string(now.term);
    if (now.vote && (now.term != n.last_hard_state.term || now.vote != n.last_hard_state.vote))
      write += " vote " + to_string(now.vote);
    if (now.commit != n.last_hard_state.commit) write += " commit " + to_string(now.commit);
    n.last_hard_state = now;
  }
  for (const Entry& entry : ready.entries) write += " " + describe(entry);
  if (!write.empty()) {
    say(me + (ready.must_sync ? " syncs" : " writes") + write + (n.hold_disk ? " (the disk is slow)" : ""));
  }
  for (const ReadState& read : ready.reads) {
    if (on_read) on_read(id, read);
    say(me + " read " + std::to_string(read.id) +
        (read.index ? " may be served at " + to_string(read.index) : " is refused"));
  }
  if (ready.snapshot_to_install) {
    n.installing = ready.snapshot_to_install;
    n.install_from = ready.snapshot_from;
    say(me + " fetches a snapshot from " + to_string(ready.snapshot_from));
  }
  send(ready.messages);
  n.to_apply.insert(n.to_apply.end(), ready.committed.begin(), ready.committed.end());
  n.writes.push_back(std::move(ready));
  if (!n.hold_disk) {
    while (persist(id)) {
    }
  }
  if (!n.hold_apply) apply(id);
  if (n.installing && !n.hold_install) install(id);
  return true;
}

bool Cluster::persist(NodeId id) {
  Node& n = node(id);
  if (n.writes.empty()) return false;
  Ready ready = std::move(n.writes.front());
  n.writes.pop_front();
  n.log.append(ready.entries);
  if (ready.hard_state) n.hard_state = *ready.hard_state;
  n.core->persisted(ready.number);
  if (n.hold_disk) say(to_string(id) + " has it on disk" + (n.writes.empty() ? "" : ", not the next"));
  send(ready.messages_after_persist);
  return true;
}

size_t Cluster::apply(NodeId id, size_t limit) {
  Node& n = node(id);
  std::string line;
  size_t count = 0;
  while (!n.to_apply.empty() && count < limit) {
    const Entry entry = std::move(n.to_apply.front());
    n.to_apply.pop_front();
    ++count;
    KV_CHECK(entry.index == n.machine.applied + 1, "applied out of order");
    n.machine.applied = entry.index;
    n.machine.applied_term = entry.term;
    line += " " + describe(entry);
    if (on_apply) on_apply(id, entry);
    if (entry.type == EntryType::kConfigChange) {
      n.machine.configuration = n.core->apply_change(decode_config_change(*entry.data).value());
      line += " -> " + describe(n.machine.configuration);
    } else if (entry.type == EntryType::kCommand) {
      n.machine.commands.push_back(*entry.data);
    }
  }
  if (count == 0) return 0;
  say(to_string(id) + " applies" + line);
  n.core->applied(n.machine.applied);
  return count;
}

void Cluster::install(NodeId id) {
  Node& n = node(id);
  KV_CHECK(n.installing, "nothing to install");
  if (!running(n.install_from) || cut_.contains({n.install_from, id})) {
    fail_install(id);
    return;
  }
  // Writes stay in order: the log is not replaced before what was to be written has been.
  while (persist(id)) {
  }
  // The machine as it is now, which may be further than what was offered.
  n.machine = node(n.install_from).machine;
  const SnapshotMeta meta{n.machine.applied, n.machine.applied_term, n.machine.configuration};
  n.log.truncate_prefix(meta);
  n.installing.reset();
  n.to_apply.clear();
  say(to_string(id) + " has installed " + place(meta.index, meta.term) + " " + describe(meta.configuration));
  n.core->snapshot_installed(meta);
}

void Cluster::fail_install(NodeId id) {
  Node& n = node(id);
  KV_CHECK(n.installing, "nothing to install");
  n.installing.reset();
  say(to_string(id) + " could not install the snapshot");
  n.core->snapshot_failed();
}

void Cluster::compact(NodeId id, Index index) {
  Node& n = node(id);
  const SnapshotMeta meta{index, n.log.term(index).value(), n.machine.configuration};
  n.log.truncate_prefix(meta);
  if (n.core) n.core->log_compacted(meta);
}

// ---- the network ----------------------------------------------------------------------------------------------

void Cluster::send(std::vector<Message>& messages) {
  for (Message& message : messages) queue(message.from, message.to).push_back(std::move(message));
  messages.clear();
}

void Cluster::deliver(NodeId from, NodeId to, const std::string& note) {
  std::deque<Message>& waiting = queue(from, to);
  KV_CHECK(!waiting.empty(), "nothing to deliver");
  Message message = std::move(waiting.front());
  waiting.pop_front();
  const bool lost = cut_.contains({from, to}) || !running(to);
  say(describe(message) + note + (lost ? " -- lost" : ""));
  if (!lost) node(to).core->step(std::move(message));
}

void Cluster::drop(NodeId from, NodeId to) {
  std::deque<Message>& waiting = queue(from, to);
  KV_CHECK(!waiting.empty(), "nothing to drop");
  say(describe(waiting.front()) + " -- lost");
  waiting.pop_front();
}

bool Cluster::stabilize(const std::vector<NodeId>& only) {
  const auto meant = [&](NodeId id) { return only.empty() || std::find(only.begin(), only.end(), id) != only.end(); };
  for (int round = 0; round < 1000; ++round) {
    bool moved = false;
    for (const NodeId id : ids()) {
      if (!meant(id) || !running(id)) continue;
      for (int i = 0; i < 1000 && ready(id); ++i) moved = true;
    }
    for (auto& [link, waiting] : network_) {
      if (!meant(link.first) || !meant(link.second)) continue;
      // Not those that are sent meanwhile.
      for (size_t count = waiting.size(); count > 0; --count) {
        deliver(link.first, link.second);
        moved = true;
      }
    }
    if (!moved) return true;
  }
  return false;
}

// ---- words ----------------------------------------------------------------------------------------------------

std::string Cluster::place(Index index, Term term) { return to_string(index) + "@" + to_string(term); }

std::string Cluster::describe(const ConfigChange& change) {
  static const char* const kNames[] = {"add-voter", "add-learner", "remove"};
  if (change.leave_joint) return "leave-joint";
  std::string out = change.joint ? "joint" : "";
  for (const SingleChange& single : change.changes) {
    if (!out.empty()) out += " ";
    out += std::string(kNames[static_cast<size_t>(single.type)]) + "=" + to_string(single.node);
  }
  return out;
}

std::string Cluster::describe(const Configuration& c) {
  const auto list = [](const char* name, const std::vector<NodeId>& ids) {
    if (ids.empty()) return std::string();
    std::string out = name;
    for (const NodeId id : ids) out += " " + to_string(id);
    return out;
  };
  std::string out = "(" + list("voters", c.voters) + list(" outgoing", c.outgoing) + list(" learners", c.learners) +
                    list(" learners-next", c.learners_next);
  return out + (c.joint() && !c.auto_leave ? " explicit)" : ")");
}

std::string Cluster::describe(const Entry& entry) {
  const std::string at = place(entry.index, entry.term);
  if (entry.type == EntryType::kNoop) return at + ":noop";
  if (entry.type == EntryType::kConfigChange) {
    const auto change = decode_config_change(*entry.data);
    return at + ":[" + (change ? describe(*change) : "?") + "]";
  }
  return at + ":" + (entry.data->size() > 24 ? std::to_string(entry.data->size()) + "-bytes" : *entry.data);
}

std::string Cluster::batch_name(NodeId asker, uint64_t number) {
  size_t next = 1;
  for (const auto& [key, name] : batches_) {
    if (key.first == asker) ++next;
  }
  return "#" + std::to_string(batches_.try_emplace({asker, number}, next).first->second);
}

std::string Cluster::describe(const Message& m) {
  const std::string head = to_string(m.from) + "->" + to_string(m.to) + " term " + to_string(m.term) + " ";
  struct Words {
    Cluster& cluster;
    const Message& m;
    std::string operator()(const VoteRequest& v) const {
      return std::string(v.pre_vote ? "pre-vote?" : "vote?") + " log ends at " + place(v.last_index, v.last_term) +
             (v.transfer ? " (the leader asked for it)" : "");
    }
    std::string operator()(const VoteReply& v) const {
      return std::string(v.pre_vote ? "pre-vote" : "vote") + (v.granted ? " granted" : " refused");
    }
    std::string operator()(const AppendRequest& a) const {
      std::string out = "append after " + place(a.previous_index, a.previous_term) + ":";
      for (const Entry& entry : a.entries) out += " " + describe(entry);
      return out + (a.entries.empty() ? " nothing" : "") + "; commit " + to_string(a.commit);
    }
    std::string operator()(const AppendReply& a) const {
      if (a.accepted) return "appended up to " + to_string(a.index);
      return "append refused after " + to_string(a.index) + ", try " + place(a.hint_index, a.hint_term);
    }
    std::string operator()(const Heartbeat& h) const {
      return "heartbeat; commit " + to_string(h.commit) +
             (h.read_round ? "; read round " + std::to_string(h.read_round) : "");
    }
    std::string operator()(const HeartbeatReply& h) const {
      return "heartbeat answered" + (h.read_round ? "; read round " + std::to_string(h.read_round) : std::string());
    }
    std::string operator()(const ReadIndexRequest& r) const {
      return "read-index? " + cluster.batch_name(m.from, r.id);
    }
    std::string operator()(const ReadIndexReply& r) const {
      return "read-index " + cluster.batch_name(m.to, r.id) + (r.index ? " is " + to_string(r.index) : " refused");
    }
    std::string operator()(const Forward& f) const { return "forward " + *f.data; }
    std::string operator()(const SnapshotOffer& s) const {
      return "snapshot offered " + place(s.meta.index, s.meta.term) + " " + describe(s.meta.configuration);
    }
    std::string operator()(const SnapshotReply& s) const {
      return s.installed ? "snapshot installed, up to " + to_string(s.index) : "snapshot failed";
    }
    std::string operator()(const TimeoutNow&) const { return "timeout-now"; }
  };
  return head + std::visit(Words{*this, m}, m.body);
}

}  // namespace kv::raft::test
