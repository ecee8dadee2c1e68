// All that a run depends on. draw_options() makes it from the seed alone ("swarm testing", Groce et al. 2012: every
// run has its own mix, with many faults left out altogether, because faults that are always on hide bugs from
// each other).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "breaks.h"
#include "draw.h"
#include "machine.h"
#include "raft/core/core.h"
#include "sim_disk.h"
#include "sim_network.h"

namespace kv::sim {

// How one member's process behaves. The ranges hold for all members; a slow member multiplies its own.
struct NodeOptions {
  SimDisk::Visibility visibility = SimDisk::Visibility::kAtWrite;
  Range sync_us{100, 3'000};
  Range apply_us{20, 500};
  Range drain_us{0, 0};               // from an input to the Ready that it causes; 0: at once
  size_t outstanding_readys_max = 4;  // taken and not yet persisted
  size_t apply_entries_max = 16;      // in one go
  uint64_t flush_ppm = 100'000;       // of the state machine, after each go
  bool acknowledge_each = false;      // persisted() for each Ready, or for the last of a sync only
};

// Mean times between faults of one kind, over the whole cluster; 0: never.
struct NemesisOptions {
  uint64_t crash_us = 0;
  uint64_t crash_all_us = 0;
  bool weak_moments = false;    // crashes, pauses and cuts when they hurt most
  uint64_t torn_ppm = 500'000;  // of crashes
  uint64_t down_us = 100'000;   // mean time until the restart
  uint64_t pause_us = 0;
  uint64_t paused_for_us = 200'000;
  uint64_t slow_us = 0;  // a member becomes slow, or its clock runs at another rate
  uint64_t partition_us = 0;
  uint64_t partitioned_for_us = 300'000;
  uint64_t compact_us = 0;
  uint64_t snapshot_fail_ppm = 0;
  Range snapshot_transfer_us{500, 20'000};
  uint64_t member_us = 0;  // membership changes
  bool joint_changes = false;
  uint64_t transfer_us = 0;
  uint64_t campaign_us = 0;
  uint64_t step_down_us = 0;
  uint64_t report_unreachable_ppm = 0;  // of lost messages
  uint64_t clock_skew_percent = 0;      // each member's tick is off by up to this much
};

struct ClientOptions {
  uint64_t write_us = 5'000;
  uint64_t read_us = 10'000;
  uint32_t keys = 3;
  size_t padding_bytes_max = 64;
  bool to_leader_only = false;  // else through any member
  size_t burst_max = 1;         // calls at once
};

struct SimOptions {
  // Given by the caller:
  uint64_t seed = 1;
  uint64_t steps = 10'000;  // events until the faults stop
  uint32_t nodes = 0;       // voters at the start; 0: drawn
  Break broken = Break::kNone;
  const MachineKind* machine = &kChainMachine;
  bool check_promises = true;
  std::vector<std::string> without;  // faults that are left out, by their names below

  // Drawn:
  uint32_t voters = 3;
  uint32_t spares = 0;        // members that may join later
  uint64_t origin_index = 0;  // > 0: the group's logs begin after a snapshot, and who joins needs one
  uint64_t tick_us = 10'000;
  raft::CoreOptions core;
  NetworkOptions network;
  NodeOptions node;
  NemesisOptions nemesis;
  ClientOptions clients;
};

SimOptions draw_options(const SimOptions& given);
std::string describe(const SimOptions& options);

// What `without` can name: with fewer faults a failure is easier to read, if it is still there.
std::vector<std::string_view> fault_names();

}  // namespace kv::sim
