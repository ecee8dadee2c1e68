#include "sim/store/store_run_options.h"

#include <algorithm>

namespace kv::sim {

StoreRunOptions draw_store_options(const SimOptions& options) {
  Random random(seed_for(options.seed, 10));
  const auto percent = [&random](uint64_t n) { return random.below(100) < n; };
  StoreRunOptions o;
  o.recent_bytes = percent(60) ? 1 + random.below(4'000) : 1 << 20;
  o.changes_per_compaction_step = 1 + random.below(percent(50) ? 20 : 1'000);

  o.call_us = 4'000 << random.below(4);
  o.compact_ppm = percent(75) ? 5'000 + random.below(60'000) : 0;
  o.commands_per_entry = percent(40) ? 1 + random.below(6) : 1;

  o.lessor.checkpoints = percent(80);
  o.lessor.checkpoint_interval_ms = 50 + static_cast<int64_t>(random.below(random.one_in(2) ? 200 : 1'500));
  o.lessor.retry_ms = 50 + static_cast<int64_t>(random.below(1'000));
  o.lessor.round_ms = 10 + static_cast<int64_t>(random.below(400));
  if (percent(30)) o.lessor.expiries_per_round = 1 + random.below(3);
  if (percent(30)) o.lessor.checkpoints_per_round = 1 + random.below(3);
  if (percent(50)) o.lessor.leases_per_command = 1 + random.below(3);
  o.lease_ids = 1 + static_cast<int64_t>(random.below(8));
  o.ttl_s_max = 1 + static_cast<int64_t>(random.below(3));
  o.stale_ppm = percent(40) ? 500'000 : 0;

  // Half of it must not be nothing: the hub goes on when less than that is queued.
  o.hub.stream_bytes_max = percent(50) ? 2 + random.below(600) : 64 << 10;
  o.hub.chunk_bytes = percent(50) ? 1 + random.below(400) : 16 << 10;
  o.hub.chunk_changes = percent(50) ? 1 + random.below(10) : 1'000;
  o.hub.riders_max = percent(30) ? 1 + random.below(3) : 4'096;
  o.hub.progress_interval_ms = 50 + static_cast<int64_t>(random.below(2'000));
  o.watch_clients = 1 + random.below(4);
  o.watches_per_client = 1 + random.below(4);
  o.watch_mischief_us = 50'000 << random.below(5);
  o.send_us = {5, 20 + random.below(2'000)};
  o.slow_stream_ppm = percent(50) ? random.below(500'000) : 0;
  return o;
}

void adjust_for_store(SimOptions& o) {
  const auto at_least = [](uint64_t* mean_us, uint64_t least_us) {
    if (*mean_us != 0) *mean_us = std::max(*mean_us, least_us);
  };
  if (o.nodes == 0) o.voters = std::min<uint32_t>(o.voters, 5);
  o.spares = std::min<uint32_t>(o.spares, 2);
  o.clients.write_us = std::max<uint64_t>(o.clients.write_us, 20'000);
  o.clients.read_us = std::max<uint64_t>(o.clients.read_us, 20'000);
  o.clients.burst_max = std::min<size_t>(o.clients.burst_max, 3);
  o.clients.padding_bytes_max = std::min<size_t>(o.clients.padding_bytes_max, 64);
  o.node.flush_ppm = std::min<uint64_t>(o.node.flush_ppm, 30'000);
  at_least(&o.nemesis.crash_us, 800'000);
  at_least(&o.nemesis.crash_all_us, 4'000'000);
  at_least(&o.nemesis.compact_us, 100'000);
  at_least(&o.nemesis.member_us, 200'000);
  // A lease lives for a second at least: leaders must be able to lead for longer than that.
  at_least(&o.nemesis.transfer_us, 500'000);
  at_least(&o.nemesis.campaign_us, 500'000);
  at_least(&o.nemesis.step_down_us, 500'000);
  if (o.broken == Break::kUnconfirmedKeepAlive) {
    // It shows only where a leader that is cut off goes on believing for longer than what is left of a lease, which is
    // rare among all that is drawn.
    o.core.check_quorum = false;
    o.nemesis.partition_us = 1'000'000;
    o.nemesis.partitioned_for_us = 3'000'000;
  }
}

}  // namespace kv::sim
