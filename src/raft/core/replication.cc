// Replication: how entries get from the leader's log into the followers' (3.5, 10.2), and when they are committed.
#include <algorithm>

#include "base/check.h"
#include "raft/core/state.h"

namespace kv::raft {

namespace {

// AppendRequests to one follower in one Ready: one that is far behind is read from disk, and must not hold up all.
constexpr size_t kAppendsPerReady = 8;

}  // namespace

// ---- the leader's side ----------------------------------------------------------------------------------------

Peer Core::State::make_peer(NodeId id) const {
  // It counts as active for one round of check-quorum, until it had a chance to answer.
  return {.id = id,
          .progress = Progress(log_.last() + 1, options_.max_inflight_appends, options_.max_inflight_bytes),
          .commit_told = Index(0),
          .confirmed_round = 0,
          .recently_active = true,
          .active_before = false,
          .told_round = 0};
}

Index Core::State::append_own(Leader& leader, EntryType type, Payload data) {
  Entry entry{.index = log_.last() + 1, .term = hard_.term, .type = type, .data = std::move(data)};
  const Index index = entry.index;
  if (type == EntryType::kConfigChange) unapplied_changes_.push_back(index);
  leader.uncommitted_bytes += entry.bytes();
  log_.append(std::move(entry));
  return index;
}

bool Core::State::wants_append(const Peer& peer) const {
  const Progress& progress = peer.progress;
  if (!progress.may_send()) return false;
  if (progress.next() <= log_.last()) return true;
  if (progress.state() == ProgressState::kProbe && progress.match() < log_.last()) return true;
  // The commit index has moved, and neither entries nor an answer that we wait for will take us there: a follower
  // that serves clients must not wait for the next heartbeat to learn what is committed.
  return progress.idle() && peer.commit_told < std::min(hard_.commit, progress.match());
}

void Core::State::send_appends(Peer& peer) {
  Progress& progress = peer.progress;
  for (size_t sent = 0; sent < kAppendsPerReady && wants_append(peer); ++sent) {
    const Index previous = progress.next() - 1;
    const std::optional<Term> previous_term = log_.term(previous);
    std::optional<std::vector<Entry>> entries;
    if (previous_term) entries = log_.entries(previous + 1, log_.last() + 1, options_.max_append_bytes);
    if (!entries) {
      offer_snapshot(peer);
      return;
    }
    const Index last = previous + entries->size();
    if (entries->empty()) {
      progress.sent_empty();
    } else {
      size_t bytes = 0;
      for (const Entry& entry : *entries) bytes += entry.bytes();
      progress.sent_entries(last, bytes);
    }
    peer.commit_told = std::max(peer.commit_told, std::min(hard_.commit, last));
    send(peer.id, AppendRequest{.previous_index = previous,
                                .previous_term = *previous_term,
                                .commit = hard_.commit,
                                .entries = std::move(*entries)});
  }
}

void Core::State::send_empty_append(Peer& peer) {
  const Index previous = peer.progress.next() - 1;
  const std::optional<Term> term = log_.term(previous);
  if (!term) {
    // What was on its way is lost and compacted meanwhile, and everything that the follower lacks with it.
    offer_snapshot(peer);
    return;
  }
  peer.commit_told = std::max(peer.commit_told, std::min(hard_.commit, previous));
  send(peer.id,
       AppendRequest{.previous_index = previous, .previous_term = *term, .commit = hard_.commit, .entries = {}});
}

void Core::State::offer_snapshot(Peer& peer) {
  peer.progress.sent_snapshot(snapshot_.index);
  send(peer.id, SnapshotOffer{.meta = snapshot_});
}

void Core::State::send_heartbeats(Leader& leader) {
  if (leader.last_word) leader.reads.renumber();
  for (Peer& peer : leader.peers) {
    // Not beyond `match`: what the follower has after it may not be what was committed (3.5).
    const Index commit = std::min(hard_.commit, peer.progress.match());
    peer.commit_told = std::max(peer.commit_told, commit);
    if (leader.last_word && !peer.told_round && commit >= leader.last_word) peer.told_round = leader.reads.round();
    send(peer.id, Heartbeat{.commit = commit, .read_round = leader.reads.round()});
  }
}

void Core::State::on(const Message& message, const AppendReply& reply) {
  Leader* leader = as_leader();
  Peer* peer = leader ? leader->peer(message.from) : nullptr;
  if (!peer) return;
  peer->recently_active = true;
  if (reply.accepted) {
    if (reply.index <= log_.last()) follower_reached(*leader, *peer, reply.index);
    return;
  }
  if (!reply.index) {
    // It refuses even the beginning of the log: it has no configuration to apply changes to (core.h, InitialState).
    if (peer->progress.state() == ProgressState::kProbe && !peer->progress.match()) offer_snapshot(*peer);
    return;
  }
  // Backtracking by conflict term (3.5, end): the follower's hint skips what is newer than our entry at `index`, and
  // here what is newer than its entry is skipped. Each round so passes over a term at least.
  const Index hint = std::min({reply.hint_index, reply.index, log_.last()});
  peer->progress.rejected(reply.index, log_.last_at_most(hint, reply.hint_term));
}

void Core::State::follower_reached(Leader& leader, Peer& peer, Index index) {
  const Index first = log_.first();
  if (!peer.progress.accepted(index, first ? first - 1 : first)) return;
  advance_commit();
  continue_transfer(leader, peer);
}

void Core::State::on(const Message& message, const HeartbeatReply& reply) {
  Leader* leader = as_leader();
  Peer* peer = leader ? leader->peer(message.from) : nullptr;
  if (!peer || reply.read_round > leader->reads.round()) return;
  peer->recently_active = true;
  peer->confirmed_round = std::max(peer->confirmed_round, reply.read_round);
  // When nothing of what is on its way has arrived since the last heartbeat, an empty request finds out whether
  // it was lost: the follower refuses it then.
  if (peer->progress.heard()) send_empty_append(*peer);
  confirm_reads(*leader);
  if (leader->last_word) resign_if_known(*leader);
}

void Core::State::on(const Message& message, const SnapshotReply& reply) {
  Leader* leader = as_leader();
  Peer* peer = leader ? leader->peer(message.from) : nullptr;
  if (!peer) return;
  peer->recently_active = true;
  if (!reply.installed) {
    peer->progress.snapshot_failed();
  } else if (reply.index <= log_.last()) {
    // What was installed is committed, so our log agrees with it up to there (3.6.3).
    follower_reached(*leader, *peer, reply.index);
  }
}

void Core::State::on(const Message&, const Forward& forward) {
  // Lost if we are not the leader: passed on it could travel in circles. Configuration changes are not forwarded.
  if (is_leader() && forward.type == EntryType::kCommand && forward.data) (void)propose(forward.data);
}

// ---- the commit index -----------------------------------------------------------------------------------------

void Core::State::advance_commit() {
  const Leader& leader = *as_leader();
  const Index reached = quorum_index(configuration_, [&](NodeId id) {
    // 10.2.1: the leader counts itself only for what its own disk holds.
    if (id == options_.id) return log_.written();
    for (const Peer& peer : leader.peers) {
      if (peer.id == id) return peer.progress.match();
    }
    return Index(0);
  });
  // 3.6.2, figure 3.7: an entry of an earlier term may be on a majority and still be overwritten. Only an entry of
  // our own term is committed by counting; with it, all before it.
  if (reached > hard_.commit && reached >= leader.term_start) commit_to(reached);
}

void Core::State::commit_to(Index index) {
  if (index <= hard_.commit) return;
  KV_CHECK(index <= log_.last(), "committing what is not there");
  if (Leader* leader = as_leader()) {
    for (Index i = std::max(hard_.commit + 1, leader->term_start); i <= index; ++i) {
      leader->uncommitted_bytes -= std::min(leader->uncommitted_bytes, log_.bytes(i));
    }
  }
  hard_.commit = index;
  log_.trim(index);
}

// ---- the follower's side --------------------------------------------------------------------------------------

void Core::State::accept_append(NodeId to, Index index) {
  // Many requests in one Ready need one answer: the highest says all that the others do.
  if (!messages_when_persisted_.empty()) {
    Message& last = messages_when_persisted_.back();
    auto* reply = std::get_if<AppendReply>(&last.body);
    if (reply && last.to == to && last.term == hard_.term) {
      reply->index = std::max(reply->index, index);
      return;
    }
  }
  send_when_persisted(to, AppendReply{.accepted = true, .index = index, .hint_index = {}, .hint_term = {}});
}

void Core::State::on(const Message& message, AppendRequest& request) {
  if (!heard_from_leader(message.from)) return;
  if (installing_) return;  // the log stands still until it is known from where it goes on
  if (lacks_base()) {
    send(message.from, AppendReply{});  // a configuration first: see the leader's side
    return;
  }
  if (request.previous_index < hard_.commit) {
    accept_append(message.from, hard_.commit);  // old news: what is committed agrees
    return;
  }
  if (!log_.matches(request.previous_index, request.previous_term)) {
    // Our largest entry whose term is not above that of the leader's entry. What is committed agrees for certain.
    const Index at =
        std::max(hard_.commit, log_.last_at_most(std::min(request.previous_index, log_.last()), request.previous_term));
    send(message.from, AppendReply{.accepted = false,
                                   .index = request.previous_index,
                                   .hint_index = at,
                                   .hint_term = log_.term(at).value_or(Term(0))});
    return;
  }
  const Index last = request.previous_index + request.entries.size();
  auto entry = request.entries.begin();
  while (entry != request.entries.end() && log_.matches(entry->index, entry->term)) ++entry;
  if (entry != request.entries.end() && entry->index <= log_.last()) {
    // 3.5: an entry that conflicts goes, and all after it; never what is committed.
    while (!unapplied_changes_.empty() && unapplied_changes_.back() >= entry->index) unapplied_changes_.pop_back();
    log_.truncate(entry->index);
  }
  for (; entry != request.entries.end(); ++entry) {
    static const Payload kNothing = std::make_shared<const std::string>();
    if (!entry->data) entry->data = kNothing;
    if (entry->type == EntryType::kConfigChange) unapplied_changes_.push_back(entry->index);
    log_.append(std::move(*entry));
  }
  commit_to(std::min(request.commit, last));
  accept_append(message.from, last);
}

void Core::State::on(const Message& message, const Heartbeat& heartbeat) {
  if (!heard_from_leader(message.from)) return;
  // A leader never tells us more than it knows us to have; if it does, it is not to be believed.
  if (!installing_ && heartbeat.commit <= log_.last()) commit_to(heartbeat.commit);
  send(message.from, HeartbeatReply{.read_round = heartbeat.read_round});
}

// ---- snapshots (5) --------------------------------------------------------------------------------------------

void Core::State::on(const Message& message, const SnapshotOffer& offer) {
  if (!heard_from_leader(message.from) || installing_) return;
  if (!lacks_base()) {
    if (offer.meta.index <= hard_.commit) {
      accept_append(message.from, hard_.commit);
      return;
    }
    if (log_.matches(offer.meta.index, offer.meta.term)) {
      // Our log already reaches it, and what a snapshot holds is committed.
      commit_to(offer.meta.index);
      accept_append(message.from, offer.meta.index);
      return;
    }
  }
  installing_ = Installation{.meta = offer.meta, .from = message.from};
}

void Core::State::snapshot_installed(const SnapshotMeta& meta) {
  KV_CHECK(installing_ && installing_->handed_out, "no snapshot was to be installed");
  KV_CHECK(meta.index >= installing_->meta.index && meta.index >= hard_.commit, "the snapshot is older than asked for");
  KV_CHECK(valid(meta.configuration) && !meta.configuration.voters.empty(), "the snapshot has no configuration");
  installing_.reset();
  // A state that is further than what was offered may be of a later term, whose leader we have not heard of.
  if (meta.term > hard_.term) become_follower(meta.term, NodeId(0));
  log_.reset(meta.index, meta.term);
  hard_.commit = applied_ = handed_out_ = meta.index;
  applying_.clear();
  applying_bytes_ = 0;
  unapplied_changes_.clear();
  configuration_ = meta.configuration;
  snapshot_ = meta;
  if (const NodeId to = leader()) send_when_persisted(to, SnapshotReply{.installed = true, .index = meta.index});
}

void Core::State::snapshot_failed() {
  KV_CHECK(installing_ && installing_->handed_out, "no snapshot was to be installed");
  installing_.reset();
  if (const NodeId to = leader()) send(to, SnapshotReply{.installed = false, .index = Index(0)});
}

void Core::State::log_compacted(const SnapshotMeta& meta) {
  KV_CHECK(meta.index <= applied_, "a snapshot holds what was applied");
  if (meta.index > snapshot_.index) snapshot_ = meta;
}

}  // namespace kv::raft
