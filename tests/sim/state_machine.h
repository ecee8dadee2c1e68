// What a simulated member applies its entries to. An interface, so that the same simulator drives the small
// state machine of today (ChainStateMachine) and, later, the real store with its leases and watches.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "raft/types.h"

namespace kv::sim {

// A whole state as it travels to another member. Never changed once made.
class StateImage {
 public:
  virtual ~StateImage() = default;
  virtual const raft::SnapshotMeta& meta() const = 0;
};

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  // The next entry, and the configuration that is in force after it. Nothing is durable before flush().
  virtual void apply(const raft::Entry& entry, const raft::Configuration& configuration) = 0;

  // Where the state stands: the last applied entry and the configuration after it.
  virtual const raft::SnapshotMeta& applied() const = 0;
  // The same of what is on disk: the log may be truncated up to here.
  virtual const raft::SnapshotMeta& durable() const = 0;

  // Applied index and data together are on disk from now on.
  virtual void flush() = 0;
  // The process ends: what was not flushed is gone.
  virtual void crash() = 0;

  virtual std::shared_ptr<const StateImage> checkpoint() const = 0;
  // Replaces the state, durably and all at once.
  virtual void install(const StateImage& image) = 0;

  // Equal on all members that have applied the same entries.
  virtual uint64_t hash() const = 0;
  // The value of a key; 0 for one that was never written.
  virtual uint64_t read(uint32_t key) const = 0;
};

}  // namespace kv::sim
