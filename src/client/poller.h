// The thread on which gRPC reports what happened to the streams of a client. Internal: gRPC types are in here.
//
// gRPC's callback API would need none, but has up to sixteen threads of its own and, in the release that Debian 12
// has (1.51), aborts now and then in their shutdown, when the last channel of a process goes away.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace kv::client {

class Poller {
 public:
  // What is handed to gRPC as a tag: run with whether the operation succeeded.
  using Done = std::function<void(bool ok)>;

  Poller();
  // Waits until all streams are over: they must have been cancelled.
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  grpc::CompletionQueue* queue() { return &queue_; }
  // For an operation on the queue: `done` is run at its end, and sees all that the caller had written by now. It must
  // live until then.
  static void* tag(Done& done);
  void stream_begins();
  void stream_ends();

 private:
  grpc::CompletionQueue queue_;
  std::mutex mutex_;  // guards the two below
  std::condition_variable idle_;
  int streams_ = 0;
  std::thread thread_;
};

}  // namespace kv::client
