#include "api/net/grpc_unary_call.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace kv::api {

// The `done` of a handler. One that is dropped without being called answers too, so that no client waits for ever
// for a handler's mistake.
class GrpcUnaryCall::Finisher {
 public:
  explicit Finisher(std::shared_ptr<GrpcUnaryCall> call) : call_(std::move(call)) {}
  Finisher(Finisher&&) noexcept = default;
  Finisher& operator=(Finisher&&) noexcept = default;
  ~Finisher() {
    if (call_) call_->finish({Code::kInternal, "the call was dropped without an answer"}, nullptr);
  }

  void operator()(Status status, const google::protobuf::Message* response) {
    const auto call = std::move(call_);
    KV_CHECK(call != nullptr, "a unary call is finished once");
    call->finish(std::move(status), response);
  }

 private:
  std::shared_ptr<GrpcUnaryCall> call_;
};

void GrpcUnaryCall::on_start() {
  method_.started->add();
  arm_deadline(*this);
}

void GrpcUnaryCall::on_data(std::string_view bytes) {
  if (answered_) return;
  session()->consumed(*this, bytes.size());
  while (!bytes.empty()) {
    FrameReader::Frame frame;
    const Result<bool> got = reader_.next(bytes, frame);
    if (!got.ok()) return refuse(got.status());
    if (!*got) break;
    if (request_) return refuse({Code::kInternal, "grpc: a unary call has one request message"});
    Result<MessagePtr> message = parse(frame);
    if (!message.ok()) return refuse(message.status());
    request_ = *std::move(message);
  }
  if (const size_t held = reader_.buffered(); held != held_request_bytes_) {
    const ptrdiff_t change = static_cast<ptrdiff_t>(held) - static_cast<ptrdiff_t>(held_request_bytes_);
    held_request_bytes_ = held;
    if (!session()->hold_request(*this, change)) {
      refuse({Code::kResourceExhausted, "grpc: too many unfinished requests on this connection"});
    }
  }
}

void GrpcUnaryCall::on_end() {
  if (answered_) return;
  if (!request_) return refuse({Code::kInternal, "grpc: the request ended before its message was complete"});
  auto self = shared_from_this();
  method_.row->unary(self, std::move(request_), Finisher(self));
}

void GrpcUnaryCall::refuse(const Status& status) {
  answered_ = true;
  Timer::cancel();
  count(status.code());
  send_trailers_only(*this, status);
}

void GrpcUnaryCall::on_timer() {
  CallContext::cancel();
  refuse({Code::kDeadlineExceeded, "context deadline exceeded"});
}

void GrpcUnaryCall::finish(Status status, const google::protobuf::Message* response) {
  if (cancelled()) return;  // nobody listens
  status_ = std::move(status);
  if (status_.ok()) {
    Result<FrameBytes> frame =
        response != nullptr ? frame_of(*response) : Result<FrameBytes>(Status(Code::kInternal, "no response"));
    if (frame.ok()) {
      frame_ = *std::move(frame);
    } else {
      status_ = frame.status();
    }
  }
  if (thread().is_current()) return deliver();
  thread().post([self = shared_from_this()] { self->deliver(); });
}

void GrpcUnaryCall::deliver() {
  if (session() == nullptr || answered_) return;
  answered_ = true;
  Timer::cancel();
  count(status_.code());
  if (!status_.ok()) return send_trailers_only(*this, status_);
  count_sent(frame_);
  send_headers(*this);
  session()->hold_answer(*this, static_cast<ptrdiff_t>(frame_.size()));
}

std::pair<size_t, Http2Stream::Next> GrpcUnaryCall::produce(char* into, size_t room) {
  const size_t n = std::min(room, frame_.size() - sent_bytes_);
  std::memcpy(into, frame_.data() + sent_bytes_, n);
  sent_bytes_ += n;
  session()->hold_answer(*this, -static_cast<ptrdiff_t>(n));
  if (sent_bytes_ < frame_.size()) return {n, Next::kMore};
  submit_end(*this, status_);
  return {n, Next::kTrail};
}

void GrpcUnaryCall::on_closed() {
  Timer::cancel();
  if (!answered_) {
    CallContext::cancel();
    count(Code::kCanceled);
  }
  const auto last = std::move(self_);
}

}  // namespace kv::api
