#include "api/net/http_exchange.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "api/net/router.h"
#include "base/check.h"

namespace kv::api {
namespace {

// Collects the body for a handler that wants it whole.
class Collector : public std::enable_shared_from_this<Collector> {
 public:
  Collector(std::shared_ptr<HttpExchange> exchange, const HttpHandler& handler, size_t limit)
      : exchange_(std::move(exchange)), handler_(handler), limit_(limit) {}

  void begin() {
    if (promised_bytes() > limit_) return refuse();
    exchange_->on_body = [self = shared_from_this()](std::string_view piece) { self->on_body(piece); };
    exchange_->on_body_end = [self = shared_from_this()] { self->on_end(); };
  }

 private:
  size_t promised_bytes() const {
    const std::string_view length = exchange_->request().header("content-length");
    size_t bytes = 0;
    std::from_chars(length.data(), length.data() + length.size(), bytes);
    return bytes;
  }

  void on_body(std::string_view piece) {
    if (refused_) return;
    body_ += piece;
    const bool held = exchange_->hold_body(static_cast<ptrdiff_t>(piece.size()));
    if (!held || body_.size() > limit_) refuse();
  }

  void on_end() {
    if (refused_) return;
    auto request = std::make_shared<HttpRequest>(exchange_->request());
    request->body = std::move(body_);
    handler_(std::move(request),
             [exchange = exchange_](HttpResponse response) { exchange->respond(std::move(response)); });
  }

  void refuse() {
    refused_ = true;
    body_ = {};
    exchange_->respond(plain_error(413, "request body is too large"));
  }

  const std::shared_ptr<HttpExchange> exchange_;
  const HttpHandler& handler_;  // of a route, which the server keeps
  const size_t limit_;
  std::string body_;
  bool refused_ = false;
};

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

OpenExchange::OpenExchange(std::shared_ptr<ServerCore> core, IoThread& thread, std::shared_ptr<HttpRequest> request)
    : core_(std::move(core)), thread_(thread.shared_from_this()), request_(std::move(request)) {}

void OpenExchange::begin() {
  if (std::optional<HttpResponse> refused = core_->access.refuse(*request_)) return respond(*std::move(refused));
  if (!escapes_are_whole(request_->path)) return respond({.status = 400, .body = "400 Bad Request"});
  core_->access.add_headers(*request_, access_headers_);
  if (request_->method == "OPTIONS") return respond({.content_type = ""});  // what a browser asks before a request
  const RouteMatch match = find_route(core_->routes, request_->method, request_->path);
  if (match.route == nullptr) return respond(no_route(match));
  if (match.route->stream) {
    streaming_ = true;
    return match.route->stream(shared_from_this());
  }
  std::make_shared<Collector>(shared_from_this(), match.route->handler, core_->options.max_request_bytes)->begin();
}

// ---- The way in

void OpenExchange::deliver_body(std::string_view piece) {
  if (!over_.load(std::memory_order_relaxed) && on_body && !piece.empty()) on_body(piece);
}

void OpenExchange::deliver_end() {
  if (std::exchange(end_told_, true) || over_.load(std::memory_order_relaxed)) return;
  if (on_body_end) on_body_end();
}

void OpenExchange::resume_reading() {
  if (!paused_.exchange(false, std::memory_order_relaxed)) return;
  thread_->post([self = shared_from_this()] {
    if (!self->paused()) self->read_again();
  });
}

// ---- The way out

void OpenExchange::respond(HttpResponse response) {
  bool wake_it = false;
  {
    const std::lock_guard lock(mutex_);
    if (ended_ || started_) return;
    started_ = ended_ = true;
    queued_bytes_.fetch_add(response.body.size(), std::memory_order_relaxed);
    response.headers.insert(response.headers.end(), access_headers_.begin(), access_headers_.end());
    written_.head = std::move(response);
    written_.whole = written_.ended = true;
    wake_it = !std::exchange(woken_, true);
  }
  over_.store(true, std::memory_order_release);
  wake(wake_it);
}

bool OpenExchange::start(HttpResponse head) {
  bool wake_it = false;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return false;
    KV_CHECK(!std::exchange(started_, true), "an answer is started once");
    if (!head.body.empty()) {
      queued_bytes_.fetch_add(head.body.size(), std::memory_order_relaxed);
      written_.pieces.push_back(std::exchange(head.body, {}));
    }
    head.headers.insert(head.headers.end(), access_headers_.begin(), access_headers_.end());
    written_.head = std::move(head);
    wake_it = !std::exchange(woken_, true);
  }
  wake(wake_it);
  return true;
}

bool OpenExchange::write(std::string piece) {
  if (over_.load(std::memory_order_acquire)) return false;
  bool wake_it = false;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return false;
    KV_CHECK(started_, "an answer begins with its head");
    if (piece.empty()) return true;
    queued_bytes_.fetch_add(piece.size(), std::memory_order_relaxed);
    written_.pieces.push_back(std::move(piece));
    wake_it = !std::exchange(woken_, true);
  }
  wake(wake_it);
  return true;
}

void OpenExchange::end(bool broken_off) {
  bool wake_it = false;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = written_.ended = true;
    written_.broken_off = broken_off || !started_;  // without a head there is no answer
    wake_it = !std::exchange(woken_, true);
  }
  over_.store(true, std::memory_order_release);
  wake(wake_it);
}

void OpenExchange::wake(bool needed) {
  if (!needed) return;
  if (thread_->is_current()) return output_ready();
  thread_->post([self = shared_from_this()] { self->output_ready(); });
}

OpenExchange::Output OpenExchange::take() {
  const std::lock_guard lock(mutex_);
  woken_ = false;
  return std::exchange(written_, {});
}

void OpenExchange::release(size_t bytes) {
  const size_t left = queued_bytes_.fetch_sub(bytes) - bytes;
  if (waiters_.is_due(left)) waiters_.run();
}

void OpenExchange::on_drained(size_t below_bytes, absl::AnyInvocable<void()> ready) {
  waiters_.add(below_bytes, std::move(ready));
}

// ---- The end

void OpenExchange::call_after(int64_t ms, absl::AnyInvocable<void()> due) {
  if (over_.load(std::memory_order_relaxed)) return;
  alarm_.due = std::move(due);
  thread_->timers().set(alarm_, thread_->now_ms() + ms);
}

bool OpenExchange::ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

bool OpenExchange::refuse(HttpResponse response) {
  bool ours = false;
  bool begun = false;
  {
    const std::lock_guard lock(mutex_);
    ours = !ended_;
    begun = started_;
  }
  if (!begun) respond(std::move(response));
  if (ours) let_go(/*tell_handler=*/true);
  return !begun;
}

void OpenExchange::close() {
  bool ended_before = false;
  {
    const std::lock_guard lock(mutex_);
    ended_before = std::exchange(ended_, true);
    written_ = {};
  }
  let_go(!ended_before);
  alarm_.cancel();
  alarm_.due = nullptr;
  on_body = nullptr;
  on_body_end = nullptr;
  if (const auto tell = std::exchange(on_closed, nullptr)) tell();
}

void OpenExchange::let_go(bool tell_handler) {
  const auto self = shared_from_this();
  over_.store(true, std::memory_order_release);
  // The callbacks hold the handler's state, which holds this. The one that may be on the stack stays until close().
  auto tell = std::exchange(on_cancel, nullptr);
  if (tell_handler && tell) tell();
  waiters_.run();
}

}  // namespace kv::api
