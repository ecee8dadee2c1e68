// Configuration changes (4). A configuration takes effect when its entry is applied, as in etcd, not when it is
// appended as in the thesis: a configuration is then never rolled back. may_stand() says why that is safe.
#include <algorithm>

#include "base/check.h"
#include "raft/core/state.h"

namespace kv::raft {

Status Core::State::may_change(const Leader& leader) const {
  if (!unapplied_changes_.empty()) {
    return Status(Code::kFailedPrecondition, "raft: another configuration change is not applied yet");
  }
  if (hard_.commit < leader.term_start) {
    // A change of an earlier term, of which we know nothing, could be committed by a majority that need not meet a
    // majority of ours (the bug in single-server changes, raft-dev, July 2015). Once an entry of our term is
    // committed, no such change can be.
    return Status(Code::kFailedPrecondition, "raft: no entry of this leader's term is committed yet");
  }
  return {};
}

Result<Index> Core::State::propose_change(const ConfigChange& change) {
  Leader* leader = as_leader();
  if (!leader) return Status(Code::kFailedPrecondition, "etcdserver: not leader");
  if (!takes_proposals(*leader)) return Status(Code::kUnavailable, "etcdserver: leader changed");
  KV_RETURN_IF_ERROR(may_change(*leader));
  if (const Result<Configuration> next = changed(configuration_, change); !next.ok()) return next.status();
  return append_own(*leader, EntryType::kConfigChange, std::make_shared<const std::string>(encode(change)));
}

Configuration Core::State::apply_change(const ConfigChange& change) {
  Result<Configuration> next = changed(configuration_, change);
  if (next.ok()) adopt(std::move(*next));
  return configuration_;
}

void Core::State::adopt(Configuration configuration) {
  configuration_ = std::move(configuration);
  Leader* leader = as_leader();
  if (!leader) {
    if (std::holds_alternative<Follower>(role_)) return;
    if (!is_voter(configuration_, options_.id)) {
      become_follower(hard_.term, NodeId(0));
    } else {
      count_votes();
    }
    return;
  }
  std::erase_if(leader->peers, [&](Peer& peer) {
    if (is_member(configuration_, peer.id)) return false;
    // A removed member that learns of it stands for nothing any more, and so disturbs nobody (4.2.3).
    say_farewell(peer);
    return true;
  });
  for (const NodeId id : members(configuration_)) {
    if (id != options_.id && !leader->peer(id)) leader->peers.push_back(make_peer(id));
  }
  leader->last_word = Index(0);
  if (!is_voter(configuration_, options_.id)) retire(*leader);
  if (leader->transferee && !is_voter(configuration_, leader->transferee)) abort_transfer(*leader);
  // Fewer members may be a quorum now.
  advance_commit();
  confirm_reads(*leader);
}

void Core::State::leave_joint_if_due() {
  Leader* leader = as_leader();
  if (!leader || !configuration_.auto_leave || leader->transferee || !may_change(*leader).ok()) return;
  append_own(
      *leader, EntryType::kConfigChange,
      std::make_shared<const std::string>(encode(ConfigChange{.changes = {}, .leave_joint = true, .context = {}})));
}

void Core::State::retire(Leader& leader) {
  // 4.2.2: a leader that is no voter any more steps down once that is committed. Not at once, though: a voter that
  // does not know of the commitment asks for our vote in its next election, and we may be switched off by then. So it
  // leads on, without taking proposals, until a quorum of the others has answered a heartbeat that says it.
  leader.last_word = hard_.commit;
  for (Peer& peer : leader.peers) peer.told_round = 0;
  send_heartbeats(leader);
}

void Core::State::resign_if_known(Leader& leader) {
  const bool known = quorum_of(configuration_, [&](NodeId id) {
    const Peer* peer = leader.peer(id);
    return peer && peer->told_round && peer->confirmed_round >= peer->told_round;
  });
  if (!known) return;
  // The one who is furthest may stand at once (3.10), so that nobody waits for an election timeout.
  const Peer* heir = nullptr;
  for (const Peer& peer : leader.peers) {
    if (is_voter(configuration_, peer.id) && (!heir || peer.progress.match() > heir->progress.match())) heir = &peer;
  }
  if (heir) send(heir->id, TimeoutNow{});
  become_follower(hard_.term, NodeId(0));
}

void Core::State::say_farewell(Peer& peer) {
  // Not to one that would need more than a message, a snapshot even, to make sense of it.
  if (peer.progress.state() != ProgressState::kReplicate) return;
  send_appends(peer);
  if (peer.progress.state() == ProgressState::kReplicate && peer.commit_told < hard_.commit) send_empty_append(peer);
}

}  // namespace kv::raft
