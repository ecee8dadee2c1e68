// One simulated member: a real raft::Core, a simulated disk, a state machine, and between them the driver that
// raft/node is in production: it takes Readys, writes, sends, applies and acknowledges, each of these late, in
// pieces, or cut off by a crash.
//
// The object outlives its process: crash() ends a run, start() begins the next from what the disk has kept.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "checker.h"
#include "event_queue.h"
#include "history.h"
#include "machine.h"
#include "options.h"
#include "raft/core/core.h"
#include "sim_clock.h"
#include "sim_disk.h"
#include "state_machine.h"
#include "trace.h"

namespace kv::sim {

class SimNode;

// What happened in a run, to see that runs are not empty.
struct Counters {
  uint64_t readys = 0;
  uint64_t entries_applied = 0;
  uint64_t crashes = 0;
  uint64_t writes_lost = 0;
  uint64_t pauses = 0;
  uint64_t partitions = 0;
  uint64_t compactions = 0;
  uint64_t snapshots_installed = 0;
  uint64_t snapshots_failed = 0;
  uint64_t installs_interrupted = 0;
  uint64_t writes_proposed_again = 0;
  uint64_t changes_proposed = 0;
  uint64_t configurations = 0;
  uint64_t joint_configurations = 0;
  uint64_t transfers = 0;
  uint64_t writes_refused = 0;
};

// What all members share. Outlives them.
struct Surroundings {
  const SimOptions* options = nullptr;
  EventQueue* events = nullptr;
  Trace* trace = nullptr;
  const Machine* machine = nullptr;
  Checker* checker = nullptr;
  History* history = nullptr;
  Counters* counters = nullptr;
  std::function<void(raft::Message)> send;
  // A moment at which a crash would hurt most; the nemesis takes one in about `n` of them.
  std::function<void(SimNode& node, uint64_t n)> weak_moment;
  // Brings the state of `from` at or after `meta` and calls snapshot_arrived(), with nullptr when it failed.
  std::function<void(SimNode& to, raft::NodeId from, const raft::SnapshotMeta& meta)> fetch_snapshot;
};

class SimNode {
 public:
  // The member's disk holds `log` and its state machine `state`; it does not run yet.
  SimNode(raft::NodeId id, Surroundings* world, const LogImage& log, std::unique_ptr<StateMachine> state);

  raft::NodeId id() const { return id_; }
  bool running() const { return core_ != nullptr; }
  bool paused() const { return paused_; }
  uint64_t run() const { return run_; }
  const raft::Core& core() const { return *core_; }
  const StateMachine& state() const { return *state_; }
  StateMachine& state() { return *state_; }
  const SimDisk& disk() const { return disk_; }
  // The member's own clock, which goes on from one process to the next.
  const SimClock& clock() const { return clock_; }
  int64_t now_ms() const { return static_cast<int64_t>(clock_.at(world_->events->now_us()) / 1000); }

  // ---- its process ----
  void start();
  void crash();
  void pause();
  void resume();

  // ---- how it behaves ----
  void set_slowness(uint64_t times) { slowness_ = times; }
  void set_tick_us(uint64_t tick_us);
  // From now on: fast disk, fast state machine.
  void calm();

  // ---- inputs; while paused they wait, and a crash forgets them ----
  void receive(raft::Message message);
  uint64_t write(uint32_t key, size_t padding_bytes);  // the call's id in the history
  void read(uint32_t key);
  void transfer(raft::NodeId to);
  void campaign();
  void step_down();
  void unreachable(raft::NodeId peer);
  void snapshot_arrived(uint64_t run, std::shared_ptr<const StateImage> image);
  // Truncates the log behind what the state machine has on disk.
  void compact();
  // Not for a paused member: the answer is needed at once.
  Result<raft::Index> propose_change(const raft::ConfigChange& change);

  // The state as it would travel to another member.
  std::shared_ptr<const StateImage> checkpoint();

  // ---- for what runs beside the log ----
  // Before the first start().
  void set_service(std::unique_ptr<Service> service) { service_ = std::move(service); }
  Service* service() const { return service_.get(); }
  // Something inside the process, after a while: a crash cancels it, a pause holds it up.
  void later(uint64_t delay_us, EventQueue::Action action);
  // Something that comes from outside; after a pause, if need be.
  void ask(EventQueue::Action action);
  // For actions of the process, which runs and is not paused.
  Result<raft::Index> propose(std::string data);
  // Leadership is confirmed by a round that begins now: Service::confirmed().
  void confirm(uint64_t id);

 private:
  struct Outstanding {
    uint64_t number;   // of the Ready
    uint64_t written;  // SimDisk's number of its write
    bool must_sync;
    std::vector<raft::Message> messages;
  };

  void input(EventQueue::Action action);
  void after_input();
  template <typename Line>
  void note(uint64_t digest, Line&& line);

  void schedule_tick();
  void drain();
  void handle(raft::Ready ready);
  void send(std::vector<raft::Message> messages);

  void sync_if_needed();
  void acknowledge_disk();

  void queue_to_apply(const std::vector<raft::Entry>& entries);
  void apply_unpersisted();
  void schedule_apply();
  void apply_some();
  void apply_one(const raft::Entry& entry, bool ends_batch);

  void read_answered(const raft::ReadState& read);
  void finish_read(uint64_t id);
  void finish_reads();

  void install(std::shared_ptr<const StateImage> image, uint64_t written);
  void begin_log_after_snapshot();
  // A write that a client waits for, and in which term it left for its leader; 0: it has not.
  struct Write {
    raft::Payload command;
    raft::Term term;
    bool of_unknown_fate = false;
  };
  raft::Index propose_write(uint64_t id, Write& write);  // 0 when it is not known here where it will be
  void propose_again(raft::Term term);

  void check_accepted(const std::vector<raft::Entry>& entries);
  void make_log_follow_state();

  raft::NodeId id_;
  Surroundings* world_;
  Random random_;
  NodeOptions options_;
  Break broken_;
  SimDisk disk_;
  std::unique_ptr<StateMachine> state_;
  std::unique_ptr<Service> service_;
  SimClock clock_;
  bool clock_stands_in_pauses_;
  uint64_t slowness_ = 1;
  uint64_t tick_us_;

  // ---- of this run of the process ----
  uint64_t run_ = 0;
  std::unique_ptr<raft::Core> core_;
  bool paused_ = false;
  uint64_t paused_at_us_ = 0;
  std::deque<EventQueue::Action> inbox_;  // what came while it was paused
  bool drain_scheduled_ = false;
  std::deque<Outstanding> outstanding_;
  bool syncing_ = false;
  uint64_t acknowledged_ = 0;
  std::deque<raft::Entry> to_apply_;
  bool apply_scheduled_ = false;
  raft::Index last_commit_;
  raft::Index handed_out_;                              // the last index of Ready::committed
  std::map<uint64_t, uint32_t> reads_;                  // id -> key, of those that are not finished
  std::multimap<raft::Index, uint64_t> indexed_reads_;  // wait until this index is applied
  std::map<uint64_t, Write> writes_;                    // by id
  raft::Term applied_term_;
  std::map<raft::Index, std::pair<raft::Term, uint64_t>> accepted_;  // where the core said a write would be
  bool snapshot_wanted_ = false;
  uint64_t snapshot_written_ = 0;  // the write of the Ready that asked for it
  raft::SnapshotMeta snapshot_offered_;

  // ---- on disk ----
  std::deque<raft::SnapshotMeta> flushed_;        // places up to which the log may be truncated
  std::optional<raft::SnapshotMeta> installing_;  // the state is swapped, the log is not yet
};

}  // namespace kv::sim
