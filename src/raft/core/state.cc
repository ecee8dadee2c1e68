#include "raft/core/state.h"

#include <algorithm>

#include "base/check.h"

namespace kv::raft {

namespace {

// Terms and indexes beyond this are nobody's honest numbers; below it sums can't overflow.
constexpr uint64_t kMaxNumber = uint64_t{1} << 62;

// A snapshot may take long; this many election timeouts without a word of it, and the leader asks again.
constexpr uint32_t kSnapshotPatience = 10;

bool entries_plausible(const AppendRequest& request, Term term) {
  Index index = request.previous_index;
  Term last = request.previous_term;
  for (const Entry& entry : request.entries) {
    if (entry.index != index + 1 || entry.term < last || entry.type > EntryType::kConfigChange) return false;
    index = entry.index;
    last = entry.term;
  }
  return last <= term && index.value() < kMaxNumber;
}

}  // namespace

std::string_view role_name(Role role) {
  switch (role) {
    case Role::kFollower: return "follower";
    case Role::kPreCandidate: return "pre-candidate";
    case Role::kCandidate: return "candidate";
    case Role::kLeader: return "leader";
  }
  return "unknown";
}

Core::State::State(const CoreOptions& options, const InitialState& initial, const LogReader& reader)
    : options_(options),
      random_(options.seed),
      log_(reader, options.max_cached_bytes),
      hard_(initial.hard_state),
      configuration_(initial.configuration),
      applied_(initial.applied),
      handed_out_(initial.applied) {
  KV_CHECK(options.id, "a member needs an id");
  KV_CHECK(options.election_ticks > options.heartbeat_ticks && options.heartbeat_ticks > 0,
           "a leader must be heard more often than an election starts");
  KV_CHECK(options.max_append_bytes > 0 && options.max_inflight_appends > 0 && options.max_inflight_bytes > 0 &&
               options.max_committed_bytes > 0,
           "a limit of 0 lets nothing through");
  KV_CHECK(valid(configuration_), "the configuration is not one");
  KV_CHECK(applied_ <= log_.last() && applied_ + 1 >= log_.first(), "the log does not continue the applied state");
  // The commit index on disk may lag behind what was applied.
  hard_.commit = std::max(hard_.commit, applied_);
  KV_CHECK(hard_.commit <= log_.last(), "committed entries are missing from the log");
  hard_handed_out_ = hard_;
  if (log_.last_term() > hard_.term) {
    // A crash came between the installation of a snapshot and the hard state that goes with it. No vote was given in
    // that term: it would be on disk.
    KV_CHECK(log_.first() > log_.last(), "the log is ahead of the term on disk");
    hard_.term = log_.last_term();
    hard_.vote = NodeId(0);
  }

  const std::optional<Term> applied_term = log_.term(applied_);
  KV_CHECK(applied_term.has_value(), "the log does not know the term of the applied index");
  snapshot_ = {applied_, *applied_term, configuration_};

  for (Index next = applied_ + 1; next <= log_.last();) {
    const auto entries = log_.entries(next, log_.last() + 1, 1 << 20);
    KV_CHECK(entries && !entries->empty(), "the log has a hole");
    for (const Entry& entry : *entries) {
      if (entry.type == EntryType::kConfigChange) unapplied_changes_.push_back(entry.index);
    }
    next = entries->back().index + 1;
  }
  // A restarted member must not take an answer to its former self's read for one of its own.
  next_batch_ = random_.next() >> 1;
  reset_election_timer();
}

NodeId Core::State::leader() const {
  if (is_leader()) return options_.id;
  const Follower* follower = std::get_if<Follower>(&role_);
  return follower ? follower->leader : NodeId(0);
}

// ---- roles ----------------------------------------------------------------------------------------------------

void Core::State::leave_role() {
  if (Follower* follower = std::get_if<Follower>(&role_)) {
    answer_reads(follower->reads.abandon(), Index(0));
  } else if (Leader* leader = as_leader()) {
    answer_reads(leader->reads.abandon(), Index(0));
  }
}

void Core::State::become_follower(Term term, NodeId leader) {
  const bool led = is_leader();
  leave_role();
  if (term > hard_.term) {
    hard_.term = term;
    hard_.vote = NodeId(0);
  }
  role_ = Follower{.leader = leader, .reads = {}};
  if (led) reset_election_timer();
}

void Core::State::reset_election_timer() {
  election_elapsed_ = 0;
  // 3.4: spread, so that members rarely stand at the same time.
  election_timeout_ = options_.election_ticks + static_cast<uint32_t>(random_.below(options_.election_ticks));
}

bool Core::State::heard_from_leader(NodeId from) {
  if (is_leader()) return false;
  Follower* follower = std::get_if<Follower>(&role_);
  if (!follower) {
    become_follower(hard_.term, from);
  } else if (!follower->leader) {
    follower->leader = from;
  } else if (follower->leader != from) {
    return false;
  }
  election_elapsed_ = 0;
  return true;
}

// ---- time -----------------------------------------------------------------------------------------------------

void Core::State::tick() {
  ++election_elapsed_;
  if (Leader* leader = as_leader()) {
    tick_leader(*leader);
    return;
  }
  if (Follower* follower = std::get_if<Follower>(&role_)) {
    answer_reads(follower->reads.tick(options_.election_ticks), Index(0));
  }
  if (election_elapsed_ < election_timeout_) return;
  if (may_stand()) {
    campaign();
    return;
  }
  // A learner, say. It can't stand, but it can stop believing in a leader that is gone; so does a candidate that has
  // learned meanwhile of a committed change that it has not applied.
  reset_election_timer();
  if (leader() || role() != Role::kFollower) become_follower(hard_.term, NodeId(0));
}

void Core::State::tick_leader(Leader& leader) {
  answer_reads(leader.reads.tick(options_.election_ticks), Index(0));
  for (Peer& peer : leader.peers) peer.progress.tick(kSnapshotPatience * options_.election_ticks);
  if (leader.transferee && ++leader.transfer_elapsed >= options_.election_ticks) abort_transfer(leader);
  if (election_elapsed_ >= options_.election_ticks) {
    election_elapsed_ = 0;
    if (options_.check_quorum) {
      check_quorum(leader);
      if (!is_leader()) return;
    }
  }
  if (++leader.heartbeat_elapsed >= options_.heartbeat_ticks) {
    leader.heartbeat_elapsed = 0;
    send_heartbeats(leader);
  }
}

// ---- messages -------------------------------------------------------------------------------------------------

bool Core::State::plausible(const Message& message) const {
  if (message.to != options_.id || !message.from || message.from == options_.id) return false;
  if (!message.term || message.term.value() >= kMaxNumber) return false;
  const auto small = [](Index index) { return index.value() < kMaxNumber; };
  if (const auto* append = std::get_if<AppendRequest>(&message.body)) {
    return small(append->previous_index) && (append->previous_index || !append->previous_term) &&
           entries_plausible(*append, message.term);
  }
  if (const auto* vote = std::get_if<VoteRequest>(&message.body)) {
    return vote->last_term < message.term && small(vote->commit);
  }
  if (const auto* reply = std::get_if<VoteReply>(&message.body)) return small(reply->commit);
  if (const auto* reply = std::get_if<AppendReply>(&message.body)) {
    return small(reply->index) && small(reply->hint_index);
  }
  if (const auto* offer = std::get_if<SnapshotOffer>(&message.body)) {
    return small(offer->meta.index) && offer->meta.term <= message.term && valid(offer->meta.configuration) &&
           !offer->meta.configuration.voters.empty();
  }
  return true;
}

void Core::State::step(Message message) {
  if (!plausible(message)) return;
  if (const auto* vote = std::get_if<VoteRequest>(&message.body)) learn_commit(vote->commit, vote->commit_term);
  if (const auto* vote = std::get_if<VoteReply>(&message.body)) learn_commit(vote->commit, vote->commit_term);
  if (message.term < hard_.term) {
    answer_stale(message);
    return;
  }
  if (message.term > hard_.term) {
    const auto* request = std::get_if<VoteRequest>(&message.body);
    const auto* reply = std::get_if<VoteReply>(&message.body);
    if (request && !request->transfer && must_ignore(message.from, request->pre_vote)) return;
    // A pre-vote asks and answers about a term that nobody is in yet (9.6): it changes nobody's term.
    const bool hypothetical = (request && request->pre_vote) || (reply && reply->pre_vote && reply->granted);
    if (!hypothetical) become_follower(message.term, NodeId(0));
  }
  std::visit([&](auto& body) { on(message, body); }, message.body);
}

void Core::State::answer_stale(const Message& message) {
  if (std::holds_alternative<AppendRequest>(message.body) || std::holds_alternative<Heartbeat>(message.body) ||
      std::holds_alternative<SnapshotOffer>(message.body)) {
    // A leader of an earlier term. With check-quorum or pre-vote it may be that nobody else heeds our higher term,
    // and without this answer a member that came back with one would be cut off for ever. Only the term of the
    // answer matters; its body means nothing to whoever leads in it.
    send(message.from, HeartbeatReply{});
  } else if (const auto* vote = std::get_if<VoteRequest>(&message.body)) {
    // A pre-candidate with the longer log but the lower term must learn the term, or nobody could win (9.6).
    send(message.from, with_commit(VoteReply{.pre_vote = vote->pre_vote, .granted = false}));
  } else if (const auto* read = std::get_if<ReadIndexRequest>(&message.body)) {
    send(message.from, ReadIndexReply{.id = read->id, .index = Index(0)});
  }
}

void Core::State::send(NodeId to, Term term, MessageBody body) {
  messages_.push_back({.from = options_.id, .to = to, .term = term, .body = std::move(body)});
}

void Core::State::send_when_persisted(NodeId to, MessageBody body) {
  messages_when_persisted_.push_back({.from = options_.id, .to = to, .term = hard_.term, .body = std::move(body)});
}

void Core::State::unreachable(NodeId peer) {
  if (Leader* leader = as_leader()) {
    if (Peer* known = leader->peer(peer)) known->progress.unreachable();
  }
}

}  // namespace kv::raft
