// The simplest state machine that forgives nothing: a hash chain over everything applied, so that one entry
// missed, doubled or swapped shows at once and for ever, and a map of keys for the clients' reads.
#pragma once

#include <map>

#include "breaks.h"
#include "state_machine.h"

namespace kv::sim {

class ChainStateMachine final : public StateMachine {
 public:
  // `start`: where the group's log begins (see Cluster), or index 0.
  ChainStateMachine(Break broken, const raft::SnapshotMeta& start);

  void apply(const raft::Entry& entry, const raft::Configuration& configuration) override;
  const raft::SnapshotMeta& applied() const override { return memory_.meta; }
  const raft::SnapshotMeta& durable() const override { return disk_.meta; }
  void flush() override { disk_ = memory_; }
  void crash() override;
  std::shared_ptr<const StateImage> checkpoint() const override;
  void install(const StateImage& image) override;
  std::optional<uint64_t> hash() const override { return memory_.chain; }
  uint64_t read(uint32_t key) const override;

 private:
  struct State {
    raft::SnapshotMeta meta;
    uint64_t chain = 0;
    std::map<uint32_t, uint64_t> values;
  };
  class Image;

  Break broken_;
  State memory_;
  State disk_;
};

}  // namespace kv::sim
