#include "checker.h"

#include <algorithm>
#include <variant>

#include "digest.h"
#include "draw.h"

namespace kv::sim {

using namespace raft;  // every name here is one of raft's

namespace {

constexpr uint64_t kOriginChain = 0x6b7664;

std::string at(Index index, Term term) { return to_string(index) + "/" + to_string(term); }

// Could `nodes` elect a leader under this configuration? (Both majorities when it is joint.)
bool is_quorum(const Configuration& configuration, const std::vector<NodeId>& nodes) {
  const auto majority = [&nodes](const std::vector<NodeId>& voters) {
    size_t in = 0;
    for (NodeId voter : voters) in += std::count(nodes.begin(), nodes.end(), voter);
    return in > voters.size() / 2;
  };
  return majority(configuration.voters) && (configuration.outgoing.empty() || majority(configuration.outgoing));
}

}  // namespace

void Checker::fail(std::string invariant, std::string text) {
  if (!violation_) violation_ = Violation{std::move(invariant), std::move(text)};
}

void Checker::set_origin(const SnapshotMeta& origin) {
  origin_ = origin;
  max_commit_ = max_applied_ = origin.index;
  configurations_[origin.index] = origin.configuration;
}

std::optional<uint64_t> Checker::chain_of(Index index, Term term) const {
  if (index == origin_.index) return term == origin_.term ? std::optional(kOriginChain) : std::nullopt;
  if (index < origin_.index || index - origin_.index > chains_by_index_.size()) return std::nullopt;
  for (const auto& [known_term, chain] : chains_by_index_[index - origin_.index - 1]) {
    if (known_term == term) return chain;
  }
  return std::nullopt;
}

Checker::Committed* Checker::committed_at(Index index) {
  if (index <= origin_.index || index > committed_to()) return nullptr;
  return &committed_[index - origin_.index - 1];
}

// ---- members come and go -----------------------------------------------------------------------------------

void Checker::started(NodeId node, const Core& core, const SimDisk& disk, const StateMachine& state) {
  Member& member = members_[node];
  member.disk = &disk;
  member.state = &state;
  member.running = true;
  member.term = core.term();
  member.commit = core.commit();
  member.hard_state = disk.durable().hard_state;
  member.leads = member.completeness_due = Term();
  if (core.term() < member.promised_term) {
    fail("hard state goes back", who(node) + " starts in term " + to_string(core.term()) +
                                     " after promises made in term " + to_string(member.promised_term));
  }
  if (core.commit() < state.applied().index) {
    fail("commit goes back", who(node) + " starts with commit " + to_string(core.commit()) +
                                 " below its applied index " + to_string(state.applied().index));
  }
  record_configuration(node, state.applied().index, state.applied().configuration);
  read_log_from_disk(node, member);
  record_commit(node, member, core.commit());
  stepped(node, core);
}

void Checker::crashed(NodeId node) {
  Member& member = members_[node];
  member.running = false;
  member.leads = Term();
  check_committed_is_safe("after a crash");
}

// After a start or an installed snapshot: the log on disk is taken in anew, and every entry of it must be one
// that this checker has seen before.
void Checker::read_log_from_disk(NodeId node, Member& member) {
  const LogImage& log = member.disk->written();
  member.chains.clear();
  member.chain_start = log.start.index;
  member.commit_recorded = log.start.index;
  const auto start = chain_of(log.start.index, log.start.term);
  if (log.start.index > Index(0) && log.start.index < origin_.index) {
    fail("log matching", who(node) + "'s log begins before the group's");
  } else if (log.start.index >= origin_.index && !start) {
    fail("log matching", who(node) + "'s log begins after an unknown entry " + at(log.start.index, log.start.term));
  }
  member.chain_start_hash = start.value_or(kOriginChain);
  if (log.entries.empty()) return;
  const std::vector<Entry> entries(log.entries.begin(), log.entries.end());
  check_entries(node, member, entries);
}

void Checker::log_begins(NodeId node) {
  Member& member = members_[node];
  const LogImage& log = member.disk->written();
  const uint64_t cut = log.start.index - member.chain_start;
  if (cut == 0 || log.start.index < member.chain_start) return;
  if (log.entries.empty() || cut > member.chains.size()) {
    read_log_from_disk(node, member);
    return;
  }
  member.chain_start_hash = member.chains[cut - 1];
  member.chains.erase(member.chains.begin(), member.chains.begin() + static_cast<ptrdiff_t>(cut));
  member.chain_start = log.start.index;
}

// ---- logs --------------------------------------------------------------------------------------------------

void Checker::check_entries(NodeId node, Member& member, const std::vector<Entry>& entries) {
  if (entries.empty()) return;
  const Index first = entries.front().index;
  if (first <= std::max(member.chain_start, origin_.index) || first > member.chain_start + member.chains.size() + 1) {
    fail("log continuity", who(node) + " writes " + describe(entries) + " to a log of [" +
                               to_string(member.chain_start + 1) + ", " +
                               to_string(member.chain_start + member.chains.size()) + "]");
    return;
  }
  member.chains.resize(first - member.chain_start - 1);
  uint64_t chain = member.chains.empty() ? member.chain_start_hash : member.chains.back();
  Term last = Term(0);
  for (const Entry& entry : entries) {
    if (entry.term < last) fail("log matching", who(node) + "'s terms go back at " + at(entry.index, entry.term));
    last = entry.term;
    if (!entry.data) fail("log continuity", who(node) + " has an entry without payload at " + to_string(entry.index));
    chain = mix(chain, digest(entry));
    member.chains.push_back(chain);
    const size_t slot = entry.index - origin_.index - 1;
    if (slot >= chains_by_index_.size()) chains_by_index_.resize(slot + 1);
    const auto known = chain_of(entry.index, entry.term);
    if (!known) {
      chains_by_index_[slot].emplace_back(entry.term, chain);
    } else if (*known != chain) {
      fail("log matching",
           who(node) + " and another log both have " + at(entry.index, entry.term) + ", and differ in it or before it");
      return;
    }
    const Committed* committed = committed_at(entry.index);
    if (committed && entry.index <= member.commit_recorded && committed->chain != chain) {
      fail("committed entry replaced", who(node) + " replaces the committed entry at " + to_string(entry.index));
      return;
    }
  }
}

void Checker::record_commit(NodeId node, Member& member, Index commit) {
  if (commit <= member.commit_recorded) return;
  const LogImage& log = member.disk->written();
  if (commit > log.last_index()) {
    fail("commit beyond the log",
         who(node) + " has commit " + to_string(commit) + " and its log ends at " + to_string(log.last_index()));
    return;
  }
  bool grew = false;
  for (Index i = std::max(member.commit_recorded, log.start.index) + 1; i <= commit; ++i) {
    const uint64_t chain = member.chains[i - member.chain_start - 1];
    const Term term = log.at(i).term;
    if (const Committed* known = committed_at(i)) {
      if (known->chain != chain) {
        fail("state machine safety",
             who(node) + " has " + at(i, term) + " committed, others had " + at(i, known->term) + " committed there");
        return;
      }
    } else {
      committed_.push_back({term, chain, member.term, std::nullopt});
      grew = true;
    }
  }
  member.commit_recorded = commit;
  max_commit_ = std::max(max_commit_, commit);
  if (grew) check_committed_is_safe("when it was committed");
}

// The members whose disks lack the last committed entry must not be able to elect a leader. By log matching,
// who has it has all before it.
void Checker::check_committed_is_safe(const char* when) {
  if (committed_.empty()) return;
  const Index index = committed_to();
  const Term term = committed_.back().term;
  const Configuration& configuration = this->configuration();
  std::vector<NodeId> lacking;
  for (const auto* voters : {&configuration.voters, &configuration.outgoing}) {
    for (NodeId voter : *voters) {
      const auto it = members_.find(voter);
      const LogImage* log = it == members_.end() ? nullptr : &it->second.disk->durable();
      const bool holds = log && (log->start.index > index || log->term(index) == term);
      if (!holds) lacking.push_back(voter);
    }
  }
  std::sort(lacking.begin(), lacking.end());
  lacking.erase(std::unique(lacking.begin(), lacking.end()), lacking.end());
  if (!is_quorum(configuration, lacking)) return;
  std::string ids;
  for (NodeId node : lacking) ids += " " + who(node);
  fail("committed entry not on a quorum's disks",
       at(index, term) + " is committed under " + describe(configuration) + ", and " + when + " these lack it:" + ids);
}

// ---- elections ---------------------------------------------------------------------------------------------

void Checker::record_vote(NodeId node, Term term, NodeId vote, const char* how) {
  if (!vote) return;
  const auto [it, added] = members_[node].votes.emplace(term, vote);
  if (!added && it->second != vote) {
    fail("two votes in a term", who(node) + " voted for " + who(it->second) + " and (" + how + ") for " + who(vote) +
                                    " in term " + to_string(term));
  }
}

void Checker::record_leader(NodeId node, Term term) {
  const auto [it, added] = leaders_.emplace(term, node);
  if (!added && it->second != node) {
    fail("election safety", who(it->second) + " and " + who(node) + " both lead in term " + to_string(term));
  }
}

void Checker::check_leader_completeness(NodeId node, Member& member) {
  const Term term = member.completeness_due;
  member.completeness_due = Term();
  const LogImage& log = member.disk->written();
  for (Index i = committed_to(); i > origin_.index; --i) {
    const Committed& committed = *committed_at(i);
    if (committed.commit_term >= term) continue;
    if (i > log.start.index && log.term(i) != committed.term) {
      fail("leader completeness", who(node) + " leads in term " + to_string(term) + " without " +
                                      at(i, committed.term) + ", committed in term " +
                                      to_string(committed.commit_term));
    }
    return;
  }
}

void Checker::stepped(NodeId node, const Core& core) {
  Member& member = members_[node];
  if (core.term() < member.term) {
    fail("hard state goes back",
         who(node) + "'s term went from " + to_string(member.term) + " to " + to_string(core.term()));
  }
  if (core.commit() < member.commit) {
    fail("commit goes back",
         who(node) + "'s commit went from " + to_string(member.commit) + " to " + to_string(core.commit()));
  }
  if (core.is_leader() && core.commit() > member.commit) check_commit_rule(node, core, member);
  member.term = core.term();
  member.commit = core.commit();
  max_commit_ = std::max(max_commit_, core.commit());
  if (!core.is_leader()) {
    member.leads = Term();
    return;
  }
  if (member.leads == core.term()) return;
  member.leads = member.completeness_due = core.term();
  record_leader(node, core.term());
  record_vote(node, core.term(), node, "as its leader");
  check_votes(node, core);
  const HardState& durable = member.disk->durable().hard_state;
  if (check_promises_ && (durable.term != core.term() || durable.vote != node)) {
    fail("leads before its own vote is on disk",
         who(node) + " leads in term " + to_string(core.term()) + " and has on disk " + describe(durable));
  }
}

// 3.4: whoever leads has the votes of a quorum of its configuration, of both halves when it is joint.
void Checker::check_votes(NodeId node, const Core& core) {
  std::vector<NodeId> voted;
  for (const auto& [id, voter] : members_) {
    const auto vote = voter.votes.find(core.term());
    if (vote != voter.votes.end() && vote->second == node) voted.push_back(id);
  }
  const Configuration configuration = core.status().configuration;
  if (!is_quorum(configuration, voted)) {
    fail("leads without a quorum of votes", who(node) + " leads in term " + to_string(core.term()) + " under " +
                                                describe(configuration) + " with " + std::to_string(voted.size()) +
                                                " votes");
  }
}

// 3.5, 3.6.2: what a leader commits is an entry of its own term, on the disks of a quorum of the configuration that it
// goes by. This says more than check_committed_is_safe(): who still goes by the configuration before could elect a
// leader without an entry that only the new half of a joint one has.
void Checker::check_commit_rule(NodeId node, const Core& core, const Member& member) {
  const Index index = core.commit();
  const auto term = member.disk->written().term(index);
  if (term != core.term()) {
    fail("commits an entry of an earlier term",
         who(node) + " leads in term " + to_string(core.term()) + " and commits " + at(index, term.value_or(Term(0))));
    return;
  }
  std::vector<NodeId> holders;
  for (const auto& [id, holder] : members_) {
    const LogImage& log = holder.disk->durable();
    if (log.start.index > index || log.term(index) == term) holders.push_back(id);
  }
  const Configuration configuration = core.status().configuration;
  if (!is_quorum(configuration, holders)) {
    fail("commits without a quorum", who(node) + " commits " + at(index, *term) + " under " + describe(configuration) +
                                         " while " + std::to_string(holders.size()) + " members have it on disk");
  }
}

void Checker::took_ready(NodeId node, const Core& core, const Ready& ready) {
  Member& member = members_[node];
  if (ready.hard_state) {
    const HardState& next = *ready.hard_state;
    const HardState& last = member.hard_state;
    const bool changes_vote = next.term == last.term && last.vote && next.vote != last.vote;
    if (next.term < last.term || next.commit < last.commit || changes_vote) {
      fail("hard state goes back", who(node) + " hands out " + describe(next) + " after " + describe(last));
    }
    member.hard_state = next;
  }
  if (!ready.entries.empty()) {
    const bool led_before = member.leads && member.leads == core.term() && !member.completeness_due;
    if (led_before && ready.entries.front().index != member.chain_start + member.chains.size() + 1) {
      fail("leader append-only",
           who(node) + " leads and replaces its own entries from " + to_string(ready.entries.front().index));
    }
    check_entries(node, member, ready.entries);
    if (ready.entries.back().term > core.term()) {
      fail("log matching", who(node) + " holds an entry of a later term than its own");
    }
  }
  if (violation_) return;
  record_commit(node, member, core.commit());
  if (member.completeness_due && member.completeness_due == core.term()) check_leader_completeness(node, member);

  const LogImage& durable = member.disk->durable();
  for (const Entry& entry : ready.committed) {
    const bool on_disk = entry.index <= durable.start.index || durable.term(entry.index) == entry.term;
    if (check_promises_ && !on_disk) {
      fail("handed out to apply before it is on disk", who(node) + " " + at(entry.index, entry.term));
    }
  }
}

void Checker::synced(NodeId node) {
  const HardState& durable = members_[node].disk->durable().hard_state;
  record_vote(node, durable.term, durable.vote, "on disk");
}

// ---- messages ----------------------------------------------------------------------------------------------

void Checker::sends(NodeId node, const Message& message) {
  Member& member = members_[node];
  if (message.from != node) fail("message under another's name", describe(message));
  if (message.to == node || !message.to) fail("message to nobody", describe(message));
  const bool from_leader =
      std::holds_alternative<AppendRequest>(message.body) || std::holds_alternative<Heartbeat>(message.body) ||
      std::holds_alternative<SnapshotOffer>(message.body) || std::holds_alternative<TimeoutNow>(message.body);
  if (from_leader) record_leader(node, message.term);
  if (const auto* vote = std::get_if<VoteReply>(&message.body)) {
    if (!vote->granted || vote->pre_vote) return;
    record_vote(node, message.term, message.to, "in a message");
    member.promised_term = std::max(member.promised_term, message.term);
  } else if (const auto* append = std::get_if<AppendReply>(&message.body)) {
    if (!append->accepted) return;
    member.promised_term = std::max(member.promised_term, message.term);
  } else if (const auto* request = std::get_if<VoteRequest>(&message.body)) {
    if (request->pre_vote) return;  // it promises nothing
  } else {
    return;
  }
  if (check_promises_) check_promise(node, message, member);
}

void Checker::check_promise(NodeId node, const Message& message, const Member& member) {
  const LogImage& durable = member.disk->durable();
  const HardState& hs = durable.hard_state;
  // A member that has moved to a later term on disk owes the earlier one nothing more: it would refuse its leader,
  // and what it accepted there may be overwritten by now. Who was elected in between knew its log as it was then.
  bool kept = hs.term > message.term;
  if (const auto* append = std::get_if<AppendReply>(&message.body)) {
    kept = kept || (hs.term == message.term && durable.last_index() >= append->index);
  } else if (std::holds_alternative<VoteRequest>(message.body)) {
    // A candidate that forgot its term could stand in it again with a shorter log, and be given late votes that
    // were meant for the longer one.
    kept = kept || (hs.term == message.term && hs.vote == node);
  } else {
    kept = kept || (hs.term == message.term && hs.vote == message.to);
  }
  if (!kept) {
    fail("promise before it is on disk", who(node) + " sends \"" + describe(message) + "\" and has on disk " +
                                             describe(hs) + ", last index " + to_string(durable.last_index()));
  }
}

// ---- state machines ----------------------------------------------------------------------------------------

void Checker::record_configuration(NodeId node, Index index, const Configuration& configuration) {
  if (index < origin_.index) return;  // a member that waits for its first snapshot
  const bool first = index > max_applied_;
  max_applied_ = std::max(max_applied_, index);
  const auto after = configurations_.upper_bound(index);
  const auto& [since, known] = *std::prev(after);
  if (known == configuration) return;
  if (first && since < index) {
    configurations_[index] = configuration;
    check_committed_is_safe("when the configuration changed");
    return;
  }
  fail("configurations differ", who(node) + " has " + describe(configuration) + " at " + to_string(index) +
                                    ", others " + describe(known) + " since " + to_string(since));
}

bool Checker::applied(NodeId node, const Entry& entry) {
  const Member& member = members_[node];
  Committed* committed = committed_at(entry.index);
  if (!committed) {
    fail("state machine safety", who(node) + " applies " + at(entry.index, entry.term) + ", which is not committed");
    return false;
  }
  if (committed->term != entry.term) {
    fail("state machine safety", who(node) + " applies " + at(entry.index, entry.term) + " where " +
                                     at(entry.index, committed->term) + " is committed");
    return false;
  }
  const bool first = entry.index > max_applied_;
  record_configuration(node, entry.index, member.state->applied().configuration);
  const std::optional<uint64_t> hash = member.state->hash();
  if (!committed->state_hash) {
    committed->state_hash = hash;
  } else if (hash && committed->state_hash != hash) {
    fail("state machine safety",
         who(node) + "'s state after " + at(entry.index, entry.term) + " differs from the others'");
  }
  return first;
}

void Checker::flushed(NodeId node) {
  const Member& member = members_[node];
  const SnapshotMeta& state = member.state->durable();
  const LogImage& log = member.disk->durable();
  if (state.index > log.last_index()) {
    fail("state ahead of its log", who(node) + " has flushed its state at " + to_string(state.index) +
                                       " and has its log on disk up to " + to_string(log.last_index()));
  }
}

void Checker::installed(NodeId node) {
  Member& member = members_[node];
  const SnapshotMeta& meta = member.state->applied();
  const Committed* committed = committed_at(meta.index);
  const std::optional<uint64_t> hash = member.state->hash();
  const bool differs = committed && hash && committed->state_hash && committed->state_hash != hash;
  if (committed && (committed->term != meta.term || differs)) {
    fail("state machine safety", who(node) + "'s snapshot at " + at(meta.index, meta.term) + " is not the state there");
  } else if (!committed && meta.index != origin_.index) {
    fail("state machine safety", who(node) + "'s snapshot is at an index that is not committed");
  }
  record_configuration(node, meta.index, meta.configuration);
}

}  // namespace kv::sim
