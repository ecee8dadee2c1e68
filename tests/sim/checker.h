// What must hold whatever fails. The checker watches every member from outside, keeps its own record of what was
// committed, and compares after every step. It sees what no member can: all logs and all disks at once.
//
// The properties are those of thesis figure 3.2 (election safety, leader append-only, log matching, leader
// completeness, state machine safety), and besides: nobody votes twice in a term, no promise leaves before it is
// on disk, what was committed stays on disks from which no election can win without it, hard state never goes
// back, configurations agree.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "raft/core/core.h"
#include "sim_disk.h"
#include "state_machine.h"

namespace kv::sim {

struct Violation {
  std::string invariant;  // a few words, always the same for one property
  std::string text;       // who, where, what
};

class Checker {
 public:
  // With `check_promises` off, only the consequences of a broken promise are looked for: the proof that the
  // deeper checks see it too.
  explicit Checker(bool check_promises) : check_promises_(check_promises) {}

  const std::optional<Violation>& violation() const { return violation_; }
  // The first one is kept.
  void fail(std::string invariant, std::string text);

  // The group's logs begin after `origin`, which counts as committed.
  void set_origin(const raft::SnapshotMeta& origin);

  // ---- what members do; `disk` and `state` must outlive the checker ----
  void started(raft::NodeId node, const raft::Core& core, const SimDisk& disk, const StateMachine& state);
  void crashed(raft::NodeId node);
  void stepped(raft::NodeId node, const raft::Core& core);
  // `ready` was taken from the core and is in disk.written().
  void took_ready(raft::NodeId node, const raft::Core& core, const raft::Ready& ready);
  void synced(raft::NodeId node);
  void sends(raft::NodeId node, const raft::Message& message);
  // The state machine has just applied `entry`. True when no member had applied this index before.
  bool applied(raft::NodeId node, const raft::Entry& entry);
  // The state machine has written itself to disk.
  void flushed(raft::NodeId node);
  // The state machine has just taken in another member's state.
  void installed(raft::NodeId node);
  // The log was truncated from the front, or begins anew after a snapshot.
  void log_begins(raft::NodeId node);

  // ---- what is known ----
  raft::Index commit() const { return max_commit_; }  // the highest that any member has shown
  // In force at the highest index that any member has applied.
  const raft::Configuration& configuration() const { return configurations_.rbegin()->second; }
  raft::Index configuration_index() const { return configurations_.rbegin()->first; }
  size_t leaders_seen() const { return leaders_.size(); }
  raft::Term highest_leader_term() const { return leaders_.empty() ? raft::Term() : leaders_.rbegin()->first; }

 private:
  struct Committed {
    raft::Term term;
    uint64_t chain = 0;      // over all entries up to this one
    raft::Term commit_term;  // the term in which it was first seen committed
    std::optional<uint64_t> state_hash;
  };
  struct Member {
    const SimDisk* disk = nullptr;
    const StateMachine* state = nullptr;
    bool running = false;
    // Of this run of the process:
    raft::Term term;
    raft::Index commit;
    raft::HardState hard_state;
    raft::Term leads;             // the term that it leads, 0: none
    raft::Term completeness_due;  // a leadership whose log is still to be checked
    raft::Index chain_start;
    uint64_t chain_start_hash = 0;
    std::deque<uint64_t> chains;  // of each entry in disk->written()
    raft::Index commit_recorded;
    // Across runs:
    raft::Term promised_term;
    std::map<raft::Term, raft::NodeId> votes;
  };

  static std::string who(raft::NodeId node) { return "n" + to_string(node); }
  void read_log_from_disk(raft::NodeId node, Member& member);
  void check_entries(raft::NodeId node, Member& member, const std::vector<raft::Entry>& entries);
  void record_vote(raft::NodeId node, raft::Term term, raft::NodeId vote, const char* how);
  void record_leader(raft::NodeId node, raft::Term term);
  void record_commit(raft::NodeId node, Member& member, raft::Index commit);
  void record_configuration(raft::NodeId node, raft::Index index, const raft::Configuration& configuration);
  void check_votes(raft::NodeId node, const raft::Core& core);
  void check_commit_rule(raft::NodeId node, const raft::Core& core, const Member& member);
  void check_leader_completeness(raft::NodeId node, Member& member);
  void check_committed_is_safe(const char* when);
  void check_promise(raft::NodeId node, const raft::Message& message, const Member& member);
  Committed* committed_at(raft::Index index);
  std::optional<uint64_t> chain_of(raft::Index index, raft::Term term) const;
  raft::Index committed_to() const { return origin_.index + committed_.size(); }

  bool check_promises_;
  std::optional<Violation> violation_;
  raft::SnapshotMeta origin_;
  std::map<raft::NodeId, Member> members_;
  std::map<raft::Term, raft::NodeId> leaders_;
  // For each index, every term that an entry there ever had, with the chain hash up to it. Log matching says
  // that index and term determine the chain.
  std::vector<std::vector<std::pair<raft::Term, uint64_t>>> chains_by_index_;
  std::vector<Committed> committed_;  // from origin_.index + 1
  raft::Index max_commit_;
  raft::Index max_applied_;
  std::map<raft::Index, raft::Configuration> configurations_;
};

}  // namespace kv::sim
