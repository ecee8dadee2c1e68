#include "sim/store/lease_checker.h"

#include <algorithm>

namespace kv::sim {

using raft::Index;
using raft::NodeId;
using raft::Term;

void LeaseChecker::leads(Term term, NodeId node, Index applied, uint64_t now_us) {
  leaders_.emplace(term, Leader{node, applied, now_us});
}

void LeaseChecker::decided(Term term, uint64_t number, uint64_t now_us) {
  if (!decided_us_.emplace(Number{term, number}, now_us).second) {
    checker_->fail("lease command numbered twice", std::to_string(number) + " of term " + to_string(term));
  }
}

void LeaseChecker::granted(int64_t id, int64_t ttl_s, LeasePlace place) {
  leases_[id].push_back({.id = id, .ttl_s = ttl_s, .begin = place});
}

void LeaseChecker::revoked(int64_t id, LeasePlace place) { leases_[id].back().end = place; }

void LeaseChecker::expired(int64_t id, LeasePlace place, Term term, uint64_t number) {
  Lease& lease = leases_[id].back();
  lease.end = place;
  lease.expiry = Number{term, number};
  ++expiries_;
  judge(lease);
}

void LeaseChecker::checkpointed(int64_t id, LeasePlace place, Term term, uint64_t number, int64_t remaining_s) {
  leases_[id].back().checkpoints.push_back({place, {term, number}, remaining_s});
  ++checkpoints_;
}

LeaseChecker::Lease* LeaseChecker::alive_at(int64_t id, Index applied) {
  const LeasePlace bound{applied + 1, 0};
  for (Lease& lease : leases_[id]) {
    if (lease.begin < bound && (!lease.end || *lease.end >= bound)) return &lease;
  }
  return nullptr;
}

void LeaseChecker::promise(Lease& lease, uint64_t asked_us) {
  lease.promised_from_us = std::max(lease.promised_from_us.value_or(0), asked_us);
  judge(lease);
}

void LeaseChecker::grant_answered(int64_t id, LeasePlace place, uint64_t asked_us) {
  for (Lease& lease : leases_[id]) {
    if (lease.begin == place) promise(lease, asked_us);
  }
}

void LeaseChecker::keep_alive_answered(int64_t id, Index applied, uint64_t asked_us) {
  ++keep_alives_;
  if (Lease* lease = alive_at(id, applied)) {
    promise(*lease, asked_us);
  } else {
    checker_->fail("keep-alive of a dead lease",
                   "lease " + std::to_string(id) + " is not there at " + to_string(applied) + " and was renewed");
  }
}

void LeaseChecker::told_unknown(int64_t id, Index applied) {
  if (alive_at(id, applied) == nullptr) return;
  checker_->fail("living lease unknown", "a leader that has applied " + to_string(applied) + " does not know lease " +
                                             std::to_string(id));
}

uint64_t LeaseChecker::counted_us(const Lease& lease, const Number& command, uint64_t from_us, std::string* how) {
  const auto leader = leaders_.find(command.first);
  const auto decided = decided_us_.find(command);
  if (leader == leaders_.end() || decided == decided_us_.end()) {
    checker_->fail("lease command of nobody", "number " + std::to_string(command.second) + " of term " +
                                                  to_string(command.first) + ", which nobody has decided upon");
    return 0;
  }
  const Leader& l = leader->second;
  uint64_t counted = 0;
  if (l.from_us > from_us) {
    // It began with what the state said.
    const LeasePlace bound{l.applied + 1, 0};
    const auto later = std::find_if(lease.checkpoints.begin(), lease.checkpoints.end(),
                                    [&](const auto& checkpoint) { return checkpoint.place >= bound; });
    if (later != lease.checkpoints.begin() && std::prev(later)->remaining_s > 0) {
      counted += counted_us(lease, std::prev(later)->number, from_us, how);
    }
  }
  const uint64_t begin_us = std::max(l.from_us, from_us);
  const SimClock& clock = clock_(l.node);
  const uint64_t mine = decided->second > begin_us ? clock.at(decided->second) - clock.at(begin_us) : 0;
  *how += " n" + to_string(l.node) + " " + std::to_string(mine / 1000) + " ms in term " + to_string(command.first);
  return counted + mine;
}

void LeaseChecker::judge(const Lease& lease) {
  if (!lease.expiry || !lease.promised_from_us) return;
  std::string how;
  const uint64_t counted = counted_us(lease, *lease.expiry, *lease.promised_from_us, &how);
  if (counted >= static_cast<uint64_t>(lease.ttl_s) * 1'000'000) return;
  checker_->fail("lease ended early", "lease " + std::to_string(lease.id) + " of " + std::to_string(lease.ttl_s) +
                                          " s, promised at " + std::to_string(*lease.promised_from_us / 1000) +
                                          " ms, was ended after its leaders had counted" + how);
}

}  // namespace kv::sim
