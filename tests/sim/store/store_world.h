// What all members and clients of a run of the store's machine share.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "base/random.h"
#include "sim/cluster.h"
#include "sim/store/lease_checker.h"
#include "sim/store/store_checker.h"
#include "sim/store/store_run_options.h"
#include "sim/store/store_state_machine.h"

namespace kv::sim {

class StoreService;

struct StoreWorld {
  explicit StoreWorld(Cluster* c);

  // From a process to another, over the simulated network; it may never come.
  void send(raft::NodeId from, raft::NodeId to, std::function<void(SimNode&, StoreService&)> arrive);
  // Somebody proposes what a leader has decided upon, when there has been another leader since.
  void propose_later(raft::Term term, std::string data, int attempts = 20);
  // Any member that runs; null when none does.
  SimNode* some_node(Random& random_for_it);
  template <typename Line>
  void note(raft::NodeId node, uint64_t digest, Line&& line) {
    cluster->note_of(node, digest, std::forward<Line>(line));
  }
  Break broken() const { return cluster->options().broken; }

  Cluster* cluster;
  StoreRunOptions options;
  Random random;
  LeaseChecker leases;
  StoreChecker checker;
  uint64_t stores_opened = 0;
  std::map<int64_t, int64_t> rests_seen;  // for Break::kLeadFromCheckpoint

  // What happened, for RunStats.
  uint64_t watch_events = 0;
  uint64_t watches_resumed = 0;
  uint64_t watches_compacted = 0;
  uint64_t progress_notes = 0;
};

}  // namespace kv::sim
