// What the members of a run replicate and serve: a state machine for each, what else its process does beside the log,
// and the clients of that. One kind per run. ChainMachine is the log alone; store/ has the real store, with its leases
// and watches.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "command.h"
#include "raft/types.h"
#include "state_machine.h"

namespace kv::sim {

class Cluster;
class SimNode;
struct RunStats;

// What one member's process does beside the log; called by its SimNode. It outlives the process, like the SimNode.
class Service {
 public:
  virtual ~Service() = default;
  virtual void started() = 0;  // the core is there, the state machine as its disk has it
  virtual void crashed() = 0;  // before the state machine loses what was not flushed
  virtual void stepped() = 0;  // after every input
  virtual void ticked() = 0;   // with every tick of the member's clock
  virtual void state_replaced() = 0;
  // The answer to SimNode::confirm(): with `ok` the state machine has applied what was committed when it was asked.
  virtual void confirmed(uint64_t id, bool ok) = 0;
};

class Machine {
 public:
  virtual ~Machine() = default;

  // `start`: where the group's log begins, or nothing for a member that is brought a snapshot first.
  virtual std::unique_ptr<StateMachine> make_state(raft::NodeId id, const raft::SnapshotMeta& start) = 0;
  virtual std::unique_ptr<Service> make_service(SimNode&) { return nullptr; }

  // The writes of numbers that History judges.
  virtual std::string encode_write(const Command& command, size_t padding_bytes) const = 0;
  virtual std::optional<Command> decode_write(std::string_view entry) const = 0;

  virtual void begin() {}  // all members are made
  virtual void heal() {}   // the faults are over: clients ask for nothing new
  // The end is reached when this holds too, for which there is so much time more than the log alone needs.
  virtual bool settled() { return true; }
  virtual uint64_t settling_max_us() const { return 0; }
  virtual std::string describe_unsettled() const { return {}; }
  virtual void judge() {}
  virtual void count(RunStats*) const {}
};

struct SimOptions;

struct MachineKind {
  std::string_view name;
  // Makes drawn options such that a run of this kind does not take too long; may be null.
  void (*adjust)(SimOptions&);
  std::unique_ptr<Machine> (*make)(Cluster&);
  // Removes what a process that is gone has left behind; may be null.
  void (*clean_up)(pid_t process);
};

extern const MachineKind kChainMachine;

}  // namespace kv::sim
