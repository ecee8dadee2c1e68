// What a run of the store's machine depends on besides SimOptions; drawn from the seed as well.
#pragma once

#include <cstdint>

#include "server/lessor.h"
#include "sim/draw.h"
#include "sim/options.h"
#include "store/watch_hub.h"

namespace kv::sim {

struct StoreRunOptions {
  // The store: tiny rings, so that watchers must read history.
  size_t recent_bytes = 1 << 20;
  size_t changes_per_compaction_step = 1000;
  // Every so many indexes a member's state is hashed and compared, where a batch ends there.
  uint64_t hash_every = 8;

  // Clients of the key space.
  uint64_t call_us = 10'000;   // mean time between calls
  uint64_t compact_ppm = 0;    // of calls
  size_t commands_per_entry = 1;  // at most

  // Leases.
  server::Lessor::Options lessor;
  int64_t lease_ids = 4;
  int64_t ttl_s_max = 2;
  uint64_t stale_ppm = 0;  // of a leader's lease commands: somebody brings them up again under the next leader

  // Watches.
  store::WatchHubOptions hub;
  size_t watch_clients = 3;
  size_t watches_per_client = 3;
  uint64_t watch_mischief_us = 200'000;  // mean time between cancels, new watches, reconnects of one client
  Range send_us{10, 500};                // a stream sends a response of its queue every so often
  uint64_t slow_stream_ppm = 0;          // of streams: they are slower by far
};

StoreRunOptions draw_store_options(const SimOptions& options);

// MachineKind::adjust: RocksDB costs a thousand times what the core does, so fewer of everything.
void adjust_for_store(SimOptions& options);

}  // namespace kv::sim
