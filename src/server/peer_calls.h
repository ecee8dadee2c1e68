// Questions from member to member, with answers: what only the leader can say and needs no log entry. On top of the
// transport's payloads, which promise nothing: a call ends by its answer, by its time, or as soon as the stream to or
// from that peer breaks.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "kvdpb/peer.pb.h"
#include "raft/types.h"

namespace kv::server {

// All methods: any thread. Callbacks run on the calling thread, outside the lock.
class PeerCalls {
 public:
  // The status is that of the way: ok when there is an answer, whatever it says.
  using Done = absl::AnyInvocable<void(Status, kvdpb::PeerResponse&&)>;
  using Reply = absl::AnyInvocable<void(kvdpb::PeerResponse&&)>;

  struct Ports {
    // Queues a payload for a peer; false when that can't be done.
    std::function<bool(raft::NodeId, std::string)> send;
    // Answers a peer's request, soon and by any thread, exactly once. `expires_ms` is on the clock. Must not block.
    std::function<void(raft::NodeId from, kvdpb::PeerRequest&&, int64_t expires_ms, Reply)> serve;
    const Clock* clock = nullptr;
    size_t max_calls = 1 << 16;   // that wait for an answer
    size_t max_served = 1 << 16;  // that peers wait for
    int64_t max_timeout_ms = 60'000;
  };

  // `first_number` is random, so that an answer to a call of an earlier life finds nobody.
  PeerCalls(Ports ports, uint64_t first_number);

  // `done` is called exactly once: with the answer; Unavailable when the peer can't be reached, the stream breaks or
  // the time is up; ResourceExhausted when too many wait. May be called before call() returns.
  void call(raft::NodeId to, kvdpb::PeerRequest request, int64_t expires_ms, Done done);

  // A payload from a peer. False when it is none of ours.
  [[nodiscard]] bool receive(raft::NodeId from, std::string_view payload);
  // Ends all calls to that peer.
  void broken(raft::NodeId peer);
  // Ends all calls to any other peer: they ask the leader, who is another now (0: nobody).
  void leader_is(raft::NodeId leader);
  void expire();
  // Ends all calls, and every later one.
  void close();

  size_t waiting() const;

 private:
  struct Call {
    raft::NodeId to;
    int64_t expires_ms = 0;
    Done done;
  };
  // Outlives this object as long as somebody holds a Reply.
  struct Served {
    std::mutex mutex;  // guards all below
    size_t count = 0;
    bool closed = false;
  };

  template <typename Which>
  void end(Which which, const Status& status);
  bool serve(raft::NodeId from, uint64_t number, kvdpb::PeerRequest&& request);

  const Ports ports_;
  const std::shared_ptr<Served> served_ = std::make_shared<Served>();
  mutable std::mutex mutex_;  // guards all below
  uint64_t last_number_;
  bool closed_ = false;
  std::unordered_map<uint64_t, Call> calls_;
};

}  // namespace kv::server
