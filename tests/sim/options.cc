#include "options.h"

#include <cstdio>

namespace kv::sim {
namespace {

// Mean time between faults: from rare to a storm, or never.
uint64_t maybe_every(Random& random, uint64_t percent, uint64_t min_us, uint64_t max_us) {
  const bool on = random.below(100) < percent;
  uint64_t every_us = min_us;
  while (every_us * 2 <= max_us && random.below(3) != 0) every_us *= 2;
  return on ? every_us : 0;
}

uint64_t maybe_ppm(Random& random, uint64_t percent, uint64_t max_ppm) {
  const bool on = random.below(100) < percent;
  const uint64_t ppm = 1 + random.below(max_ppm >> random.below(6));
  return on ? ppm : 0;
}

bool percent(Random& random, uint64_t n) { return random.below(100) < n; }

void draw_core(Random& random, raft::CoreOptions& core) {
  core.pre_vote = percent(random, 60);
  core.check_quorum = percent(random, 60);
  core.election_ticks = static_cast<uint32_t>(3 + random.below(12));
  core.heartbeat_ticks = static_cast<uint32_t>(1 + random.below(core.election_ticks > 6 ? 3 : 1));
  // Tiny limits meet every boundary; large ones let long batches and pipelines happen.
  if (percent(random, 40)) core.max_append_bytes = 1 + random.below(400);
  if (percent(random, 40)) core.max_inflight_appends = 1 + random.below(4);
  if (percent(random, 30)) core.max_inflight_bytes = 1 + random.below(1000);
  if (percent(random, 30)) core.max_uncommitted_bytes = 1 + random.below(2000);
  if (percent(random, 40)) core.max_committed_bytes = 1 + random.below(400);
  if (percent(random, 80)) core.max_cached_bytes = random.below(2000);
  if (percent(random, 20)) core.max_pending_reads = 1 + random.below(4);
}

void draw_network(Random& random, uint64_t tick_us, NetworkOptions& network) {
  // From a rack to delays of more than a heartbeat.
  network.delay_us.min = 100 + random.below(1'000);
  network.delay_us.max = network.delay_us.min + 1 + random.below(tick_us << random.below(3));
  network.drop_ppm = maybe_ppm(random, 50, 200'000);
  network.duplicate_ppm = maybe_ppm(random, 50, 200'000);
  network.straggler_ppm = maybe_ppm(random, 50, 30'000);
  network.straggler_delay_us = {tick_us, tick_us * (20 + random.below(200))};
  network.in_order = percent(random, 40);
  network.cut_loses_in_flight = percent(random, 50);
  if (percent(random, 15)) network.queue_messages_max = 2 + random.below(20);
}

void draw_node(Random& random, NodeOptions& node) {
  if (percent(random, 40)) node.visibility = SimDisk::Visibility::kAtSync;
  node.sync_us = {50, 100 + random.below(2'000ULL << random.below(6))};
  node.apply_us = {10, 20 + random.below(500ULL << random.below(5))};
  if (percent(random, 40)) node.drain_us = {0, 1 + random.below(4'000)};
  node.outstanding_readys_max = percent(random, 30) ? 1 : 1 + random.below(16);
  node.apply_entries_max = 1 + random.below(32);
  node.flush_ppm = 1'000 + random.below(percent(random, 50) ? 900'000 : 50'000);
  node.acknowledge_each = percent(random, 50);
}

void draw_nemesis(Random& random, uint64_t tick_us, NemesisOptions& nemesis) {
  const uint64_t second_us = tick_us * 100;
  nemesis.crash_us = maybe_every(random, 65, second_us / 20, second_us * 4);
  nemesis.crash_all_us = maybe_every(random, 20, second_us, second_us * 8);
  nemesis.weak_moments = percent(random, 60);
  nemesis.torn_ppm = random.below(1'000'001);
  nemesis.down_us = 1 + random.below(second_us >> random.below(8));
  nemesis.pause_us = maybe_every(random, 40, second_us / 10, second_us * 4);
  nemesis.paused_for_us = 1 + random.below(second_us >> random.below(4));
  nemesis.slow_us = maybe_every(random, 40, second_us / 5, second_us * 4);
  nemesis.partition_us = maybe_every(random, 60, second_us / 10, second_us * 4);
  nemesis.partitioned_for_us = 1 + random.below(second_us >> random.below(4));
  nemesis.compact_us = maybe_every(random, 75, second_us / 50, second_us * 2);
  nemesis.snapshot_fail_ppm = maybe_ppm(random, 60, 700'000);
  nemesis.snapshot_transfer_us = {500, 1'000 + random.below(second_us >> random.below(8))};
  nemesis.member_us = maybe_every(random, 60, second_us / 50, second_us * 2);
  nemesis.joint_changes = percent(random, 70);
  nemesis.transfer_us = maybe_every(random, 40, second_us / 20, second_us * 4);
  nemesis.campaign_us = maybe_every(random, 30, second_us / 10, second_us * 4);
  nemesis.step_down_us = maybe_every(random, 20, second_us / 10, second_us * 4);
  nemesis.report_unreachable_ppm = maybe_ppm(random, 50, 1'000'000);
  nemesis.clock_skew_percent = percent(random, 50) ? random.below(60) : 0;
}

void draw_clients(Random& random, uint64_t tick_us, ClientOptions& clients) {
  clients.write_us = (tick_us / 8) << random.below(6);
  clients.read_us = (tick_us / 4) << random.below(6);
  clients.keys = static_cast<uint32_t>(1 + random.below(4));
  clients.padding_bytes_max = random.below(200);
  clients.to_leader_only = percent(random, 20);
  clients.burst_max = percent(random, 30) ? 1 + random.below(12) : 1;
}

struct Fault {
  std::string_view name;
  void (*leave_out)(SimOptions&);
};

constexpr Fault kFaults[] = {
    {"drop", [](SimOptions& o) { o.network.drop_ppm = 0; }},
    {"duplicate", [](SimOptions& o) { o.network.duplicate_ppm = 0; }},
    {"straggler", [](SimOptions& o) { o.network.straggler_ppm = 0; }},
    {"reorder", [](SimOptions& o) { o.network.in_order = true; }},
    {"crash", [](SimOptions& o) { o.nemesis.crash_us = 0; }},
    {"crash-all", [](SimOptions& o) { o.nemesis.crash_all_us = 0; }},
    {"weak-moments", [](SimOptions& o) { o.nemesis.weak_moments = false; }},
    {"torn", [](SimOptions& o) { o.nemesis.torn_ppm = 0; }},
    {"pause", [](SimOptions& o) { o.nemesis.pause_us = 0; }},
    {"slow", [](SimOptions& o) { o.nemesis.slow_us = 0; }},
    {"skew", [](SimOptions& o) { o.nemesis.clock_skew_percent = 0; }},
    {"partition", [](SimOptions& o) { o.nemesis.partition_us = 0; }},
    {"compact", [](SimOptions& o) { o.nemesis.compact_us = 0; }},
    {"snapshot-failure", [](SimOptions& o) { o.nemesis.snapshot_fail_ppm = 0; }},
    {"member-change", [](SimOptions& o) { o.nemesis.member_us = 0; }},
    {"joint", [](SimOptions& o) { o.nemesis.joint_changes = false; }},
    {"transfer", [](SimOptions& o) { o.nemesis.transfer_us = 0; }},
    {"campaign", [](SimOptions& o) { o.nemesis.campaign_us = 0; }},
    {"step-down", [](SimOptions& o) { o.nemesis.step_down_us = 0; }},
    {"unreachable", [](SimOptions& o) { o.nemesis.report_unreachable_ppm = 0; }},
    {"reads", [](SimOptions& o) { o.clients.read_us = UINT32_MAX; }},
    {"padding", [](SimOptions& o) { o.clients.padding_bytes_max = 0; }},
    {"slow-drain",
     [](SimOptions& o) {
       o.node.drain_us = {0, 0};
     }},
};

}  // namespace

std::vector<std::string_view> fault_names() {
  std::vector<std::string_view> out;
  for (const Fault& fault : kFaults) out.push_back(fault.name);
  return out;
}

SimOptions draw_options(const SimOptions& given) {
  SimOptions options = given;
  Random random(seed_for(given.seed, 0));
  static constexpr uint32_t kVoters[] = {1, 1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7};
  const uint32_t drawn = kVoters[random.below(std::size(kVoters))];
  options.voters = given.nodes != 0 ? given.nodes : drawn;
  const uint64_t spares = random.below(4);
  options.origin_index = percent(random, 40) ? 1 + random.below(10) : 0;
  draw_core(random, options.core);
  draw_network(random, options.tick_us, options.network);
  draw_node(random, options.node);
  draw_nemesis(random, options.tick_us, options.nemesis);
  draw_clients(random, options.tick_us, options.clients);
  if (options.machine->adjust != nullptr) options.machine->adjust(options);
  for (const std::string& name : given.without) {
    for (const Fault& fault : kFaults) {
      if (fault.name == name) fault.leave_out(options);
    }
  }
  options.spares = options.nemesis.member_us != 0 ? static_cast<uint32_t>(spares) : 0;
  return options;
}

std::string describe(const SimOptions& o) {
  char text[1600];
  const auto n = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::snprintf(
      text, sizeof text,
      "seed %llu, %llu steps, break %.*s\n"
      "members   %u voters, %u spares, logs begin after %llu\n"
      "core      pre_vote %d, check_quorum %d, election %u, heartbeat %u, append %llu B, in flight %llu / %llu B,\n"
      "          uncommitted %llu B, committed %llu B, cached %llu B, reads %llu\n"
      "network   %llu..%llu us, drop %llu, duplicate %llu, straggler %llu ppm, in order %d, cut loses %d, queue %llu\n"
      "node      reads at %s, sync %llu us, apply %llu us, drain %llu us, %llu outstanding, flush %llu ppm\n"
      "nemesis   (mean ms between) crash %llu, all %llu, weak moments %d, pause %llu, slow %llu, partition %llu, "
      "compact %llu,\n"
      "          members %llu%s, transfer %llu, campaign %llu, step-down %llu; snapshot fails %llu ppm, skew %llu %%\n"
      "clients   a write every %llu us, a read every %llu us, %u keys, padding %llu B, burst %llu%s\n",
      n(o.seed), n(o.steps), static_cast<int>(name(o.broken).size()), name(o.broken).data(), o.voters, o.spares,
      n(o.origin_index), o.core.pre_vote, o.core.check_quorum, o.core.election_ticks, o.core.heartbeat_ticks,
      n(o.core.max_append_bytes), n(o.core.max_inflight_appends), n(o.core.max_inflight_bytes),
      n(o.core.max_uncommitted_bytes), n(o.core.max_committed_bytes), n(o.core.max_cached_bytes),
      n(o.core.max_pending_reads), n(o.network.delay_us.min), n(o.network.delay_us.max), n(o.network.drop_ppm),
      n(o.network.duplicate_ppm), n(o.network.straggler_ppm), o.network.in_order, o.network.cut_loses_in_flight,
      n(o.network.queue_messages_max), o.node.visibility == SimDisk::Visibility::kAtSync ? "sync" : "write",
      n(o.node.sync_us.max), n(o.node.apply_us.max), n(o.node.drain_us.max), n(o.node.outstanding_readys_max),
      n(o.node.flush_ppm), n(o.nemesis.crash_us / 1000), n(o.nemesis.crash_all_us / 1000), o.nemesis.weak_moments,
      n(o.nemesis.pause_us / 1000), n(o.nemesis.slow_us / 1000), n(o.nemesis.partition_us / 1000),
      n(o.nemesis.compact_us / 1000), n(o.nemesis.member_us / 1000), o.nemesis.joint_changes ? " (joint)" : "",
      n(o.nemesis.transfer_us / 1000), n(o.nemesis.campaign_us / 1000), n(o.nemesis.step_down_us / 1000),
      n(o.nemesis.snapshot_fail_ppm), n(o.nemesis.clock_skew_percent), n(o.clients.write_us), n(o.clients.read_us),
      o.clients.keys, n(o.clients.padding_bytes_max), n(o.clients.burst_max),
      o.clients.to_leader_only ? ", to leaders only" : "");
  return text;
}

}  // namespace kv::sim
