// A member's state in the real store, driven by the real Applier.
//
// The store writes no WAL, so a crash loses what was not flushed: the store is closed without a flush and opened again.
// A state that travels to another member is the list of the commands that made it, applied in one go to a store of its
// own: how the entries were cut into batches must not matter. (A server sends checkpoints of RocksDB; that is not
// simulated.)
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "server/applier.h"
#include "server/pending_calls.h"
#include "sim/breaks.h"
#include "sim/state_machine.h"
#include "sim/store/store_checker.h"
#include "sim/store/store_run_options.h"
#include "store/store.h"

namespace kv::sim {

class StoreStateMachine final : public StateMachine, public server::LeaseObserver {
 public:
  struct Surroundings {
    std::string directory;  // of this member
    const StoreRunOptions* options = nullptr;
    StoreChecker* checker = nullptr;
    raft::SnapshotMeta origin;
    Break broken = Break::kNone;
    uint64_t seed = 0;
    uint64_t* stores_opened = nullptr;
  };
  // Told of what was applied; may be null.
  struct Observer {
    virtual ~Observer() = default;
    virtual void leases_changed(const server::LeaseNews& news) = 0;
    virtual void batch_committed() = 0;
  };

  StoreStateMachine(raft::NodeId id, const Surroundings& world, const raft::SnapshotMeta& start);
  ~StoreStateMachine() override;

  void set_observer(Observer* observer) { observer_ = observer; }
  store::Store& store() { return *store_; }
  // The calls that wait for a command to be applied here.
  server::PendingCalls& calls() { return *calls_; }

  void apply(const raft::Entry& entry, const raft::Configuration& configuration) override;
  void commit() override;
  const raft::SnapshotMeta& applied() const override { return applied_; }
  const raft::SnapshotMeta& durable() const override { return durable_; }
  void flush() override;
  void crash() override;
  std::shared_ptr<const StateImage> checkpoint() const override;
  void install(const StateImage& image) override;
  std::optional<uint64_t> hash() const override;
  uint64_t read(uint32_t key) const override;

  // Over everything that a reader could see, and the leases.
  uint64_t full_hash() const;

  static std::string register_key(uint32_t key) { return "R/" + std::to_string(key); }

 private:
  class Image;

  void open();
  void close();
  void begin_with(const raft::SnapshotMeta& start);
  raft::SnapshotMeta read_applied() const;
  raft::Entry tampered(const raft::Entry& entry);
  void applied(const server::LeaseNews& news) override;
  void must(const Status& status, const char* what);

  const raft::NodeId id_;
  const Surroundings world_;
  Random random_;
  Observer* observer_ = nullptr;
  const std::atomic<uint64_t> term_{0};
  uint64_t number_ = 0;  // of the store's directory
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<server::PendingCalls> calls_;
  std::unique_ptr<server::Applier> applier_;
  std::vector<server::CommittedEntry> batch_;
  raft::SnapshotMeta applied_;
  raft::SnapshotMeta durable_;
};

}  // namespace kv::sim
