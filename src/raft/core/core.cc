// The border of the core: proposals, reads, acknowledgements, and the Ready that collects what came of them.
#include "raft/core/core.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/core/state.h"

namespace kv::raft {

// ---- proposals ------------------------------------------------------------------------------------------------

Result<Index> Core::State::propose(Payload data) {
  KV_CHECK(data, "a proposal has bytes, if none then an empty string");
  const size_t bytes = Entry{.index = {}, .term = {}, .data = data}.bytes();
  if (Leader* leader = as_leader()) {
    if (!takes_proposals(*leader)) return Status(Code::kUnavailable, "etcdserver: leader changed");
    if (leader->uncommitted_bytes > 0 && leader->uncommitted_bytes + bytes > options_.max_uncommitted_bytes) {
      return Status(Code::kResourceExhausted, "etcdserver: too many requests");
    }
    return append_own(*leader, EntryType::kCommand, std::move(data));
  }
  const NodeId to = leader();
  if (!to) return Status(Code::kUnavailable, "etcdserver: no leader");
  if (forwarded_bytes_ > 0 && forwarded_bytes_ + bytes > options_.max_inflight_bytes) {
    return Status(Code::kResourceExhausted, "etcdserver: too many requests");
  }
  forwarded_bytes_ += bytes;
  send(to, Forward{.type = EntryType::kCommand, .data = std::move(data)});
  return Index(0);
}

// ---- linearizable reads (6.4) ---------------------------------------------------------------------------------

void Core::State::read_index(uint64_t id) {
  if (Leader* leader = as_leader()) {
    if (leader->reads.size() < options_.max_pending_reads) {
      leader->reads.add({id, NodeId(0)});
      return;
    }
  } else if (Follower* follower = std::get_if<Follower>(&role_)) {
    if (follower->leader && follower->reads.size() < options_.max_pending_reads) {
      follower->reads.add(id);
      return;
    }
  }
  reads_.push_back({id, Index(0)});
}

void Core::State::on(const Message& message, const ReadIndexRequest& request) {
  Leader* leader = as_leader();
  if (!leader || !leader->peer(message.from) || leader->reads.size() >= options_.max_pending_reads) {
    send(message.from, ReadIndexReply{.id = request.id, .index = Index(0)});
    return;
  }
  leader->reads.add({request.id, message.from});
}

void Core::State::on(const Message& message, const ReadIndexReply& reply) {
  Follower* follower = std::get_if<Follower>(&role_);
  if (!follower || follower->leader != message.from) return;
  answer_reads(follower->reads.answered(reply.id), reply.index);
}

bool Core::State::wants_read_round(const Leader& leader) const {
  // 6.4, step 1: before an entry of its own term is committed, a leader may not know what is.
  return leader.reads.wants_round() && hard_.commit >= leader.term_start;
}

void Core::State::begin_read_round(Leader& leader) {
  leader.reads.begin(hard_.commit);
  confirm_reads(leader);  // a lone voter is its own quorum
  if (leader.reads.under_way()) send_heartbeats(leader);
}

void Core::State::confirm_reads(Leader& leader) {
  if (!leader.reads.under_way()) return;
  const bool confirmed = quorum_of(configuration_, [&](NodeId id) {
    const Peer* peer = leader.peer(id);
    return id == options_.id || (peer && peer->confirmed_round >= leader.reads.round());
  });
  if (confirmed) answer_reads(leader.reads.confirmed(), leader.reads.index());
}

void Core::State::answer_reads(std::vector<ReadRounds::Read> reads, Index index) {
  for (const ReadRounds::Read& read : reads) {
    if (read.from) {
      send(read.from, ReadIndexReply{.id = read.id, .index = index});
    } else {
      reads_.push_back({read.id, index});
    }
  }
}

void Core::State::answer_reads(const std::vector<uint64_t>& ids, Index index) {
  for (const uint64_t id : ids) reads_.push_back({id, index});
}

// ---- acknowledgements -----------------------------------------------------------------------------------------

void Core::State::persisted(uint64_t ready_number) {
  KV_CHECK(ready_number <= ready_number_, "that Ready was not handed out yet");
  log_.wrote(ready_number);
  while (!self_votes_.empty() && self_votes_.front().ready_number <= ready_number) {
    auto* candidate = std::get_if<Candidate>(&role_);
    if (candidate && self_votes_.front().term == hard_.term) candidate->ballot.record(options_.id, true);
    self_votes_.pop_front();
  }
  if (is_leader()) {
    advance_commit();
  } else {
    count_votes();
  }
  log_.trim(hard_.commit);
}

void Core::State::applied(Index index) {
  KV_CHECK(index <= handed_out_, "applied what was not handed out");
  if (index <= applied_) return;
  applied_ = index;
  while (!applying_.empty() && applying_.front().last <= index) {
    applying_bytes_ -= applying_.front().bytes;
    applying_.pop_front();
  }
  while (!unapplied_changes_.empty() && unapplied_changes_.front() <= index) unapplied_changes_.pop_front();
  leave_joint_if_due();
  const Follower* follower = std::get_if<Follower>(&role_);
  if (follower && follower->stand_when_applied && may_stand()) stand(/*transfer=*/true);
}

// ---- Ready ----------------------------------------------------------------------------------------------------

bool Core::State::may_hand_out_committed() const {
  // Not beyond our own disk: the state machine must never hold what a crash takes out of the log.
  return handed_out_ < std::min(hard_.commit, log_.written()) && !installing_ &&
         applying_bytes_ < options_.max_committed_bytes;
}

void Core::State::hand_out_committed(Ready& ready) {
  const Index last = std::min(hard_.commit, log_.written());
  auto entries = log_.entries(handed_out_ + 1, last + 1, options_.max_committed_bytes - applying_bytes_);
  KV_CHECK(entries && !entries->empty(), "committed entries are missing from the log");
  ready.committed = std::move(*entries);
  handed_out_ = ready.committed.back().index;
  size_t bytes = 0;
  for (const Entry& entry : ready.committed) bytes += entry.bytes();
  applying_.push_back({handed_out_, bytes});
  applying_bytes_ += bytes;
}

bool Core::State::has_ready() const {
  if (!messages_.empty() || !messages_when_persisted_.empty() || !reads_.empty() || log_.has_unwritten() ||
      hard_ != hard_handed_out_ || soft_state() != soft_handed_out_ || may_hand_out_committed() ||
      (installing_ && !installing_->handed_out)) {
    return true;
  }
  if (const Leader* leader = as_leader()) {
    return wants_read_round(*leader) ||
           std::any_of(leader->peers.begin(), leader->peers.end(), [&](const Peer& p) { return wants_append(p); });
  }
  const Follower* follower = std::get_if<Follower>(&role_);
  return follower && follower->reads.wants_batch();
}

Ready Core::State::take_ready() {
  // Requests are made here and not where their cause came in, so that a Ready carries one for many proposals.
  if (Leader* leader = as_leader()) {
    if (wants_read_round(*leader)) begin_read_round(*leader);
    for (Peer& peer : leader->peers) send_appends(peer);
  } else if (Follower* follower = std::get_if<Follower>(&role_); follower && follower->reads.wants_batch()) {
    follower->reads.begin(++next_batch_);
    send(follower->leader, ReadIndexRequest{.id = next_batch_});
  }

  Ready ready;
  ready.number = ++ready_number_;
  if (const SoftState now = soft_state(); now != soft_handed_out_) ready.soft_state = soft_handed_out_ = now;
  ready.entries = log_.take_unwritten(ready.number);
  if (hard_ != hard_handed_out_) {
    const bool promise = hard_.term != hard_handed_out_.term || hard_.vote != hard_handed_out_.vote;
    if (promise && hard_.vote == options_.id) self_votes_.push_back({ready.number, hard_.term});
    ready.must_sync = promise;
    ready.hard_state = hard_handed_out_ = hard_;
  }
  ready.must_sync = ready.must_sync || !ready.entries.empty();
  ready.messages = std::exchange(messages_, {});
  ready.messages_after_persist = std::exchange(messages_when_persisted_, {});
  forwarded_bytes_ = 0;
  ready.reads = std::exchange(reads_, {});
  if (may_hand_out_committed()) hand_out_committed(ready);
  if (installing_ && !installing_->handed_out) {
    installing_->handed_out = true;
    ready.snapshot_to_install = installing_->meta;
    ready.snapshot_from = installing_->from;
  }
  return ready;
}

CoreStatus Core::State::status() const {
  CoreStatus status{.id = options_.id,
                    .soft_state = soft_state(),
                    .term = hard_.term,
                    .vote = hard_.vote,
                    .commit = hard_.commit,
                    .applied = applied_,
                    .last_index = log_.last(),
                    .transferee = {},
                    .configuration = configuration_,
                    .peers = {}};
  if (const Leader* leader = as_leader()) {
    status.transferee = leader->transferee;
    for (const Peer& peer : leader->peers) {
      status.peers.push_back({.id = peer.id,
                              .match = peer.progress.match(),
                              .next = peer.progress.next(),
                              .state = peer.progress.state(),
                              .learner = is_learner(configuration_, peer.id),
                              .recently_active = peer.recently_active || peer.active_before});
    }
  }
  return status;
}

// ---- Core: nothing but a door -----------------------------------------------------------------------------------

Core::Core(const CoreOptions& options, const InitialState& state, const LogReader& log)
    : state_(std::make_unique<State>(options, state, log)) {}
Core::~Core() = default;

void Core::tick() { state_->tick(); }
void Core::step(Message message) { state_->step(std::move(message)); }
Result<Index> Core::propose(Payload data) { return state_->propose(std::move(data)); }
Result<Index> Core::propose_change(const ConfigChange& change) { return state_->propose_change(change); }
void Core::read_index(uint64_t id) { state_->read_index(id); }
void Core::transfer_leadership(NodeId to) { state_->transfer_leadership(to); }
void Core::campaign() { state_->campaign(); }
void Core::step_down() { state_->step_down(); }
void Core::persisted(uint64_t ready_number) { state_->persisted(ready_number); }
void Core::applied(Index index) { state_->applied(index); }
Configuration Core::apply_change(const ConfigChange& change) { return state_->apply_change(change); }
void Core::snapshot_installed(const SnapshotMeta& meta) { state_->snapshot_installed(meta); }
void Core::snapshot_failed() { state_->snapshot_failed(); }
void Core::log_compacted(const SnapshotMeta& meta) { state_->log_compacted(meta); }
void Core::unreachable(NodeId peer) { state_->unreachable(peer); }
void Core::stream_lost(NodeId peer) { state_->stream_lost(peer); }
bool Core::has_ready() const { return state_->has_ready(); }
Ready Core::take_ready() { return state_->take_ready(); }
CoreStatus Core::status() const { return state_->status(); }
bool Core::is_leader() const { return state_->is_leader(); }
NodeId Core::leader() const { return state_->leader(); }
Term Core::term() const { return state_->term(); }
Index Core::commit() const { return state_->commit(); }

}  // namespace kv::raft
