// Fetches another member's state when the log of the leader does not reach back far enough for this one, and opens it
// beside the state that is served. On a thread of its own, one snapshot at a time; what takes long never meets the
// engine.
//
// It asks for a piece, writes it, and asks for the next: so a megabyte is under way at most, and the stream between the
// two members stays free for raft's messages. A question that gets no answer is asked again; a stream that breaks, or a
// restart of this member, costs the piece that was under way (incoming_snapshot.h). A sender that has the copy no more
// is asked for another.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "kvdpb/peer.pb.h"
#include "raft/types.h"
#include "server/incoming_snapshot.h"
#include "server/peer_calls.h"
#include "server/snapshot_files.h"
#include "store/store.h"

namespace kv::server {

// A state that was fetched, has its place in the data directory, and is open.
struct FetchedState {
  raft::SnapshotMeta meta;
  std::unique_ptr<store::NextState> next;
};

class SnapshotReceiver {
 public:
  // All must outlive stop().
  struct Ports {
    PeerCalls* peers = nullptr;
    const store::Store* store = nullptr;
    const Clock* clock = nullptr;
    // What has become of a fetch(). Unavailable: it may be tried again. DataLoss and others: the state has taken its
    // place but can't be opened, so the member can't go on. On the receiver's thread.
    std::function<void(Result<FetchedState>)> fetched;
    SnapshotStepHook hook;
  };
  struct Options {
    uint32_t piece_bytes = 1 << 20;
    int64_t answer_ms = 5000;  // for an answer; a copy is made first, which may take longer
    int64_t open_ms = 60'000;
    int64_t retry_ms = 200;
    // No answer for so long, and the fetch is given up: the leader may be another by now, who offers its own.
    int64_t give_up_ms = 10'000;
  };

  SnapshotReceiver(SnapshotPaths paths, const Options& options) : paths_(std::move(paths)), options_(options) {}
  ~SnapshotReceiver() { stop(); }

  void start(Ports ports);
  // Fetches a state that is at least `offered` from that member, then calls `fetched`. Not while another is fetched.
  // Any thread; doesn't block.
  void fetch(const raft::SnapshotMeta& offered, raft::NodeId from);
  // Ends a fetch that is under way without calling `fetched`, and joins. The peer calls must be closed before.
  void stop();

 private:
  struct Offer {
    raft::SnapshotMeta meta;
    raft::NodeId from;
  };

  void run();
  Result<FetchedState> work_off(const Offer& offer);
  Status receive(const Offer& offer, IncomingSnapshot& incoming);
  // Asks until there is an answer: what it says, or Unavailable.
  Result<kvdpb::PeerResponse> ask(raft::NodeId from, const kvdpb::PeerRequest& request, int64_t answer_ms);
  bool pause(int64_t ms);  // false: stopped
  bool stopped() const;

  const SnapshotPaths paths_;
  const Options options_;
  Ports ports_;

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::optional<Offer> offer_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace kv::server
