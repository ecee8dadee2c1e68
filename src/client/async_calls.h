// Unary calls of which nobody waits for the end. Internal: gRPC types are in here.
//
// It has a thread, which decides what comes next for each call; gRPC reports on the Poller's. Calls.h has the rules.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

#include "client/calls.h"
#include "client/loop.h"
#include "client/poller.h"

namespace kv::client {

class AsyncCalls : public std::enable_shared_from_this<AsyncCalls> {
 public:
  AsyncCalls(std::shared_ptr<Calls> calls, std::shared_ptr<Poller> poller, std::shared_ptr<Loop> callbacks);

  // Begins one attempt, whose end is written into `status` and reported with `tag`.
  using Start = std::function<void(Endpoint&, grpc::ClientContext*, grpc::CompletionQueue*, grpc::Status*, void* tag)>;
  // Is called once, on this object's thread; `slot` is the call's place among those that there may be.
  using Finish = std::function<void(const Status&, std::shared_ptr<void> slot)>;

  // Any thread.
  void submit(Repeat repeat, const CallOptions& call, Start start, Finish finish);
  const std::shared_ptr<Loop>& callbacks() const { return callbacks_; }

  // All calls are answered when it returns. Not on a thread of the client.
  void stop();

 private:
  struct Call;
  using CallPtr = std::shared_ptr<Call>;
  struct Exchange;
  struct Login;

  // On this object's thread.
  void attempt(const CallPtr& call);
  void begin(const CallPtr& call, Endpoint& endpoint);
  void send(const CallPtr& call, const std::string& token);
  void ended(const CallPtr& call);
  void again(const CallPtr& call);
  void finish(const CallPtr& call, const Status& status);
  void look();
  void log_in(Endpoint& endpoint, SteadyTime deadline);
  void logged_in(Login& login);
  // The tag to hand to gRPC. Keeps both until gRPC has reported the end, and then runs `then` on this object's thread.
  void* open(const std::shared_ptr<Exchange>& exchange, std::shared_ptr<void> owner, std::function<void()> then);

  template <typename Task>
  Loop::Task task(Task run) {
    return [weak = weak_from_this(), run = std::move(run)]() mutable {
      if (const auto self = weak.lock()) run();
    };
  }

  const std::shared_ptr<Calls> calls_;
  const std::shared_ptr<Loop> callbacks_;
  std::shared_ptr<Poller> poller_;
  const std::shared_ptr<std::atomic<size_t>> slots_taken_ = std::make_shared<std::atomic<size_t>>(0);

  // The thread owns these.
  std::unordered_set<CallPtr> all_{};
  std::vector<CallPtr> waiting_{};          // for an endpoint
  std::optional<Connecting> connecting_{};  // while some wait
  std::vector<CallPtr> without_token_{};    // wait for the login, which serves all
  std::shared_ptr<Login> login_{};          // while some wait

  Loop loop_{"kv-async"};
};

}  // namespace kv::client
