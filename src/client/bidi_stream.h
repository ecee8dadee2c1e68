// One bidirectional stream over one connection, from its opening to its end. Internal: gRPC types are in here.
//
// What happens is reported on the Poller's thread; this object hands it on. It lives until gRPC is done with it,
// whoever else lets go of it.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/async_stream.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "client/poller.h"

namespace kv::client {

template <typename Request, typename Response>
class BidiStream : public std::enable_shared_from_this<BidiStream<Request, Response>> {
 public:
  using Call = grpc::ClientAsyncReaderWriterInterface<Request, Response>;

  // Both are called on the Poller's thread: on_message once for each read_next(), on_end once, last.
  BidiStream(std::function<void(Response&&)> on_message, std::function<void(const grpc::Status&)> on_end)
      : on_message_(std::move(on_message)), on_end_(std::move(on_end)) {}

  grpc::ClientContext& context() { return context_; }

  // `call` has been prepared with context() and the poller's queue. The first message is asked for.
  void start(Poller& poller, std::unique_ptr<Call> call) {
    poller_ = &poller;
    poller_->stream_begins();
    call_ = std::move(call);
    self_ = this->shared_from_this();
    // Whatever the call writes of its own in here is there when its beginning is reported.
    const std::lock_guard lock(mutex_);
    call_->StartCall(Poller::tag(started_));
  }

  // Dropped when the stream is over. What waits is bounded by who sends: a request a watch or lease.
  void send(Request request) {
    const std::lock_guard lock(mutex_);
    if (closing_) return;
    requests_.push_back(std::move(request));
    write_next();
  }

  void read_next() {
    const std::lock_guard lock(mutex_);
    read();
  }

  // Ends it; on_end comes soon.
  void cancel() {
    context_.TryCancel();
    const std::lock_guard lock(mutex_);
    close();
  }

  void wait_ended() {
    std::unique_lock lock(mutex_);
    over_.wait(lock, [this] { return ended_; });
  }

 private:
  // These are called with the lock held.
  void read() {
    if (closing_ || !open_) return;
    reading_ = true;
    call_->Read(&response_, Poller::tag(read_));
  }
  void write_next() {
    if (closing_ || !open_ || writing_ || requests_.empty()) return;
    writing_ = true;
    call_->Write(requests_.front(), Poller::tag(written_));
  }
  // Asks for the status, once nothing else is under way.
  void close() {
    closing_ = true;
    if (!answered_ || reading_ || writing_ || finishing_) return;
    finishing_ = true;
    call_->Finish(&status_, Poller::tag(finished_));
  }

  void on_started(bool ok) {
    const std::lock_guard lock(mutex_);
    answered_ = true;
    open_ = ok;
    if (!ok || closing_) return close();
    read();
    write_next();
  }
  void on_read(bool ok) {
    {
      const std::lock_guard lock(mutex_);
      reading_ = false;
      if (!ok || closing_) return close();
    }
    on_message_(std::move(response_));
  }
  void on_written(bool ok) {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok || closing_) return close();
    requests_.pop_front();
    write_next();
  }
  void on_finished() {
    const auto self = std::move(self_);
    on_end_(status_);
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    over_.notify_all();
    poller_->stream_ends();
  }

  const std::function<void(Response&&)> on_message_;
  const std::function<void(const grpc::Status&)> on_end_;
  Poller* poller_ = nullptr;  // waits for our end in its destructor
  grpc::ClientContext context_;
  std::unique_ptr<Call> call_;
  Response response_;  // the one that is being read
  grpc::Status status_;
  std::shared_ptr<BidiStream> self_;  // while gRPC knows us
  Poller::Done started_ = [this](bool ok) { on_started(ok); };
  Poller::Done read_ = [this](bool ok) { on_read(ok); };
  Poller::Done written_ = [this](bool ok) { on_written(ok); };
  Poller::Done finished_ = [this](bool) { on_finished(); };

  std::mutex mutex_;  // guards all below
  std::condition_variable over_;
  std::deque<Request> requests_;  // the first is being written
  bool answered_ = false;         // gRPC has said whether the call began
  bool open_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool closing_ = false;  // nothing is begun any more but the end
  bool finishing_ = false;
  bool ended_ = false;
};

}  // namespace kv::client
