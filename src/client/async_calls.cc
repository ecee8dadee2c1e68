#include "client/async_calls.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace kv::client {

using std::chrono::steady_clock;

// What gRPC does for us at one endpoint, from its beginning to its end.
struct AsyncCalls::Exchange {
  explicit Exchange(Endpoint& at) : endpoint(at) {}

  Endpoint& endpoint;
  grpc::ClientContext context{};
  grpc::Status status{};
  Poller::Done done{};
  // Both while gRPC knows us. The owner has what gRPC writes into.
  std::shared_ptr<void> owner{};
  std::shared_ptr<Exchange> self{};
};

struct AsyncCalls::Login {
  explicit Login(Endpoint& at) : exchange(std::make_shared<Exchange>(at)) {}

  const std::shared_ptr<Exchange> exchange;
  etcdserverpb::AuthenticateRequest request{};
  etcdserverpb::AuthenticateResponse response{};
  std::unique_ptr<grpc::ClientAsyncResponseReader<etcdserverpb::AuthenticateResponse>> reader{};
};

struct AsyncCalls::Call {
  Start start;
  Finish finish;
  std::shared_ptr<void> slot;
  SteadyTime deadline;
  Calls::History history;
  size_t attempts = 0;
  SteadyTime waits_until{};  // for an endpoint

  Endpoint* endpoint = nullptr;  // of the attempt that is under way
  std::shared_ptr<Exchange> exchange{};
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
  without_token_.clear();
  if (login_ != nullptr) login_->exchange->context.TryCancel();
  for (const auto& call : std::vector<CallPtr>(all_.begin(), all_.end())) {
    if (call->exchange != nullptr) call->exchange->context.TryCancel();
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
    for (const auto& call : given_up) finish(call, Calls::unreachable(call->history, unreachable));
  }
  if (waiting_.empty()) return connecting_.reset();
  loop_.post_at(now + Connecting::kLook, task([this] {
                  if (connecting_) look();
                }));
}

void AsyncCalls::begin(const CallPtr& call, Endpoint& endpoint) {
  ++call->attempts;
  call->endpoint = &endpoint;
  if (const auto token = calls_->token()) return send(call, *token);
  without_token_.push_back(call);
  // The login may take longer than this call has.
  loop_.post_at(call->deadline, task([this, waits = std::weak_ptr(call)] {
                  const CallPtr late = waits.lock();
                  if (late != nullptr && std::erase(without_token_, late) > 0) {
                    finish(late, Status(Code::kDeadlineExceeded, "context deadline exceeded"));
                  }
                }));
  if (login_ == nullptr) log_in(endpoint, call->deadline);
}

void AsyncCalls::send(const CallPtr& call, const std::string& token) {
  call->exchange = std::make_shared<Exchange>(*call->endpoint);
  Exchange& exchange = *call->exchange;
  put_token(exchange.context, token);
  set_deadline(exchange.context, call->deadline);
  void* const tag = open(call->exchange, call, [this, owner = std::weak_ptr(call)] {
    if (const CallPtr done = owner.lock()) ended(done);
  });
  call->start(exchange.endpoint, &exchange.context, poller_->queue(), &exchange.status, tag);
}

void AsyncCalls::ended(const CallPtr& call) {
  const Status status = to_status(call->exchange->status);
  if (calls_->try_again(call->history, status, *call->endpoint)) return again(call);
  finish(call, status.ok() ? status : call->history.last);
}

void AsyncCalls::again(const CallPtr& call) {
  const SteadyTime next = steady_clock::now() + calls_->pause(call->attempts);
  if (call->attempts == kAttemptsMax || next >= call->deadline) return finish(call, call->history.last);
  loop_.post_at(next, task([this, call] { attempt(call); }));
}

void AsyncCalls::log_in(Endpoint& endpoint, SteadyTime deadline) {
  login_ = std::make_shared<Login>(endpoint);
  login_->request = calls_->login();
  Exchange& exchange = *login_->exchange;
  set_deadline(exchange.context, deadline);
  void* const tag = open(login_->exchange, login_, [this, at = login_.get()] { logged_in(*at); });
  login_->reader = endpoint.auth->PrepareAsyncAuthenticate(&exchange.context, login_->request, poller_->queue());
  login_->reader->StartCall();
  login_->reader->Finish(&login_->response, &exchange.status, tag);
}

void AsyncCalls::logged_in(Login& login) {
  login_.reset();  // `login` is held by who calls
  Endpoint& endpoint = login.exchange->endpoint;
  const auto token = calls_->logged_in(to_status(login.exchange->status), std::move(login.response));
  // The time that is over may have been another call's.
  const bool too_slow = token.status().code() == Code::kDeadlineExceeded;
  if (too_slow) calls_->move_on_from(&endpoint);
  for (const auto& call : std::exchange(without_token_, {})) {
    if (token.ok()) {
      send(call, *token);
    } else if (calls_->try_login_again(call->history, token.status(), endpoint) || too_slow) {
      again(call);
    } else {
      finish(call, call->history.last);
    }
  }
}

void* AsyncCalls::open(const std::shared_ptr<Exchange>& exchange, std::shared_ptr<void> owner,
                       std::function<void()> then) {
  exchange->owner = std::move(owner);
  exchange->self = exchange;
  exchange->done = [weak = weak_from_this(), at = exchange.get(), poller = poller_.get(),
                    then = std::move(then)](bool) {
    // Until the end of this function, which belongs to the exchange, while the owner may begin another.
    const std::shared_ptr<Exchange> exchange_held = std::move(at->self);
    const std::shared_ptr<void> owner_held = std::move(at->owner);
    if (const auto self = weak.lock()) self->loop_.post(self->task([owner_held, then] { then(); }));
    poller->stream_ends();
  };
  poller_->stream_begins();
  return Poller::tag(exchange->done);
}

void AsyncCalls::finish(const CallPtr& call, const Status& status) {
  all_.erase(call);
  call->finish(status, std::move(call->slot));
}

}  // namespace kv::client
