// Gives other members copies of this member's state, piece by piece: they ask, it answers. All reading and copying is
// done on a thread of its own, with one question at a time, so what waits in memory is a piece per asker.
//
// Several members may fetch the same copy. One that nobody has asked for in a while is removed, and so are all at a
// start; the files are hard links, so a copy costs disk only where the state has gone on without them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/thread.h"
#include "kvdpb/peer.pb.h"
#include "raft/types.h"
#include "server/peer_calls.h"
#include "server/snapshot_files.h"
#include "server/snapshot_metrics.h"
#include "store/store.h"

namespace kv::server {

class SnapshotSender {
 public:
  struct Options {
    int64_t idle_ms = 60'000;  // a copy is kept so long after the last question for it
    // After a member has fetched all it opens its copy; so long the log still holds what it goes on from.
    int64_t hold_after_close_ms = 30'000;
    size_t max_copies = 3;
    size_t max_questions = 64;  // that wait
    size_t max_piece_bytes = 1 << 20;
  };

  // `store` and `clock` must outlive it.
  SnapshotSender(SnapshotPaths paths, store::Store& store, const Clock& clock, const Options& options);
  ~SnapshotSender() { stop(); }

  // A snapshot_open, _read or _close of a member. Any thread; doesn't block.
  void serve(raft::NodeId from, kvdpb::PeerRequest request, PeerCalls::Reply reply);
  // Removes what is idle. Now and then, any thread.
  void expire();
  // The lowest index from which somebody who fetches, or has just fetched, a copy will want to go on. Any thread.
  std::optional<raft::Index> needed_after() const;
  void stop();

 private:
  struct Copy {
    kvdpb::SnapshotManifest manifest;
    std::map<std::string, uint64_t> checksums;  // of whole files, as far as they were needed
    // Who fetches it.
    std::map<raft::NodeId, std::unique_ptr<SnapshotTransfer>> users;
    int64_t last_used_ms = 0;
  };
  using Job = std::function<void()>;

  kvdpb::PeerResponse answer(raft::NodeId from, const kvdpb::PeerRequest& request);
  Result<kvdpb::SnapshotManifest> open(raft::NodeId from, const kvdpb::SnapshotOpen& request);
  Result<kvdpb::SnapshotPiece> read(raft::NodeId from, const kvdpb::SnapshotRead& request);
  void close(raft::NodeId from, uint64_t id);
  // A question by one who fetches, or begins to.
  void asked(Copy& copy, raft::NodeId from);
  Result<Copy*> make_copy();
  void remove(uint64_t id);
  void remove_idle();
  void hold(raft::Index index, int64_t until_ms);
  void publish();
  void run();

  const SnapshotPaths paths_;
  store::Store& store_;
  const Clock& clock_;
  const Options options_;

  std::map<uint64_t, Copy> copies_;  // the thread's own

  mutable std::mutex mutex_;                      // guards all below
  std::optional<raft::Index> copied_;             // the lowest index of a copy
  std::map<raft::Index, int64_t> held_until_ms_;  // after a close

  Inbox<Job> jobs_;
  std::thread thread_;
};

}  // namespace kv::server
