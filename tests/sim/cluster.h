// A whole simulated group: members, network, clients, and the faults that befall them. One run has two parts:
// `steps` events with faults, then all faults stop, everything is mended, and the group has a bounded time to be
// whole again (Checker and History watch both parts).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checker.h"
#include "event_queue.h"
#include "history.h"
#include "machine.h"
#include "options.h"
#include "sim_network.h"
#include "sim_node.h"
#include "trace.h"

namespace kv::sim {

// Numbers that say what a run did.
struct RunStats {
  uint64_t trace_hash = 0;
  uint64_t events = 0;
  uint64_t simulated_us = 0;
  double recovery_timeouts = 0;  // election timeouts from the end of the faults until all was well
  Counters counters;
  uint64_t leaders = 0;
  uint64_t committed = 0;
  uint64_t messages = 0;
  uint64_t writes_acknowledged = 0;
  uint64_t reads_answered = 0;
  uint64_t reads_refused = 0;
  // Of the store's machine:
  uint64_t revisions = 0;
  uint64_t answers = 0;  // that were compared with the model's
  uint64_t stores_opened = 0;
  uint64_t keep_alives = 0;
  uint64_t leases_expired = 0;
  uint64_t leases_checkpointed = 0;
  uint64_t watch_events = 0;
  uint64_t watches_resumed = 0;
  uint64_t watches_compacted = 0;
  uint64_t progress_notes = 0;
};

struct Outcome {
  std::optional<Violation> violation;
  RunStats stats;
};

class Nemesis;

class Cluster {
 public:
  Cluster(const SimOptions& options, Trace::Text text);
  ~Cluster();

  Outcome run();

  // What has happened so far, for a report from a process that is about to end.
  const Trace& trace() const { return trace_; }
  const Checker& checker() const { return checker_; }

  // ---- for the nemesis ----
  const SimOptions& options() const { return options_; }
  EventQueue& events() { return events_; }
  Checker& checker() { return checker_; }
  const raft::SnapshotMeta& origin() const { return origin_; }
  SimNetwork& network() { return *network_; }
  Counters& counters() { return counters_; }
  bool faults_on() const { return faults_on_; }
  SimNode* node(raft::NodeId id);
  std::vector<SimNode*> all_nodes();
  std::vector<SimNode*> running_nodes();
  // A member that believes itself leader, when there is one that could answer.
  SimNode* some_leader(Random& random);
  // Makes the process of a member that shall join, unless it is there.
  void ensure_node(raft::NodeId id);
  uint32_t node_ids() const { return options_.voters + options_.spares; }

  template <typename Line>
  void note(uint64_t digest, Line&& line) {
    note_of(raft::NodeId(0), digest, std::forward<Line>(line));
  }
  template <typename Line>
  void note_of(raft::NodeId node, uint64_t digest, Line&& line) {
    trace_.note(events_.now_us(), node.value(), digest, std::forward<Line>(line));
  }

 private:
  void boot();
  SimNode* make_node(raft::NodeId id, const LogImage& log, const raft::SnapshotMeta& start);
  void deliver(raft::Message message);
  void fetch_snapshot(SimNode& to, raft::NodeId from, const raft::SnapshotMeta& meta);
  void client_writes();
  void client_reads();
  SimNode* pick_for_client();

  void heal();
  void settle();
  void run_members_only();
  bool all_is_well();
  uint64_t election_timeout_us() const { return 2 * options_.core.election_ticks * options_.tick_us; }
  std::string describe_members();

  const SimOptions options_;
  EventQueue events_;
  Trace trace_;
  Checker checker_;
  History history_;
  Counters counters_;
  Random random_;
  Surroundings surroundings_;
  raft::SnapshotMeta origin_;
  std::unique_ptr<SimNetwork> network_;
  std::unique_ptr<Machine> machine_;  // outlives the nodes
  std::map<raft::NodeId, std::unique_ptr<SimNode>> nodes_;
  std::unique_ptr<Nemesis> nemesis_;
  bool faults_on_ = true;

  // After the faults:
  uint64_t healed_at_us_ = 0;
  uint64_t recovery_max_us_ = 0;
  uint64_t next_attempt_us_ = 0;
  std::vector<uint64_t> last_writes_;
  raft::Index last_write_index_;  // of one that was acknowledged
  bool last_reads_asked_ = false;
};

}  // namespace kv::sim
