// What a simulated member's process does beside the log when it has a store: it takes calls of clients, serves leases
// and watches.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "kvdpb/command.pb.h"
#include "sim/machine.h"
#include "sim/sim_node.h"
#include "sim/store/lease_service.h"
#include "sim/store/store_state_machine.h"
#include "sim/store/store_world.h"
#include "sim/store/watch_service.h"

namespace kv::sim {

class StoreService final : public Service, public StoreStateMachine::Observer {
 public:
  StoreService(SimNode* node, StoreStateMachine* state, StoreWorld* world);

  LeaseService& leases() { return leases_; }
  WatchService& watches() { return watches_; }

  // Proposes a command of a client and calls `answered` when it is applied here, unless the process ends before. False: the
  // core would not take it. Inside the process.
  struct Call {
    kvdpb::Command command;
    // With where the lease was granted that it asked for; may be null.
    std::function<void(const Status&, std::optional<LeasePlace>)> answered;
  };
  bool propose(std::vector<Call> calls);

  // ---- Service ----
  void started() override;
  void crashed() override;
  void stepped() override;
  void ticked() override;
  void state_replaced() override;
  void confirmed(uint64_t id, bool ok) override;

  // ---- StoreStateMachine::Observer ----
  void leases_changed(const server::LeaseNews& news) override;
  void batch_committed() override;

 private:
  SimNode* node_;
  StoreStateMachine* state_;
  StoreWorld* world_;
  Random random_;
  LeaseService leases_;
  WatchService watches_;
};

}  // namespace kv::sim
