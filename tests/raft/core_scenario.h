// The language of tests/raft/scenarios/*.txt: commands, one a line, for a Cluster, and the trace they leave.
//
//   # a comment
//   add-nodes 3 pre-vote=off
//   campaign 1
//   stabilize
//   ----
//   what is expected, up to the next empty line
//
// Nodes
//   add-nodes N [learners=4,5] [OPTION...]    nodes 1..N are voters; OPTIONs are Core's, see core_scenario.cc
//   add-node ID [voters=1,2 learners=3] [term=T vote=V log=1,1,2 commit=C] [OPTION...]
//                                             log: the terms of its entries; without voters: a node that joins
//   stop N, start N, crash N                  what the disk has not confirmed is lost
// Inputs
//   tick N [COUNT], timeout N                 timeout: as many ticks as it takes until it stands for election
//   campaign N, step-down N, transfer N TO, unreachable N PEER, stream-lost N PEER
//   propose N WORD..., propose-bytes N SIZE [COUNT], read N ID...
//   change N [joint] add-voter=4 add-learner=5 remove=1, change N leave-joint
//   compact N INDEX
// Steps
//   ready N                                   takes Readys until there is none
//   stabilize [N...]                          Readys and deliveries until nothing is left to do
//   run COUNT                                 COUNT times: a tick for everybody, then stabilize
//   elect N                                   campaign and stabilize without a trace
//   silently COMMAND                          any command without a trace
// The network
//   deliver A->B [COUNT|last|twice]           all that waits, or the first COUNT, or the newest, or each twice
//   drop A->B [COUNT]
//   copy A->B, paste A->B                     keeps a copy of the newest; puts all copies back into the queue
//   partition 1 2 | 3, cut A->B, heal         lost when delivered
// Stages that may lag
//   hold-disk N, persist N [COUNT], release-disk N
//   hold-apply N, apply N [COUNT], release-apply N
//   hold-install N, install N, fail-install N
// Questions
//   log N, status N, machines, queue
#pragma once

#include <string>
#include <vector>

#include "raft/core_cluster.h"

namespace kv::raft::test {

class Scenario {
 public:
  // Runs a file's text and returns it with the expectations replaced by what happened. A command that can't be
  // understood is said in the place of its trace, behind "error:".
  static std::string rerun(const std::string& text);

 private:
  using Words = std::vector<std::string>;

  Scenario();
  void run(const std::string& line);
  void run(const Words& words);
  void add_nodes(const Words& words);
  void add_node(const Words& words);
  void change(const Words& words);
  void deliver(const Words& words);
  void partition(const Words& words);
  void print_log(NodeId id);
  void print_status(NodeId id);
  void take_all(NodeId id);
  void say(const std::string& line) {
    if (!silent_) out_ += line + "\n";
  }
  Node& live(NodeId id);

  Cluster cluster_;
  std::string out_;
  bool silent_ = false;
  std::vector<Message> copies_;
};

}  // namespace kv::raft::test
