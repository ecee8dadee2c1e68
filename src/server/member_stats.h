// What one member tells of itself and of its peers, as etcd's v2 API tells it (/v2/stats): since its start.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "raft/transport.h"

namespace kv::server {

// AppendEntries one way, and how fast they went in the last whole second.
struct AppendTraffic {
  uint64_t appends = 0;
  double appends_per_second = 0;
  double bytes_per_second = 0;  // of all that goes between members this way
};

struct MemberStats {
  std::string name;
  bool leads = false;
  int64_t started_ms = 0;       // Unix time
  uint64_t leader = 0;          // 0: none known
  int64_t leader_since_ms = 0;  // Unix time at which this member learned of it
  int64_t leader_for_ms = 0;
  AppendTraffic sent, received;
  std::vector<raft::PeerStats> peers;
};

// Keeps what only time shows: rates, and how long there has been this leader. Any thread.
class StatsKeeper {
 public:
  StatsKeeper(int64_t wall_ms, int64_t now_ms)
      : started_ms_(wall_ms), leader_since_wall_ms_(wall_ms), leader_since_ms_(now_ms) {}

  void leader_is(uint64_t leader, int64_t wall_ms, int64_t now_ms);
  // Looks at the totals; about once in `kPeriodMs`, or more often.
  void sample(const std::vector<raft::PeerStats>& peers, int64_t now_ms);
  // All but name and role.
  MemberStats read(std::vector<raft::PeerStats> peers, int64_t now_ms) const;

  static constexpr int64_t kPeriodMs = 1000;

 private:
  struct Totals {
    uint64_t sent_appends = 0, sent_bytes = 0, received_appends = 0, received_bytes = 0;
  };
  static Totals totals(const std::vector<raft::PeerStats>& peers);

  const int64_t started_ms_;
  mutable std::mutex mutex_;  // guards all below
  uint64_t leader_ = 0;
  int64_t leader_since_wall_ms_;
  int64_t leader_since_ms_;
  Totals last_;
  int64_t last_ms_ = INT64_MIN;
  AppendTraffic sent_, received_;  // the rates alone
};

}  // namespace kv::server
