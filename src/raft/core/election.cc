// Elections: who may stand, who is voted for, and what keeps members without a chance from disturbing a leader.
#include <utility>

#include "base/check.h"
#include "raft/core/state.h"

namespace kv::raft {

// ---- standing -------------------------------------------------------------------------------------------------

bool Core::State::may_stand() const {
  if (installing_ || !is_voter(configuration_, options_.id)) return false;
  // Configurations take effect when they are applied, so a member may lag behind the leader's. By at most one: the
  // entry of a change is only sent after the change before it was applied by a leader, and with a commit index
  // that says so. Who then stands only after having applied what it knows to be committed asks voters of whom any
  // majority meets any majority of the present configuration (4.1).
  return unapplied_changes_.empty() || unapplied_changes_.front() > hard_.commit;
}

void Core::State::campaign() {
  if (!is_leader() && may_stand()) stand(/*transfer=*/false);
}

void Core::State::stand(bool transfer) {
  // A transfer needs no pre-vote: the leader itself has asked for the election (3.10).
  if (options_.pre_vote && !transfer) {
    become_pre_candidate();
  } else {
    become_candidate(transfer);
  }
}

void Core::State::become_pre_candidate() {
  leave_role();
  // 9.6: neither term nor vote changes before a majority says that it would vote for us.
  PreCandidate& candidate = role_.emplace<PreCandidate>();
  reset_election_timer();
  candidate.ballot.record(options_.id, true);
  if (candidate.ballot.result(configuration_) == VoteResult::kWon) {
    become_candidate(/*transfer=*/false);
    return;
  }
  request_votes(/*pre_vote=*/true, /*transfer=*/false);
}

void Core::State::become_candidate(bool transfer) {
  leave_role();
  ++hard_.term;
  hard_.vote = options_.id;
  role_.emplace<Candidate>();  // its own vote counts once it is on disk, see persisted()
  reset_election_timer();
  request_votes(/*pre_vote=*/false, transfer);
}

void Core::State::request_votes(bool pre_vote, bool transfer) {
  const VoteRequest request = with_commit(VoteRequest{
      .pre_vote = pre_vote, .transfer = transfer, .last_index = log_.last(), .last_term = log_.last_term()});
  for (const NodeId id : members(configuration_)) {
    if (id == options_.id || !is_voter(configuration_, id)) continue;
    if (pre_vote) {
      send(id, hard_.term + 1, request);
    } else {
      // Waits for the disk: a candidate that forgot its term in a crash could stand in it again with a shorter
      // log, and win with a vote that was given to the longer one.
      send_when_persisted(id, request);
    }
  }
}

void Core::State::count_votes() {
  if (const auto* pre = std::get_if<PreCandidate>(&role_)) {
    const VoteResult result = pre->ballot.result(configuration_);
    if (result == VoteResult::kWon) become_candidate(/*transfer=*/false);
    if (result == VoteResult::kLost) become_follower(hard_.term, NodeId(0));
  } else if (const auto* candidate = std::get_if<Candidate>(&role_)) {
    const VoteResult result = candidate->ballot.result(configuration_);
    if (result == VoteResult::kWon) become_leader();
    if (result == VoteResult::kLost) become_follower(hard_.term, NodeId(0));
  }
}

void Core::State::become_leader() {
  KV_CHECK(std::holds_alternative<Candidate>(role_), "only a candidate becomes leader");
  Leader& leader = role_.emplace<Leader>();
  election_elapsed_ = 0;
  for (const NodeId id : members(configuration_)) {
    if (id != options_.id) leader.peers.push_back(make_peer(id));
  }
  leader.term_start = log_.last() + 1;
  append_own(leader, EntryType::kNoop, std::make_shared<const std::string>());
}

void Core::State::stream_lost(NodeId peer) {
  unreachable(peer);
  const Follower* follower = std::get_if<Follower>(&role_);
  if (!options_.pre_vote || !follower || !follower->leader || follower->leader != peer) return;
  become_follower(hard_.term, NodeId(0));
  // Soon, but not all at once: the others have lost it at the same moment.
  election_elapsed_ = 0;
  election_timeout_ = 1 + static_cast<uint32_t>(random_.below(1 + options_.election_ticks / 4));
}

// ---- voting ---------------------------------------------------------------------------------------------------

bool Core::State::must_ignore(NodeId candidate, bool pre_vote) const {
  // 9.6 asks the same of pre-votes, whether the leader checks its quorum or not.
  if (!options_.check_quorum && !(pre_vote && options_.pre_vote)) return false;
  // The leader itself would not stand if it still led.
  return leader() && leader() != candidate && election_elapsed_ < options_.election_ticks;
}

void Core::State::on(const Message& message, const VoteRequest& request) {
  // 3.6.1: the candidate's log must be at least as up to date as ours.
  const bool up_to_date = request.last_term > log_.last_term() ||
                          (request.last_term == log_.last_term() && request.last_index >= log_.last());
  // One vote a term. Who knows the term's leader has none left to give. A learner does vote: it may have been
  // promoted without knowing it yet, and whoever stands counts only those that it knows to be voters.
  const bool free =
      hard_.vote == message.from || (!hard_.vote && !leader()) || (request.pre_vote && message.term > hard_.term);
  const bool granted = up_to_date && free;
  VoteReply reply{.pre_vote = request.pre_vote, .granted = granted};
  if (!granted) reply = with_commit(reply);
  if (request.pre_vote) {
    // Granted, it speaks of the term that was asked about. Refused, of our own, which may be news.
    send(message.from, granted ? message.term : hard_.term, reply);
  } else if (granted) {
    hard_.vote = message.from;
    election_elapsed_ = 0;
    send_when_persisted(message.from, reply);
  } else {
    send(message.from, reply);
  }
}

void Core::State::learn_commit(Index commit, Term term) {
  // What one member knows to be committed is committed, whoever says it and however late; and by log matching, who has
  // that very entry has all before it. A member may need this to learn its own place: of two voters one was removed
  // or the other promoted, the one who knows of it has the shorter log or can't stand, and the other would wait for a
  // leader for ever.
  if (!term || is_leader() || installing_) return;
  if (log_.matches(commit, term)) commit_to(commit);
}

void Core::State::on(const Message& message, const VoteReply& reply) {
  if (!is_voter(configuration_, message.from)) return;
  if (auto* pre = std::get_if<PreCandidate>(&role_)) {
    const Term expected = reply.granted ? hard_.term + 1 : hard_.term;
    if (!reply.pre_vote || message.term != expected) return;
    pre->ballot.record(message.from, reply.granted);
  } else if (auto* candidate = std::get_if<Candidate>(&role_)) {
    if (reply.pre_vote) return;
    candidate->ballot.record(message.from, reply.granted);
  } else {
    return;
  }
  count_votes();
}

// ---- a leader that has lost its followers ---------------------------------------------------------------------

void Core::State::check_quorum(Leader& leader) {
  const bool alive = quorum_of(configuration_, [&](NodeId id) {
    const Peer* peer = leader.peer(id);
    return id == options_.id || (peer && peer->recently_active);
  });
  if (!alive) {
    become_follower(hard_.term, NodeId(0));
    return;
  }
  for (Peer& peer : leader.peers) peer.active_before = std::exchange(peer.recently_active, false);
}

void Core::State::step_down() {
  if (!std::holds_alternative<Follower>(role_)) become_follower(hard_.term, NodeId(0));
  reset_election_timer();
}

// ---- leader transfer (3.10) -----------------------------------------------------------------------------------

void Core::State::transfer_leadership(NodeId to) {
  Leader* leader = as_leader();
  if (!leader || to == options_.id || !is_voter(configuration_, to) || leader->transferee == to) return;
  // From here on nothing is proposed, so the other can catch up.
  leader->transferee = to;
  leader->transfer_elapsed = 0;
  continue_transfer(*leader, *leader->peer(to));
}

void Core::State::continue_transfer(Leader& leader, const Peer& peer) {
  if (leader.transferee == peer.id && peer.progress.match() == log_.last()) send(peer.id, TimeoutNow{});
}

void Core::State::abort_transfer(Leader& leader) {
  leader.transferee = NodeId(0);
  leave_joint_if_due();
}

void Core::State::on(const Message& message, const TimeoutNow&) {
  Follower* follower = std::get_if<Follower>(&role_);
  if (!follower || follower->leader != message.from) return;
  if (may_stand()) {
    stand(/*transfer=*/true);
  } else if (!installing_ && is_voter(configuration_, options_.id)) {
    follower->stand_when_applied = true;
  }
}

}  // namespace kv::raft
