#include "api/net/grpc_stream_call.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace kv::api {
namespace {

class StreamContext final : public CallContext {
 public:
  explicit StreamContext(IoThread& thread) : thread_(thread.shared_from_this()) {}
  void post(absl::AnyInvocable<void()> work) override { thread_->post(std::move(work)); }

 private:
  const std::shared_ptr<IoThread> thread_;
};

// Of a message's shared bytes: up to so many are copied into the frame.
constexpr size_t kSharedWorthBytes = 1024;

}  // namespace

GrpcStreamCall::GrpcStreamCall(const Origin& origin)
    : GrpcCall(origin), context_(std::make_shared<StreamContext>(origin.thread)) {}

// ---- The way in

void GrpcStreamCall::on_start() {
  method_.started->add();
  arm_deadline(*context_);
  method_.row->stream(shared_from_this());
}

void GrpcStreamCall::on_data(std::string_view bytes) {
  if (over_.load(std::memory_order_relaxed)) return session()->consumed(*this, bytes.size());
  if (!backlog_.empty() || paused_.load(std::memory_order_relaxed)) {
    backlog_ += bytes;  // the window is given back as it is read
  } else {
    read_messages(bytes);
  }
  account_for_input();
}

void GrpcStreamCall::on_end() {
  input_ended_ = true;
  if (backlog_.empty()) read_end();
}

void GrpcStreamCall::read_messages(std::string_view bytes) {
  const size_t before = bytes.size();
  reading_ = true;
  while (!bytes.empty() && !over_.load(std::memory_order_relaxed)) {
    if (paused_.load(std::memory_order_relaxed)) {
      backlog_ = bytes;
      break;
    }
    FrameReader::Frame frame;
    const Result<bool> got = reader_.next(bytes, frame);
    if (!got.ok()) {
      fail(got.status());
      break;
    }
    if (!*got) break;
    if (method_.row->kind == Kind::kServerStream && requests_ > 0) {
      fail({Code::kInternal, "grpc: a server-streaming call has one request message"});
      break;
    }
    Result<MessagePtr> message = parse(frame);
    if (!message.ok()) {
      fail(message.status());
      break;
    }
    ++requests_;
    if (on_request) on_request(*std::move(message));
  }
  reading_ = false;
  session()->consumed(*this, before - backlog_.size());
}

void GrpcStreamCall::read_end() {
  if (over_.load(std::memory_order_relaxed) || std::exchange(half_close_told_, true)) return;
  if (reader_.buffered() > 0) {
    return fail({Code::kInternal, "grpc: the request ended before its message was complete"});
  }
  if (method_.row->kind == Kind::kServerStream && requests_ == 0) {
    return fail({Code::kInternal, "grpc: a server-streaming call has one request message"});
  }
  if (on_half_close) on_half_close();
}

void GrpcStreamCall::account_for_input() {
  const size_t held = backlog_.size() + reader_.buffered();
  if (held == held_input_) return;
  const ptrdiff_t change = static_cast<ptrdiff_t>(held) - static_cast<ptrdiff_t>(held_input_);
  held_input_ = held;
  if (!session()->hold_request(*this, change)) {
    fail({Code::kResourceExhausted, "grpc: too many unread requests on this connection"});
  }
}

void GrpcStreamCall::resume_reading() {
  paused_.store(false, std::memory_order_relaxed);
  thread().post([self = shared_from_this()] {
    if (self->session() == nullptr || self->reading_ || self->backlog_.empty()) return;
    const std::string bytes = std::exchange(self->backlog_, {});
    self->read_messages(bytes);
    self->account_for_input();
    if (self->input_ended_ && self->backlog_.empty()) self->read_end();
  });
}

// ---- The way out

bool GrpcStreamCall::write(const google::protobuf::Message& response) {
  if (over_.load(std::memory_order_acquire)) return false;
  Result<FrameBytes> frame = frame_of(response);
  if (!frame.ok()) {
    finish(frame.status());
    return false;
  }
  return enqueue({.own = *std::move(frame)});
}

bool GrpcStreamCall::write_encoded(const google::protobuf::Message& prototype, std::string_view own,
                                   std::shared_ptr<const void> owner, std::string_view shared) {
  if (over_.load(std::memory_order_acquire)) return false;
  const size_t size = own.size() + shared.size();
  if (gzip_out() || size > max_response_bytes() || size > INT32_MAX) {
    return ServerStream::write_encoded(prototype, own, std::move(owner), shared);
  }
  // A few bytes are cheaper copied than kept.
  const bool copy = shared.size() <= kSharedWorthBytes;
  Output output{.own = FrameBytes(kFrameHeaderBytes + own.size() + (copy ? shared.size() : 0))};
  char* const into = output.own.data();
  into[0] = 0;  // not compressed
  for (size_t i = 1; i < kFrameHeaderBytes; ++i) into[i] = static_cast<char>(size >> (8 * (kFrameHeaderBytes - 1 - i)));
  std::memcpy(into + kFrameHeaderBytes, own.data(), own.size());
  if (copy) {
    std::memcpy(into + kFrameHeaderBytes + own.size(), shared.data(), shared.size());
  } else {
    output.owner = std::move(owner);
    output.shared = shared;
  }
  return enqueue(std::move(output));
}

bool GrpcStreamCall::enqueue(Output&& output) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (finished_) return false;
    queued_bytes_.fetch_add(output.size(), std::memory_order_relaxed);
    method_.sent->add();
    method_.sent_bytes->add(output.size() - kFrameHeaderBytes);
    written_.push_back(std::move(output));
    wake = !std::exchange(woken_, true);
  }
  wake_io_thread(wake);
  return true;
}

size_t GrpcStreamCall::Output::copy(size_t from, size_t n, char* into) const {
  const std::string_view piece =
      from < own.size() ? std::string_view(own.data(), own.size()).substr(from) : shared.substr(from - own.size());
  n = std::min(n, piece.size());
  std::memcpy(into, piece.data(), n);
  return n;
}

void GrpcStreamCall::finish(Status status) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    finished_ = true;
    status_ = std::move(status);
    wake = !std::exchange(woken_, true);
  }
  over_.store(true, std::memory_order_release);
  wake_io_thread(wake);
}

void GrpcStreamCall::wake_io_thread(bool needed) {
  if (!needed) return;
  if (thread().is_current()) return take_output();
  thread().post([self = shared_from_this()] { self->take_output(); });
}

void GrpcStreamCall::take_output() {
  std::vector<Output> taken;
  bool ended = false;
  {
    const std::lock_guard lock(mutex_);
    woken_ = false;
    taken.swap(written_);
    ended = finished_;
    if (ended && !end_taken_) end_status_ = status_;
  }
  if (session() == nullptr || end_sent_) return;
  size_t bytes = 0;
  for (Output& output : taken) {
    bytes += output.size();
    sending_.push_back(std::move(output));
  }
  if (ended && !std::exchange(end_taken_, true)) {
    Timer::cancel();
    count(end_status_.code());
    if (!headers_sent_ && sending_.empty() && !end_status_.ok()) {
      end_sent_ = true;
      return send_trailers_only(*context_, end_status_);
    }
  }
  if (!std::exchange(headers_sent_, true)) {
    send_headers(*context_);
  } else {
    session()->resume(*this);
  }
  if (bytes > 0) session()->hold_answer(*this, static_cast<ptrdiff_t>(bytes));
}

std::pair<size_t, Http2Stream::Next> GrpcStreamCall::produce(char* into, size_t room) {
  size_t made = 0;
  while (made < room && !sending_.empty()) {
    const Output& first = sending_.front();
    const size_t n = first.copy(sent_of_first_, room - made, into + made);
    made += n;
    sent_of_first_ += n;
    if (sent_of_first_ < first.size()) continue;
    sending_.pop_front();
    sent_of_first_ = 0;
  }
  if (made > 0) {
    session()->hold_answer(*this, -static_cast<ptrdiff_t>(made));
    const size_t queued = queued_bytes_.fetch_sub(made) - made;
    // Not here: nghttp2 is on the stack, and a handler will write.
    if (waiters_.is_due(queued)) {
      thread().post([self = shared_from_this()] { self->waiters_.run(); });
    }
  }
  if (!sending_.empty()) return {made, Next::kMore};
  if (!end_taken_) return {made, Next::kWait};
  end_sent_ = true;
  submit_end(*context_, end_status_);
  return {made, Next::kTrail};
}

void GrpcStreamCall::on_drained(size_t below_bytes, absl::AnyInvocable<void()> ready) {
  waiters_.add(below_bytes, std::move(ready));
}

// ---- The end

void GrpcStreamCall::on_timer() { fail({Code::kDeadlineExceeded, "context deadline exceeded"}); }

void GrpcStreamCall::fail(Status status) {
  bool ours = false;
  {
    const std::lock_guard lock(mutex_);
    if (!finished_) {
      ours = true;
      finished_ = true;
      status_ = std::move(status);
      written_.clear();
      woken_ = true;
    }
  }
  if (!ours) return;
  // What waits is not sent: the client does not read it, or has broken the rules. A message that was begun can't
  // be ended by trailers.
  const bool torn = sent_of_first_ > 0;
  sending_.clear();
  sent_of_first_ = 0;
  count(status_.code());
  if (torn) {
    end_taken_ = end_sent_ = true;
    session()->reset(*this);
  } else {
    take_output();
  }
  let_go(/*tell_handler=*/true);
}

void GrpcStreamCall::let_go(bool tell_handler) {
  const auto self = shared_from_this();
  Timer::cancel();
  over_.store(true, std::memory_order_release);
  context_->cancel();
  backlog_ = {};
  // The callbacks hold the handler's state, which holds this. The one that may be on the stack stays until
  // on_closed().
  auto tell = std::exchange(on_cancel, nullptr);
  if (tell_handler && tell) tell();
  waiters_.run();
}

void GrpcStreamCall::on_closed() {
  bool finished_by_handler = false;
  {
    const std::lock_guard lock(mutex_);
    finished_by_handler = finished_;
    finished_ = true;
    written_.clear();
  }
  count(Code::kCanceled);
  sending_.clear();
  let_go(!finished_by_handler);
  on_request = nullptr;
  on_half_close = nullptr;
  const auto last = std::move(self_);
}

}  // namespace kv::api
