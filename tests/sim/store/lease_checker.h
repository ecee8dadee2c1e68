// Whether leases live as long as was promised, and no longer than they must.
//
// The promise: a client that asked for a lease, or to keep it alive, and was told that it is, keeps it for a TTL from the
// moment at which it asked, as counted by those who led. A leader counts from then, or from when it began to lead
// if that is later; what an earlier leader had counted is added only if a checkpoint of its count stood in the
// state when the next one began. The checker does this sum from outside, with the members' clocks, for every lease that
// was ended by its leader.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "raft/types.h"
#include "sim/checker.h"
#include "sim/sim_clock.h"

namespace kv::sim {

// Where in the log a command stands: index, then its number within the entry.
using LeasePlace = std::pair<raft::Index, size_t>;

class LeaseChecker {
 public:
  using Clock = std::function<const SimClock&(raft::NodeId)>;
  LeaseChecker(Checker* checker, Clock clock) : checker_(checker), clock_(std::move(clock)) {}

  // ---- what members do ----
  void leads(raft::Term term, raft::NodeId node, raft::Index applied, uint64_t now_us);
  // A leader has decided upon the command of this number.
  void decided(raft::Term term, uint64_t number, uint64_t now_us);

  // ---- what the log did ----
  void granted(int64_t id, int64_t ttl_s, LeasePlace place);
  void revoked(int64_t id, LeasePlace place);
  void expired(int64_t id, LeasePlace place, raft::Term term, uint64_t number);
  void checkpointed(int64_t id, LeasePlace place, raft::Term term, uint64_t number, int64_t remaining_s);

  // ---- what clients were told; each asked at `asked_us` ----
  void grant_answered(int64_t id, LeasePlace place, uint64_t asked_us);
  // By a leader that had applied the log up to `applied`.
  void keep_alive_answered(int64_t id, raft::Index applied, uint64_t asked_us);
  void told_unknown(int64_t id, raft::Index applied);

  uint64_t expiries() const { return expiries_; }
  uint64_t checkpoints() const { return checkpoints_; }
  uint64_t keep_alives() const { return keep_alives_; }

 private:
  using Number = std::pair<raft::Term, uint64_t>;
  struct Lease {
    int64_t id = 0;
    int64_t ttl_s = 0;
    LeasePlace begin;
    std::optional<LeasePlace> end;
    std::optional<Number> expiry;              // what ended it, unless a client did
    std::optional<uint64_t> promised_from_us;  // when the last call was made that was answered
    struct Checkpoint {
      LeasePlace place;
      Number number;
      int64_t remaining_s;
    };
    std::vector<Checkpoint> checkpoints;
  };
  struct Leader {
    raft::NodeId node;
    raft::Index applied;
    uint64_t from_us = 0;
  };

  Lease* alive_at(int64_t id, raft::Index applied);
  void promise(Lease& lease, uint64_t asked_us);
  void judge(const Lease& lease);
  // What the leaders have counted of the lease between `from_us` and the decision upon the command.
  uint64_t counted_us(const Lease& lease, const Number& command, uint64_t from_us, std::string* how);

  Checker* checker_;
  Clock clock_;
  std::map<int64_t, std::vector<Lease>> leases_;  // by id, oldest first
  std::map<raft::Term, Leader> leaders_;
  std::map<Number, uint64_t> decided_us_;
  uint64_t expiries_ = 0;
  uint64_t checkpoints_ = 0;
  uint64_t keep_alives_ = 0;
};

}  // namespace kv::sim
