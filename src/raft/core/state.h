// The state behind Core, for the files of this folder only. What each file holds:
//
//   roles.h         what each role has
//   state.cc        construction, roles and what happens when they change, time, which message goes where
//   election.cc     candidates and votes: pre-vote (9.6), check-quorum (6.2), leader transfer (3.10)
//   replication.cc  appending, answering, committing, snapshots
//   membership.cc   configuration changes (4)
//   core.cc         the border: proposals, reads (6.4), acknowledgements, Ready, status
#pragma once

#include <deque>
#include <optional>
#include <variant>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "raft/core/configuration.h"
#include "raft/core/core.h"
#include "raft/core/log.h"
#include "raft/core/progress.h"
#include "raft/core/quorum.h"
#include "raft/core/reads.h"
#include "raft/core/roles.h"

namespace kv::raft {

class Core::State {
 public:
  State(const CoreOptions& options, const InitialState& initial, const LogReader& reader);

  // What Core promises, one to one.
  void tick();
  void step(Message message);
  Result<Index> propose(Payload data);
  Result<Index> propose_change(const ConfigChange& change);
  void read_index(uint64_t id);
  void transfer_leadership(NodeId to);
  void campaign();
  void step_down();
  void persisted(uint64_t ready_number);
  void applied(Index index);
  Configuration apply_change(const ConfigChange& change);
  void snapshot_installed(const SnapshotMeta& meta);
  void snapshot_failed();
  void log_compacted(const SnapshotMeta& meta);
  void unreachable(NodeId peer);
  void stream_lost(NodeId peer);
  bool has_ready() const;
  Ready take_ready();
  CoreStatus status() const;

  bool is_leader() const { return std::holds_alternative<Leader>(role_); }
  NodeId leader() const;
  Term term() const { return hard_.term; }
  Index commit() const { return hard_.commit; }

 private:
  // A snapshot that the driver was or will be asked to install.
  struct Installation {
    SnapshotMeta meta;
    NodeId from;
    bool handed_out = false;
  };

  Leader* as_leader() { return std::get_if<Leader>(&role_); }
  const Leader* as_leader() const { return std::get_if<Leader>(&role_); }
  // The alternatives stand in the order of the enumeration.
  Role role() const { return static_cast<Role>(role_.index()); }

  // ---- state.cc ----
  // Ends the present role: its reads are refused, never forgotten.
  void leave_role();
  // `leader` 0: not known. Does not touch the election timer: only a leader's message or a granted vote does (3.4).
  void become_follower(Term term, NodeId leader);
  void reset_election_timer();
  // A message came that only the leader of our term sends. False: it can't be true, drop the message.
  bool heard_from_leader(NodeId from);
  bool plausible(const Message& message) const;
  // The sender is behind our term: tell it where that helps, so that it can't be stuck there.
  void answer_stale(const Message& message);
  void send(NodeId to, Term term, MessageBody body);
  void send(NodeId to, MessageBody body) { send(to, hard_.term, std::move(body)); }
  // Leaves only when all that this member knows now is on disk.
  void send_when_persisted(NodeId to, MessageBody body);
  void tick_leader(Leader& leader);

  // ---- election.cc ----
  // Whether this member may stand: a voter, not installing a snapshot, and no committed change is unapplied.
  bool may_stand() const;
  void stand(bool transfer);
  void become_pre_candidate();
  void become_candidate(bool transfer);
  void become_leader();
  void request_votes(bool pre_vote, bool transfer);
  // A vote has come in, or the configuration has changed.
  void count_votes();
  // 4.2.3, 6.2: a leader has been heard of within the minimum election timeout, so who asks for a vote in a later
  // term is ignored: it gets no answer, and its term is not taken over.
  bool must_ignore(NodeId candidate, bool pre_vote) const;
  void on(const Message& message, const VoteRequest& request);
  // What a VoteRequest and a VoteReply say of the commit index, and what becomes of it.
  template <typename Vote>
  Vote with_commit(Vote vote) const {
    vote.commit = hard_.commit;
    vote.commit_term = log_.term(hard_.commit).value_or(Term(0));
    return vote;
  }
  void learn_commit(Index commit, Term term);
  void on(const Message& message, const VoteReply& reply);
  void on(const Message& message, const TimeoutNow&);
  void check_quorum(Leader& leader);
  void abort_transfer(Leader& leader);
  // Sends TimeoutNow when the one to whom leadership goes has everything.
  void continue_transfer(Leader& leader, const Peer& peer);

  // ---- replication.cc ----
  // Not while leadership is being handed over, or on the way out of the configuration.
  static bool takes_proposals(const Leader& leader) { return !leader.transferee && !leader.last_word; }
  Index append_own(Leader& leader, EntryType type, Payload data);
  bool wants_append(const Peer& peer) const;
  void send_appends(Peer& peer);
  void send_empty_append(Peer& peer);
  void offer_snapshot(Peer& peer);
  void send_heartbeats(Leader& leader);
  void on(const Message& message, AppendRequest& request);
  void on(const Message& message, const AppendReply& reply);
  void on(const Message& message, const Heartbeat& heartbeat);
  void on(const Message& message, const HeartbeatReply& reply);
  void on(const Message& message, const SnapshotOffer& offer);
  void on(const Message& message, const SnapshotReply& reply);
  void on(const Message& message, const Forward& forward);
  // Joining: no configuration that changes in the log could apply to, and no log that could hold it.
  bool lacks_base() const { return configuration_.voters.empty() && log_.last() == Index(0); }
  void accept_append(NodeId to, Index index);
  void follower_reached(Leader& leader, Peer& peer, Index index);
  void commit_to(Index index);
  // Looks whether a quorum has more than is committed.
  void advance_commit();
  Peer make_peer(NodeId id) const;

  // ---- membership.cc ----
  // No change is unapplied and an entry of this leader's term is committed (raft-dev, 2015).
  Status may_change(const Leader& leader) const;
  void adopt(Configuration configuration);
  void leave_joint_if_due();
  // This leader is no voter any more. It stays until a quorum knows so.
  void retire(Leader& leader);
  void resign_if_known(Leader& leader);
  // Before `peer` is lost from sight: what is committed, if that can still be said in one message.
  void say_farewell(Peer& peer);

  // ---- core.cc ----
  void on(const Message& message, const ReadIndexRequest& request);
  void on(const Message& message, const ReadIndexReply& reply);
  bool wants_read_round(const Leader& leader) const;
  void begin_read_round(Leader& leader);
  void confirm_reads(Leader& leader);
  void answer_reads(std::vector<ReadRounds::Read> reads, Index index);
  void answer_reads(const std::vector<uint64_t>& ids, Index index);
  SoftState soft_state() const { return {role(), leader()}; }
  bool may_hand_out_committed() const;
  void hand_out_committed(Ready& ready);

  const CoreOptions options_;
  Random random_;
  Log log_;
  HardState hard_;
  RoleState role_;
  Configuration configuration_;
  SnapshotMeta snapshot_;  // what followers are offered who need entries that are gone
  std::optional<Installation> installing_;

  uint32_t election_elapsed_ = 0;  // on a leader: since the last check of the quorum
  uint32_t election_timeout_ = 0;

  Index applied_;
  Index handed_out_;  // committed entries up to here are with the driver
  struct Batch {
    Index last;
    size_t bytes;
  };
  std::deque<Batch> applying_;  // handed out, not applied
  size_t applying_bytes_ = 0;
  std::deque<Index> unapplied_changes_;  // kConfigChange entries in the log beyond applied_

  // What the next Ready takes.
  std::vector<Message> messages_;
  std::vector<Message> messages_when_persisted_;
  size_t forwarded_bytes_ = 0;
  std::vector<ReadState> reads_;
  uint64_t next_batch_;  // of forwarded reads

  // What the last Ready took.
  uint64_t ready_number_ = 0;
  SoftState soft_handed_out_;
  HardState hard_handed_out_;
  struct SelfVote {
    uint64_t ready_number;
    Term term;
  };
  std::deque<SelfVote> self_votes_;  // on their way to the disk
};

}  // namespace kv::raft
