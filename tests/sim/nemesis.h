// What goes wrong, and when: crashes, pauses, slow members, bad clocks, partitions, truncated logs, and the
// operators, who change the membership and move the leadership at the worst moments.
#pragma once

#include <cstdint>
#include <functional>

#include "base/random.h"
#include "raft/types.h"

namespace kv::sim {

class Cluster;
class SimNode;

class Nemesis {
 public:
  Nemesis(Cluster* cluster, uint64_t seed) : cluster_(cluster), random_(seed) {}

  // Schedules everything that the options ask for, until Cluster::faults_on() ends.
  void begin();

  // Surroundings::weak_moment.
  void weak_moment(SimNode* node, uint64_t n);

 private:
  void every(uint64_t mean_us, std::function<void()> action);
  // One in three times the leader, who is the most interesting.
  SimNode* pick_running();

  void crash(SimNode* node);
  void crash_all();
  void pause(SimNode* node);
  void isolate(SimNode* node);
  void make_slow();
  void partition();
  void mend_later();
  void change_membership();
  raft::NodeId random_id();

  Cluster* cluster_;
  Random random_;
};

}  // namespace kv::sim
