// The clients of leases: for each id somebody who asks for a lease, keeps it alive for a while through one member or
// another, and then lets it end or gives it back; and again.
#pragma once

#include <cstdint>
#include <vector>

#include "base/random.h"
#include "sim/store/store_world.h"

namespace kv::sim {

class LeaseClients {
 public:
  explicit LeaseClients(StoreWorld* world);
  void begin();
  void heal() { healed_ = true; }

 private:
  struct Owner {
    int64_t id = 0;
    bool held = false;           // as far as it knows
    uint64_t keep_alives = 0;    // that are still to be made
    uint64_t round = 0;          // answers of earlier rounds don't count
    raft::NodeId at;             // the member that it talks to
  };

  void act(size_t owner);
  // As clients do, it stays with a member for a while, also with one that is cut off and doesn't know.
  SimNode* member_of(Owner& owner);
  void again(size_t owner, uint64_t delay_us);
  void grant(Owner& owner);
  void revoke(Owner& owner);
  void keep_alive(Owner& owner);

  StoreWorld* world_;
  Random random_;
  bool healed_ = false;
  std::vector<Owner> owners_;
};

}  // namespace kv::sim
