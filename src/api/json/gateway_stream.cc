// A streaming call of the gateway: JSON objects one after another come in, one line with a result each goes out.
#include <mutex>
#include <string>
#include <utility>

#include "api/json/http_call.h"
#include "api/json/json_reader.h"
#include "api/json/json_writer.h"

namespace kv::api {
namespace {

class StreamCall final : public ServerStream, public std::enable_shared_from_this<StreamCall> {
 public:
  explicit StreamCall(const HttpCall& call) : call_(call), context_(std::make_shared<ExchangeCall>(call.exchange)) {}

  void open();

  // ServerStream
  const CallPtr& call() const override { return context_; }
  bool write(const google::protobuf::Message& response) override;
  void finish(Status status) override;
  size_t queued_bytes() const override { return call_.exchange->queued_bytes(); }
  void on_drained(size_t below_bytes, absl::AnyInvocable<void()> ready) override {
    call_.exchange->on_drained(below_bytes, std::move(ready));
  }
  void pause_reading() override { paused_.store(true, std::memory_order_relaxed); }
  void resume_reading() override;

 private:
  bool one_request() const { return call_.method.row->kind == Kind::kServerStream; }

  // On the I/O thread, as all below.
  void on_body(std::string_view piece);
  void read_values();
  // False: it was refused.
  bool read_value(std::string_view text);
  void tell_half_close();
  void account_for_input();
  // Ends the call from the door's side: the handler is told by on_cancel.
  void fail(const Status& status);
  void cancel_handler();
  void on_closed();
  void count(Code code);

  const HttpCall call_;
  const CallPtr context_;

  // The I/O thread's.
  JsonSplitter input_;
  size_t held_input_ = 0;
  size_t requests_ = 0;
  bool input_ended_ = false;
  bool half_close_told_ = false;
  bool reading_ = false;  // read_values() is on the stack

  std::atomic<bool> paused_{false};
  const CallTimer timer_;
  std::atomic<bool> counted_{false};
  std::mutex mutex_;  // guards both below, and the order of what is written
  bool started_ = false;
  bool finished_ = false;
};

void StreamCall::open() {
  HttpExchange& exchange = *call_.exchange;
  call_.method.started->add();
  int64_t timeout_ms = -1;
  if (const Status bad = fill_context(*context_, exchange.request(), &timeout_ms); !bad.ok()) return finish(bad);
  const auto self = shared_from_this();
  exchange.on_body = [self](std::string_view piece) { self->on_body(piece); };
  exchange.on_body_end = [self] {
    self->input_ended_ = true;
    self->read_values();
  };
  exchange.on_cancel = [self] { self->cancel_handler(); };
  exchange.on_closed = [self] { self->on_closed(); };
  if (timeout_ms >= 0) {
    exchange.call_after(timeout_ms, [self] { self->fail({Code::kDeadlineExceeded, "context deadline exceeded"}); });
  }
  call_.method.row->stream(self);
}

// ---- The way in

void StreamCall::on_body(std::string_view piece) {
  input_.feed(piece);
  read_values();
}

void StreamCall::read_values() {
  if (reading_) return;
  reading_ = true;
  std::string_view text;
  while (!paused_.load(std::memory_order_relaxed) && !half_close_told_ && !context_->cancelled()) {
    if (!input_.next(text) && !(input_ended_ && input_.last(text))) {
      if (input_.buffered() > call_.max_body_bytes()) fail(body_too_large(call_.max_body_bytes()));
      if (input_ended_) {
        if (one_request() && requests_ == 0 && !read_value("{}")) break;
        tell_half_close();
      }
      break;
    }
    if (!read_value(text)) break;
    if (one_request()) tell_half_close();
  }
  reading_ = false;
  account_for_input();
}

bool StreamCall::read_value(std::string_view text) {
  MessagePtr request(call_.method.row->request_prototype->New());
  Status bad = read_json(text, *request);
  if (const size_t bytes = request->ByteSizeLong(); bad.ok() && bytes > call_.max_request_bytes) {
    bad = message_too_large(bytes, call_.max_request_bytes);
  }
  if (!bad.ok()) {
    fail(bad);
    return false;
  }
  ++requests_;
  call_.method.received->add();
  if (on_request) on_request(std::move(request));
  return true;
}

void StreamCall::tell_half_close() {
  if (std::exchange(half_close_told_, true) || context_->cancelled()) return;
  if (on_half_close) on_half_close();
}

// While the handler does not want to read, what came is kept, and no more is taken from the client.
void StreamCall::account_for_input() {
  if (half_close_told_ || context_->cancelled()) input_ = {};
  if (paused_.load(std::memory_order_relaxed)) call_.exchange->pause_reading();
  const ptrdiff_t change = static_cast<ptrdiff_t>(input_.buffered()) - static_cast<ptrdiff_t>(held_input_);
  held_input_ = input_.buffered();
  if (!call_.exchange->hold_body(change)) fail(body_too_large(held_input_));
}

void StreamCall::resume_reading() {
  if (!paused_.exchange(false, std::memory_order_relaxed)) return;
  call_.exchange->post([self = shared_from_this()] {
    if (self->context_->cancelled()) return;
    self->read_values();
    if (!self->paused_.load(std::memory_order_relaxed)) self->call_.exchange->resume_reading();
  });
}

// ---- The way out

bool StreamCall::write(const google::protobuf::Message& response) {
  std::string line = "{\"result\":";
  append_json(response, line);
  line += "}\n";
  call_.method.sent->add();
  const std::lock_guard lock(mutex_);
  if (finished_) return false;
  if (std::exchange(started_, true)) return call_.exchange->write(std::move(line));
  HttpResponse head = json_head(*context_);
  head.body = std::move(line);
  return call_.exchange->start(std::move(head));
}

void StreamCall::finish(Status status) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(finished_, true)) return;
  count(status.code());
  if (!started_) {
    HttpResponse only = status.ok() ? json_head(*context_) : json_error(status);
    if (!status.ok()) only.body = stream_error(status);
    return call_.exchange->respond(std::move(only));
  }
  if (!status.ok()) call_.exchange->write(stream_error(status));
  call_.exchange->finish();
}

// ---- The end

void StreamCall::fail(const Status& status) {
  finish(status);
  cancel_handler();
}

void StreamCall::cancel_handler() {
  context_->cancel();
  // The callbacks hold the handler's state, which holds this. The one that may be on the stack stays until on_closed().
  if (const auto tell = std::exchange(on_cancel, nullptr)) tell();
}

void StreamCall::on_closed() {
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  count(Code::kCanceled);
  context_->cancel();
  on_cancel = nullptr;
  on_request = nullptr;
  on_half_close = nullptr;
}

void StreamCall::count(Code code) {
  if (counted_.exchange(true)) return;
  call_.method.handled[static_cast<size_t>(code)]->add();
  timer_.end(call_.method);
}

}  // namespace

void open_stream_call(const HttpCall& call) { std::make_shared<StreamCall>(call)->open(); }

}  // namespace kv::api
