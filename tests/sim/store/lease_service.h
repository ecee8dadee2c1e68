// Leases as a simulated member serves them: the real Lessor (server/lessor.h), driven as server/lease_calls.h does it,
// but with the member's simulated clock and without threads.
//
// A keep-alive goes to whoever the member believes to lead, over the simulated network; it is answered after a quorum
// round that began after it arrived. Ends and rests are proposed after such a round, too, in the leader's own term.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "base/random.h"
#include "server/applier.h"
#include "server/lessor.h"
#include "sim/sim_node.h"
#include "sim/store/store_world.h"

namespace kv::sim {

class LeaseService {
 public:
  LeaseService(SimNode* node, StoreStateMachine* state, StoreWorld* world);

  // ---- its process ----
  void started();
  void crashed();
  void stepped();
  void ticked();
  void leases_changed(const server::LeaseNews& news);
  void confirmed(uint64_t id, bool ok);

  // ---- what clients ask ----
  // The TTL; 0: there is no such lease; -1: nobody could say.
  using Reply = std::function<void(int64_t ttl_s)>;
  // `asked_us`: when the client did. Inside the process.
  void keep_alive(int64_t lease, uint64_t asked_us, Reply reply);

 private:
  struct Question {
    int64_t lease = 0;
    uint64_t asked_us = 0;
    bool of_peer = false;
    int64_t expires_ms = 0;
    int64_t retry_ms = 0;  // while it waits
    Reply reply;
  };
  using QuestionPtr = std::shared_ptr<Question>;

  void attempt(QuestionPtr question);
  void ask_leader(raft::NodeId leader, QuestionPtr question);
  void renew(QuestionPtr question);
  void wait(QuestionPtr question, int64_t delay_ms);
  void propose(const std::vector<kvdpb::Command>& commands);
  int64_t now_ms() const { return node_->now_ms(); }
  Break broken() const { return world_->cluster->options().broken; }

  SimNode* node_;
  StoreStateMachine* state_;
  StoreWorld* world_;
  Random random_;

  // ---- of this run of the process ----
  std::unique_ptr<server::Lessor> lessor_;
  raft::Term leading_;
  std::vector<int64_t> to_clear_;
  std::list<QuestionPtr> waiting_;
  bool retry_all_ = false;
  bool round_asked_ = false;
  int64_t round_not_before_ms_ = 0;
  uint64_t next_id_ = 1;
  std::map<uint64_t, std::function<void(bool)>> confirmations_;
};

}  // namespace kv::sim
