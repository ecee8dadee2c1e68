#include "server/member_stats.h"

#include <utility>

namespace kv::server {
namespace {

// A peer that has gone takes its share of the totals along.
double rate(uint64_t now, uint64_t before, int64_t ms) {
  return now < before ? 0 : static_cast<double>(now - before) * 1000 / static_cast<double>(ms);
}

}  // namespace

StatsKeeper::Totals StatsKeeper::totals(const std::vector<raft::PeerStats>& peers) {
  Totals totals;
  for (const raft::PeerStats& peer : peers) {
    totals.sent_appends += peer.sent_appends;
    totals.sent_bytes += peer.sent_bytes;
    totals.received_appends += peer.received_appends;
    totals.received_bytes += peer.received_bytes;
  }
  return totals;
}

void StatsKeeper::leader_is(uint64_t leader, int64_t wall_ms, int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(leader_, leader) == leader) return;
  leader_since_wall_ms_ = wall_ms;
  leader_since_ms_ = now_ms;
}

void StatsKeeper::sample(const std::vector<raft::PeerStats>& peers, int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  if (last_ms_ != INT64_MIN && now_ms - last_ms_ < kPeriodMs) return;
  const Totals now = totals(peers);
  if (last_ms_ != INT64_MIN) {
    const int64_t ms = now_ms - last_ms_;
    sent_.appends_per_second = rate(now.sent_appends, last_.sent_appends, ms);
    sent_.bytes_per_second = rate(now.sent_bytes, last_.sent_bytes, ms);
    received_.appends_per_second = rate(now.received_appends, last_.received_appends, ms);
    received_.bytes_per_second = rate(now.received_bytes, last_.received_bytes, ms);
  }
  last_ = now;
  last_ms_ = now_ms;
}

MemberStats StatsKeeper::read(std::vector<raft::PeerStats> peers, int64_t now_ms) const {
  const std::lock_guard lock(mutex_);
  MemberStats stats;
  stats.started_ms = started_ms_;
  stats.leader = leader_;
  stats.leader_since_ms = leader_since_wall_ms_;
  stats.leader_for_ms = now_ms - leader_since_ms_;
  const Totals now = totals(peers);
  stats.sent = sent_;
  stats.sent.appends = now.sent_appends;
  stats.received = received_;
  stats.received.appends = now.received_appends;
  stats.peers = std::move(peers);
  return stats;
}

}  // namespace kv::server
