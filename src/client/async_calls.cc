#include "client/async_calls.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace kv::client {

using std::chrono::steady_clock;

struct AsyncCalls::Call {
  Start start;
  Finish finish;
  std::shared_ptr<void> slot;
  SteadyTime deadline;
  Calls::History history;
  size_t attempts = 0;
  SteadyTime waits_until{};  // for an endpoint

  // The attempt that is under way.
  Endpoint* endpoint = nullptr;
  std::unique_ptr<grpc::ClientContext> context{};
  grpc::Status status{};
  Poller::Done done{};
  std::shared_ptr<Call> self{};  // while gRPC knows us
};

AsyncCalls::AsyncCalls(std::shared_ptr<Calls> calls, std::shared_ptr<Poller> poller, std::shared_ptr<Loop> callbacks)
    : calls_(std::move(calls)), callbacks_(std::move(callbacks)), poller_(std::move(poller)) {}

void AsyncCalls::submit(Repeat repeat, const CallOptions& options, Start start, Finish finish) {
  auto taken = slots_taken_;
  if (taken->fetch_add(1) >= calls_->options().async_calls_max) {
    taken->fetch_sub(1);
    return finish(Status(Code::kResourceExhausted, "too many calls are on their way"), nullptr);
  }
  std::shared_ptr<void> slot(nullptr, [taken](void*) { taken->fetch_sub(1); });
  auto call = std::make_shared<Call>(Call{.start = std::move(start),
                                          .finish = std::move(finish),
                                          .slot = std::move(slot),
                                          .deadline = calls_->deadline_of(options),
                                          .history = {.repeat = repeat}});
  loop_.post(task([this, call] {
    all_.insert(call);
    attempt(call);
  }));
}

void AsyncCalls::stop() {
  loop_.stop();
  // The thread is gone: what it owned is the caller's.
  waiting_.clear();
  for (const auto& call : std::vector<CallPtr>(all_.begin(), all_.end())) {
    if (call->context != nullptr) call->context->TryCancel();
    finish(call, Status(Code::kCanceled, "the client is closed"));
  }
  poller_.reset();
}

void AsyncCalls::attempt(const CallPtr& call) {
  if (Endpoint* const endpoint = calls_->ready()) return begin(call, *endpoint);
  call->waits_until = std::min(call->deadline, steady_clock::now() + calls_->options().dial_timeout);
  waiting_.push_back(call);
  if (connecting_) return;
  connecting_.emplace(calls_->connecting());
  look();
}

// All that wait for an endpoint take the first that is connected, or learn why there is none.
void AsyncCalls::look() {
  Endpoint* const connected = connecting_->step();
  if (connected != nullptr) {
    connecting_.reset();
    calls_->prefer(connected);
    for (const auto& call : std::exchange(waiting_, {})) begin(call, *connected);
    return;
  }
  const SteadyTime now = steady_clock::now();
  const auto over = std::stable_partition(waiting_.begin(), waiting_.end(),
                                          [&](const CallPtr& call) { return now < call->waits_until; });
  const std::vector<CallPtr> given_up(over, waiting_.end());
  waiting_.erase(over, waiting_.end());
  if (!given_up.empty()) {
    const Status unreachable = connecting_->unreachable();
    // When the first attempt got an answer, that says more than the failure to find somebody for the second.
    for (const auto& call : given_up) finish(call, call->attempts == 0 ? unreachable : Status(call->history.last));
  }
  if (waiting_.empty()) return connecting_.reset();
  loop_.post_at(now + Connecting::kLook, task([this] {
                  if (connecting_) look();
                }));
}

void AsyncCalls::begin(const CallPtr& call, Endpoint& endpoint) {
  ++call->attempts;
  call->endpoint = &endpoint;
  call->context = std::make_unique<grpc::ClientContext>();
  // A login blocks this thread: until it is done, no call gets anywhere.
  if (const Status s = calls_->authorise(endpoint, *call->context, call->deadline); !s.ok()) return finish(call, s);
  set_deadline(*call->context, call->deadline);
  call->self = call;
  call->done = [weak = weak_from_this(), at = call.get(), poller = poller_.get()](bool) {
    // Until the end of this function, which belongs to it.
    const CallPtr held = std::move(at->self);
    if (const auto self = weak.lock()) {
      self->loop_.post(self->task([raw = self.get(), held] { raw->ended(held); }));
    }
    poller->stream_ends();
  };
  poller_->stream_begins();
  call->start(endpoint, call->context.get(), poller_->queue(), &call->status, &call->done);
}

void AsyncCalls::ended(const CallPtr& call) {
  const Status status = to_status(call->status);
  if (!calls_->try_again(call->history, status, *call->endpoint) || call->attempts == kAttemptsMax) {
    return finish(call, status.ok() ? status : call->history.last);
  }
  const SteadyTime next = steady_clock::now() + calls_->pause(call->attempts);
  if (next >= call->deadline) return finish(call, call->history.last);
  loop_.post_at(next, task([this, call] { attempt(call); }));
}

void AsyncCalls::finish(const CallPtr& call, const Status& status) {
  all_.erase(call);
  call->finish(status, std::move(call->slot));
}

}  // namespace kv::client
