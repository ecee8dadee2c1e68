// A stream that is wanted for longer than a connection lasts: it moves from endpoint to endpoint. Internal.
//
// It has a thread, which owns all its state: what gRPC reports and what users ask for is posted there. One message
// at a time is on its way, so a slow thread slows the server and no queue grows.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "client/bidi_stream.h"
#include "client/calls.h"
#include "client/loop.h"

namespace kv::client {

// Whether a stream that ended so would end so everywhere.
inline bool refused_for_good(const Status& status) {
  switch (status.code()) {
    case Code::kInvalidArgument:
    case Code::kPermissionDenied:
    case Code::kUnauthenticated:
    case Code::kUnimplemented:
    case Code::kFailedPrecondition: return true;
    default: return false;
  }
}

template <typename Request, typename Response>
class ResumingStream : public std::enable_shared_from_this<ResumingStream<Request, Response>> {
 public:
  ResumingStream(std::shared_ptr<Calls> calls, std::shared_ptr<Poller> poller, const std::string& thread_name)
      : loop_(thread_name), calls_(std::move(calls)), poller_(std::move(poller)) {}
  virtual ~ResumingStream() = default;

  // Ends the stream and the thread; stopped() has been called then. Not on that thread.
  void stop() {
    stopping_.request_stop();
    loop_.stop();
    // The thread is gone: what it owned is the caller's.
    wanted_ = false;
    if (connection_ != nullptr) {
      connection_->cancel();
      connection_->wait_ended();
      connection_.reset();
    }
    stopped();
    poller_.reset();
  }

 protected:
  using Connection = BidiStream<Request, Response>;
  using Call = typename Connection::Call;

  // All of these are for, and called on, the stream's thread.
  virtual std::unique_ptr<Call> prepare(Endpoint& endpoint, grpc::ClientContext* context,
                                        grpc::CompletionQueue* queue) = 0;
  virtual void connected() = 0;  // all that the server has to know is to be sent again
  virtual void received(Response&& response) = 0;
  virtual void disconnected() = 0;                 // another connection comes
  virtual void refused(const Status& status) = 0;  // none will do
  virtual void stopped() = 0;
  virtual SteadyTime give_up_connecting() { return SteadyTime::max(); }

  // Connects when it is wanted and wasn't; hangs up when it no longer is.
  void want(bool wanted) {
    wanted_ = wanted;
    if (wanted && connection_ == nullptr && !retry_waits_) connect();
    if (!wanted) hang_up();
  }
  bool is_connected() const { return connection_ != nullptr; }
  void send(Request request) {
    if (connection_ != nullptr) connection_->send(std::move(request));
  }
  // The server has done what it was asked: the next failure is the first again.
  void works() {
    attempt_ = 0;
    logged_in_again_ = false;
  }
  // Whether the token was fetched because the last was refused, and nothing has worked since.
  bool token_is_new() const { return logged_in_again_; }
  // The connection is no good: on to the next.
  void leave(const Status& why) {
    if (connection_ == nullptr) return;
    hang_up();
    disconnected();
    failed(endpoint_, why);
  }

  // What runs with `this`, later, if it still is there.
  template <typename Task>
  Loop::Task task(Task run) {
    return [weak = this->weak_from_this(), run = std::move(run)]() mutable {
      if (const auto self = weak.lock()) run();
    };
  }

  Loop loop_;
  const std::shared_ptr<Calls> calls_;

 private:
  void connect() {
    if (!wanted_ || connection_ != nullptr || stopping_.stop_requested()) return;
    auto endpoint = calls_->pick(give_up_connecting(), stopping_.get_token());
    if (!endpoint.ok()) return retry();
    endpoint_ = *endpoint;

    const uint64_t n = ++connections_;
    auto connection = std::make_shared<Connection>(
        [this, n, self = this->weak_from_this()](Response&& response) {
          if (const auto alive = self.lock()) {
            loop_.post(task([this, n, response = std::move(response)]() mutable {
              if (connection_ == nullptr || n != connections_) return;
              received(std::move(response));
              if (connection_ != nullptr && n == connections_) connection_->read_next();
            }));
          }
        },
        [this, n, self = this->weak_from_this()](const grpc::Status& status) {
          if (const auto alive = self.lock()) {
            loop_.post(task([this, n, status = ended_with(status)] {
              if (connection_ != nullptr && n == connections_) leave(status);
            }));
          }
        });
    const SteadyTime deadline =
        std::min(give_up_connecting(), std::chrono::steady_clock::now() + calls_->options().call_timeout);
    const Status login = calls_->authorise(*endpoint_, connection->context(), deadline, stopping_.get_token());
    if (!login.ok()) return failed(endpoint_, login);
    // A member that loses its leader then ends the stream instead of going silent (etcd's WithRequireLeader).
    connection->context().AddMetadata("hasleader", "true");
    connection_ = connection;
    connection->start(*poller_, prepare(*endpoint_, &connection->context(), poller_->queue()));
    connected();
  }

  static Status ended_with(const grpc::Status& status) {
    return status.ok() ? Status(Code::kUnavailable, "the server has ended the stream") : to_status(status);
  }

  void hang_up() {
    if (connection_ == nullptr) return;
    connection_->cancel();
    connection_.reset();
  }

  void failed(const Endpoint* endpoint, const Status& why) {
    if (token_refused(why) && !calls_->options().user.empty() && !std::exchange(logged_in_again_, true)) {
      calls_->forget_token();
      return retry();
    }
    if (refused_for_good(why)) return refused(why);
    calls_->move_on_from(endpoint);
    retry();
  }

  void retry() {
    if (!wanted_) return;
    retry_waits_ = true;
    const auto pause = stream_pause(++attempt_, calls_->endpoint_count(), random_);
    loop_.post_at(std::chrono::steady_clock::now() + pause, task([this] {
                    retry_waits_ = false;
                    connect();
                  }));
  }

  std::shared_ptr<Poller> poller_;
  std::stop_source stopping_;
  bool wanted_ = false;
  bool retry_waits_ = false;
  bool logged_in_again_ = false;
  size_t attempt_ = 0;  // connections since the last that worked
  Random random_{static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count())};
  uint64_t connections_ = 0;  // the number of the newest
  Endpoint* endpoint_ = nullptr;
  std::shared_ptr<Connection> connection_;
};

}  // namespace kv::client
