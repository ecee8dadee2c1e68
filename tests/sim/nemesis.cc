#include "nemesis.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "cluster.h"
#include "draw.h"

namespace kv::sim {

using raft::NodeId;

void Nemesis::begin() {
  const NemesisOptions& options = cluster_->options().nemesis;
  every(options.crash_us, [this] { crash(pick_running()); });
  every(options.crash_all_us, [this] { crash_all(); });
  every(options.pause_us, [this] { pause(pick_running()); });
  every(options.slow_us, [this] { make_slow(); });
  every(options.partition_us, [this] { partition(); });
  every(options.compact_us, [this] {
    if (SimNode* node = pick_running()) node->compact();
  });
  every(options.member_us, [this] { change_membership(); });
  every(options.transfer_us, [this] {
    if (SimNode* leader = cluster_->some_leader(random_)) {
      ++cluster_->counters().transfers;
      leader->transfer(random_id());
    }
  });
  every(options.campaign_us, [this] {
    if (SimNode* node = pick_running()) node->campaign();
  });
  every(options.step_down_us, [this] {
    if (SimNode* node = pick_running()) node->step_down();
  });
}

void Nemesis::every(uint64_t mean_us, std::function<void()> action) {
  if (mean_us == 0) return;
  cluster_->events().after(around(random_, mean_us), [this, mean_us, action = std::move(action)]() mutable {
    if (!cluster_->faults_on()) return;
    action();
    every(mean_us, std::move(action));
  });
}

SimNode* Nemesis::pick_running() {
  if (random_.one_in(3)) {
    if (SimNode* leader = cluster_->some_leader(random_)) return leader;
  }
  const std::vector<SimNode*> running = cluster_->running_nodes();
  return running.empty() ? nullptr : running[random_.below(running.size())];
}

NodeId Nemesis::random_id() { return NodeId(1 + random_.below(cluster_->node_ids())); }

void Nemesis::crash(SimNode* node) {
  if (!node) return;
  node->crash();
  // Its connections break; but what is delayed on the way may find the next process, too.
  if (random_.one_in(2)) cluster_->network().lose_inbound(node->id());
  cluster_->events().after(around(random_, cluster_->options().nemesis.down_us), [node] {
    if (!node->running()) node->start();
  });
}

void Nemesis::weak_moment(SimNode* node, uint64_t n) {
  if (!cluster_->faults_on() || !cluster_->options().nemesis.weak_moments || !random_.one_in(n)) return;
  // When what happens now has happened, and before anything else does.
  const uint64_t kind = random_.below(4);
  cluster_->events().after(0, [this, node, run = node->run(), kind] {
    if (!node->running() || node->run() != run) return;
    switch (kind) {
      case 0: pause(node); break;
      case 1: isolate(node); break;
      default: crash(node); break;
    }
  });
}

void Nemesis::crash_all() {
  for (SimNode* node : cluster_->running_nodes()) crash(node);
}

void Nemesis::pause(SimNode* node) {
  if (!node) return;
  node->pause();
  cluster_->events().after(around(random_, cluster_->options().nemesis.paused_for_us), [node] { node->resume(); });
}

void Nemesis::make_slow() {
  SimNode* node = pick_running();
  if (!node) return;
  const uint64_t tick_us = cluster_->options().tick_us;
  const bool clock = random_.one_in(3);
  if (clock) {
    node->set_tick_us(tick_us / 3 + random_.below(3 * tick_us));
  } else {
    node->set_slowness(1 + random_.below(30));
  }
  cluster_->note(2, [&] { return "n" + to_string(node->id()) + (clock ? "'s clock runs oddly" : " becomes slow"); });
  cluster_->events().after(around(random_, 20 * tick_us), [this, node, tick_us] {
    if (!cluster_->faults_on()) return;
    node->set_tick_us(tick_us);
    node->set_slowness(1);
  });
}

void Nemesis::isolate(SimNode* node) {
  for (uint32_t id = 1; id <= cluster_->node_ids(); ++id) {
    cluster_->network().cut(node->id(), NodeId(id));
    cluster_->network().cut(NodeId(id), node->id());
  }
  ++cluster_->counters().partitions;
  cluster_->note(mix(5, node->id().value()), [&] { return "n" + to_string(node->id()) + " is cut off"; });
  mend_later();
}

void Nemesis::mend_later() {
  cluster_->events().after(around(random_, cluster_->options().nemesis.partitioned_for_us), [this] {
    cluster_->network().mend_all();
    cluster_->note(4, [] { return "the network is mended"; });
  });
}

void Nemesis::partition() {
  SimNetwork& network = cluster_->network();
  const uint32_t ids = cluster_->node_ids();
  const auto cut_where = [&](auto&& separated) {
    for (uint32_t from = 1; from <= ids; ++from) {
      for (uint32_t to = 1; to <= ids; ++to) {
        if (from != to && separated(from, to)) network.cut(NodeId(from), NodeId(to));
      }
    }
  };
  SimNode* picked = pick_running();
  const uint64_t one = picked ? picked->id().value() : random_id().value();
  const uint64_t side = random_.next();
  const auto on_side = [side](uint64_t id) { return (side >> id) & 1; };
  const uint64_t kind = random_.below(7);
  switch (kind) {
    case 0: cut_where([&](uint64_t from, uint64_t to) { return from == one || to == one; }); break;
    case 1: cut_where([&](uint64_t from, uint64_t) { return from == one; }); break;  // heard by nobody
    case 2: cut_where([&](uint64_t, uint64_t to) { return to == one; }); break;      // hears nobody
    case 3: cut_where([&](uint64_t from, uint64_t to) { return on_side(from) != on_side(to); }); break;
    case 4: cut_where([&](uint64_t from, uint64_t to) { return on_side(from) && !on_side(to); }); break;
    case 5:  // two sides that both see one member, and not each other
      cut_where([&](uint64_t from, uint64_t to) { return on_side(from) != on_side(to) && from != one && to != one; });
      break;
    default: cut_where([&](uint64_t, uint64_t) { return random_.one_in(3); }); break;
  }
  ++cluster_->counters().partitions;
  cluster_->note(mix(3, mix(kind, mix(one, side))), [&] {
    static constexpr const char* kKinds[] = {
        "isolates", "mutes", "deafens", "splits", "splits one way", "bridges by", "cuts links at random, not of"};
    return std::string("a partition ") + kKinds[kind] + " n" + std::to_string(one);
  });
  mend_later();
}

void Nemesis::change_membership() {
  SimNode* leader = cluster_->some_leader(random_);
  if (!leader || random_.one_in(20)) leader = pick_running();
  if (!leader || leader->paused()) return;
  const raft::Configuration& now = leader->state().applied().configuration;
  const auto is_voter = [&now](NodeId id) {
    return std::find(now.voters.begin(), now.voters.end(), id) != now.voters.end();
  };
  raft::ConfigChange change;
  const bool joint_now = now.joint();
  if (joint_now && !random_.one_in(8)) {
    change.leave_joint = true;
  } else {
    const bool several = cluster_->options().nemesis.joint_changes && random_.one_in(2);
    change.joint = several && random_.one_in(2);
    for (uint64_t n = several ? 1 + random_.below(3) : 1; n > 0; --n) {
      const NodeId id = random_id();
      // Removals shrink the group only so far; promotions of learners are additions.
      raft::ChangeType type = static_cast<raft::ChangeType>(random_.below(3));
      if (type == raft::ChangeType::kRemove && now.voters.size() <= 2 && !random_.one_in(4)) {
        type = raft::ChangeType::kAddVoter;
      }
      if (type == raft::ChangeType::kAddVoter && is_voter(id) && random_.one_in(2)) type = raft::ChangeType::kRemove;
      change.changes.push_back({type, id});
    }
  }
  if (!leader->propose_change(change).ok()) return;
  ++cluster_->counters().changes_proposed;
  for (const raft::SingleChange& single : change.changes) {
    if (single.type != raft::ChangeType::kRemove) cluster_->ensure_node(single.node);
  }
}

}  // namespace kv::sim
