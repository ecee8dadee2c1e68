// What a simulated member applies its entries to. An interface, so that the same simulator drives a small state
// machine (ChainStateMachine) and the real store with its leases and watches (store/).
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

  // The next entry, and the configuration that is in force after it. Seen by readers after commit(), which ends a batch
  // of such calls, and durable after flush().
  virtual void apply(const raft::Entry& entry, const raft::Configuration& configuration) = 0;
  virtual void commit() {}

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

  // Equal on all members that have applied the same entries. nullopt: not to be had here, in the middle of a batch, or
  // because it costs too much to be made after each entry.
  virtual std::optional<uint64_t> hash() const = 0;
  // The value of a key; 0 for one that was never written.
  virtual uint64_t read(uint32_t key) const = 0;
};

}  // namespace kv::sim
