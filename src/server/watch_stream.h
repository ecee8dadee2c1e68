// One client's stream of watches: etcd's Watch call without its transport. Requests go in, responses come out of a
// sink; between them stands the store's watch hub, on its own thread, which also keeps them in order.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "etcdserverpb/rpc.pb.h"
#include "server/call.h"
#include "server/leaderless.h"
#include "store/watch_hub_thread.h"

namespace kv::server {

class WatchStream {
 public:
  using Responses = Sink<etcdserverpb::WatchResponse>;

  // What the streams of a member share.
  struct Parts {
    std::shared_ptr<store::WatchHubThread> hub;
    uint64_t cluster_id = 0;
    uint64_t member_id = 0;
    std::shared_ptr<const std::atomic<uint64_t>> term;
    // A response to a watcher with `fragment` is split when it is larger.
    size_t max_response_bytes = 2 << 20;
    // Who the caller is, asked for each watch that is created; and whether somebody may watch [key, range_end), asked
    // then and again when rights have changed. Ok, or what the client is told. Called on the hub's thread.
    std::function<Result<store::Identity>(const CallContext& call)> who;
    std::function<Status(const store::Identity& who, const std::string& key, const std::string& range_end)> permit;
  };

  // More requests than this should not wait (see waiting()).
  static constexpr size_t kWaitingMax = 64;

  // Responses go to `sink` from the hub's thread. The stream ends by sink->finish(): when the hub stops, when the state
  // can't be read, and by end().
  WatchStream(const Parts& parts, CallPtr call, std::shared_ptr<Responses> sink);
  // Cancels all its watches without a word. The sink may get one more response meanwhile, and is let go soon.
  ~WatchStream();
  WatchStream(const WatchStream&) = delete;
  WatchStream& operator=(const WatchStream&) = delete;

  // ---- any thread ----
  void request(const etcdserverpb::WatchRequest& request);
  // Requests that the hub has not taken up yet, because it is busy or because the client does not read what it gets.
  size_t waiting() const;
  // Calls `ready` once, when less than `below` are waiting; at once if that is so. One caller at a time.
  void when_waiting(size_t below, absl::AnyInvocable<void()> ready);
  // Cancels everything, then finishes the sink with `status`.
  void end(Status status);
  // Ends with "etcdserver: no leader" when there has been none for a while.
  void end_without(Leaderless& leaderless);

 private:
  class Connection;
  const std::shared_ptr<Connection> connection_;  // shared with the hub
  Leaderless::Registration leaderless_;
};

}  // namespace kv::server
