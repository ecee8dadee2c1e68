// The engine: the thread that drives one member's raft core. It owns the core, and it is where a member's
// pipeline meets: proposals and reads from the doors, messages from peers, and the answers of the two stages
// that it feeds, the log (synced writes) and the applier.
//
//   doors --propose--> [inbox] --> core --> log write (one sync for all that arrived while the last one ran)
//   peers --deliver-->                 --> messages to peers (before the leader's own sync)
//   doors --read----->                 --> apply --> calls answered
//
// The stages are objects with an inbox; whether they run on the engine's own thread or on their own is decided
// at start (EngineOptions::pipeline_threads), not by the shape of the code.
#pragma once

#include <absl/functional/any_invocable.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "raft/core/core.h"
#include "raft/log_store.h"
#include "raft/transport.h"
#include "server/applier.h"
#include "server/log_truncation.h"
#include "server/pending_calls.h"
#include "server/read_queue.h"
#include "server/snapshot_receiver.h"

namespace kv::server {

struct EngineOptions {
  raft::CoreOptions core;
  raft::InitialState initial;
  int64_t tick_ms = 100;
  int pipeline_threads = 1;  // 1 or 3
  bool sync = true;
  size_t max_entry_bytes = 1 << 20;  // commands joined into one log entry; a single larger one goes alone
  size_t max_waiting_reads = 1 << 17;
  int64_t request_timeout_ms = 7000;  // of proposals and reads that find no leader
  LogTruncation::Options truncation;
};

class Engine {
 public:
  // What the engine needs of the world around it.
  struct Ports {
    raft::LogStore* log;
    Applier* applier;
    PendingCalls* calls;
    const Clock* clock;
    // Sends to peers; must not block. Called on the engine's thread.
    std::function<void(std::vector<raft::Message>)> send;
    // The member can't go on (its disk failed, its state is damaged). Called once; no input does anything after it.
    std::function<void(Status)> failed;
    // What becomes of what is forwarded to that leader now. Called on the engine's thread, must not block.
    std::function<raft::Transport::Forwards(raft::NodeId leader)> forwards_to;
    // Role or leader changed. Called on the engine's thread.
    std::function<void(raft::SoftState, raft::Term)> soft_state_changed;
    // The leader's log does not reach back far enough for this member: fetch a state of at least that index from that
    // member and answer by snapshot_fetched(). Not again before the answer. Called on the engine's thread, must not
    // block. Empty: this member can't.
    std::function<void(const raft::SnapshotMeta& offered, raft::NodeId from)> fetch_snapshot;
    // A fetched state is served now, and its member list counts. Called on the engine's thread.
    std::function<void(const raft::SnapshotMeta&)> snapshot_installed;
    // From where members that fetch this member's state will go on in its log. Called on the engine's thread. May be
    // empty.
    std::function<std::optional<raft::Index>()> snapshots_need_after;
    // The log waits for the state to be flushed: do it soon, on another thread. Called on the engine's thread, again
    // and again until it is done. Empty: it is left to the state.
    std::function<void()> flush_state;
  };

  Engine(const EngineOptions& options, Ports ports, std::atomic<uint64_t>& term);
  ~Engine();  // stops and joins
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void start();
  void stop();

  // ---- any thread ----
  // A serialized kvdpb::Command, and the number in Ports::calls under which somebody waits for it. It waits for a
  // leader, and is proposed again when that one is lost before it was known to be in the log (proposal_queue.h); all
  // that while its call waits. With 0 nobody waits, and it is lost with its leader or message. False: the engine is
  // stopped.
  [[nodiscard]] bool propose(std::string command, uint64_t call = 0);
  // Calls `ready` when the state has reached what was committed when read() was called, as confirmed by a quorum
  // (thesis 6.4): ok, or Unavailable. May be called on the engine's or the apply thread: must not block.
  // An error ("too many requests", "server stopped") comes back at once, and `ready` is then untouched.
  using ReadReady = ReadQueue::Ready;
  Status read(ReadReady& ready);
  void deliver(std::vector<raft::Message>&& messages);
  void unreachable(raft::NodeId peer);
  void stream_lost(raft::NodeId peer);
  // The answer to fetch_snapshot. Unavailable: the leader may offer again; any other error: this member can't go on.
  void snapshot_fetched(Result<FetchedState> state);
  // Runs `work` on the engine's thread. Not called when the engine stops first.
  void run(absl::AnyInvocable<void(raft::Core&)> work);

  raft::SoftState soft_state() const;
  uint64_t commit_index() const { return commit_.load(std::memory_order_relaxed); }
  uint64_t applied_index() const { return applied_.load(std::memory_order_relaxed); }

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
  std::atomic<uint64_t>& term_;
  std::atomic<uint64_t> commit_{0};
  std::atomic<uint64_t> applied_{0};
  std::atomic<uint64_t> leader_{0};
  std::atomic<uint8_t> role_{0};
};

}  // namespace kv::server
