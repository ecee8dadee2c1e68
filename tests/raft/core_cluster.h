// A cluster of cores in memory, driven by hand: every node has a disk, a state machine and an inbox that the test
// may hold up, and every message waits in a queue until the test delivers, drops or duplicates it. Nothing happens
// by itself, there is no time but tick(). What happens is told to a trace, a line at a time.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/core/core.h"

namespace kv::raft::test {

// The disk's log. What the core has handed out and the disk has not confirmed is not in it.
class MemoryLog final : public LogReader {
 public:
  Index first_index() const override { return snapshot_.index + 1; }
  Index last_index() const override { return snapshot_.index + entries_.size(); }
  std::optional<Term> term(Index index) const override;
  std::vector<Entry> entries(Index from, Index to, size_t max_bytes) const override;

  void append(const std::vector<Entry>& entries);
  // As LogStore::truncate_prefix.
  void truncate_prefix(const SnapshotMeta& meta);
  const SnapshotMeta& snapshot() const { return snapshot_; }

 private:
  SnapshotMeta snapshot_;
  std::vector<Entry> entries_;
};

// The replicated state machine: it remembers what was applied.
struct Machine {
  Index applied;
  Term applied_term;
  Configuration configuration;
  std::vector<std::string> commands;
};

struct Node {
  CoreOptions options;
  // What survives a crash.
  MemoryLog log;
  HardState hard_state;
  Machine machine;

  std::unique_ptr<Core> core;  // null: stopped
  std::deque<Ready> writes;    // taken, not on disk; their later parts wait too
  std::deque<Entry> to_apply;
  std::optional<SnapshotMeta> installing;
  NodeId install_from;
  HardState last_hard_state;  // as last handed out, to tell what changed
  bool hold_disk = false;
  bool hold_apply = false;
  bool hold_install = false;
};

class Cluster {
 public:
  using Trace = std::function<void(const std::string&)>;

  explicit Cluster(Trace trace = {}) : trace_(std::move(trace)) {}

  // A new node; `prepare` may set options, log, hard state and machine before it starts.
  Node& add(NodeId id, const std::function<void(Node&)>& prepare = {});
  Node& node(NodeId id);
  std::vector<NodeId> ids() const;
  bool running(NodeId id) const;

  // ---- what a test may watch ----
  std::function<void(NodeId, const Entry&)> on_apply;
  std::function<void(NodeId, const ReadState&)> on_read;

  // ---- one step ----
  // Takes one Ready and does with it what the node's holds allow. False when there was none.
  bool ready(NodeId id);
  // The disk confirms the oldest write that waits; false: none.
  bool persist(NodeId id);
  // Applies up to `limit` entries that wait.
  size_t apply(NodeId id, size_t limit = SIZE_MAX);
  // Copies the machine of the node that has offered it; a node that is down: the installation fails.
  void install(NodeId id);
  void fail_install(NodeId id);
  // The disk forgets what was not confirmed, and so does the core all it knew.
  void stop(NodeId id);
  void start(NodeId id);
  // The log up to `index` goes, behind a snapshot.
  void compact(NodeId id, Index index);

  // ---- the network ----
  using Link = std::pair<NodeId, NodeId>;
  std::deque<Message>& queue(NodeId from, NodeId to) { return network_[{from, to}]; }
  // Delivers the oldest message of the link; `note` is added to its line in the trace.
  void deliver(NodeId from, NodeId to, const std::string& note = "");
  void drop(NodeId from, NodeId to);
  // Links on which every message is lost at delivery.
  void cut(NodeId from, NodeId to) { cut_.insert({from, to}); }
  void heal() { cut_.clear(); }
  // Steps and delivers among `only` (empty: all) until nothing is left to do. Messages to others stay queued.
  // False: it did not come to rest.
  bool stabilize(const std::vector<NodeId>& only = {});

  // ---- words ----
  std::string describe(const Message& message);
  static std::string describe(const Entry& entry);
  static std::string describe(const Configuration& configuration);
  static std::string describe(const ConfigChange& change);
  static std::string place(Index index, Term term);

 private:
  void say(const std::string& line) {
    if (trace_) trace_(line);
  }
  void send(std::vector<Message>& messages);
  std::string batch_name(NodeId asker, uint64_t number);

  Trace trace_;
  std::map<NodeId, std::unique_ptr<Node>> nodes_;
  std::map<Link, std::deque<Message>> network_;
  std::set<Link> cut_;
  // Numbers of forwarded reads begin at random; the trace counts them from 1 instead.
  std::map<std::pair<NodeId, uint64_t>, size_t> batches_;
};

}  // namespace kv::raft::test
