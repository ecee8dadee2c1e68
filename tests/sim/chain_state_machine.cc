#include "chain_state_machine.h"

#include "cluster.h"
#include "command.h"
#include "digest.h"
#include "draw.h"

namespace kv::sim {

class ChainStateMachine::Image final : public StateImage {
 public:
  explicit Image(State state) : state_(std::move(state)) {}
  const raft::SnapshotMeta& meta() const override { return state_.meta; }
  const State& state() const { return state_; }

 private:
  State state_;
};

ChainStateMachine::ChainStateMachine(Break broken, const raft::SnapshotMeta& start) : broken_(broken) {
  memory_.meta = start;
  disk_ = memory_;
}

void ChainStateMachine::apply(const raft::Entry& entry, const raft::Configuration& configuration) {
  memory_.meta = {entry.index, entry.term, configuration};
  memory_.chain = mix(memory_.chain, digest(entry));
  if (entry.type != raft::EntryType::kCommand || !entry.data) return;
  if (const auto command = decode_command(*entry.data)) memory_.values[command->key] = command->value;
}

void ChainStateMachine::crash() {
  if (broken_ == Break::kAppliedIndexApart) {
    // The data survived, the applied index is the old one: entries are applied twice.
    memory_.meta = disk_.meta;
    disk_ = memory_;
    return;
  }
  memory_ = disk_;
}

std::shared_ptr<const StateImage> ChainStateMachine::checkpoint() const { return std::make_shared<Image>(memory_); }

void ChainStateMachine::install(const StateImage& image) {
  const raft::Configuration old = memory_.meta.configuration;
  memory_ = static_cast<const Image&>(image).state();
  if (broken_ == Break::kSnapshotWithoutConfig) memory_.meta.configuration = old;
  disk_ = memory_;
}

uint64_t ChainStateMachine::read(uint32_t key) const {
  const auto it = memory_.values.find(key);
  return it == memory_.values.end() ? 0 : it->second;
}

namespace {

class ChainMachine final : public Machine {
 public:
  explicit ChainMachine(Break broken) : broken_(broken) {}

  std::unique_ptr<StateMachine> make_state(raft::NodeId, const raft::SnapshotMeta& start) override {
    return std::make_unique<ChainStateMachine>(broken_, start);
  }
  std::string encode_write(const Command& command, size_t padding_bytes) const override {
    return encode(command, padding_bytes);
  }
  std::optional<Command> decode_write(std::string_view entry) const override { return decode_command(entry); }

 private:
  const Break broken_;
};

}  // namespace

const MachineKind kChainMachine = {
    .name = "chain",
    .adjust = nullptr,
    .make = [](Cluster& cluster) -> std::unique_ptr<Machine> {
      return std::make_unique<ChainMachine>(cluster.options().broken);
    },
    .clean_up = nullptr,
};

}  // namespace kv::sim
