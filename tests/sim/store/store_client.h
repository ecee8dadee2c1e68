// Clients of the key space: random puts, deletes, transactions and compactions over few keys, some with a lease, through
// any member. Their answers are compared with the model's.
#pragma once

#include "base/random.h"
#include "sim/store/store_world.h"
#include "store/random_requests.h"

namespace kv::sim {

class StoreClients {
 public:
  explicit StoreClients(StoreWorld* world);
  void begin() { act(); }
  void heal() { healed_ = true; }

 private:
  void act();
  kvdpb::Command command();

  StoreWorld* world_;
  Random random_;
  store::RandomRequests requests_;
  bool healed_ = false;
};

}  // namespace kv::sim
