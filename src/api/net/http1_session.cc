#include "api/net/http1_session.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cctype>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>
#include <utility>

#include "api/net/io_thread.h"
#include "api/net/router.h"
#include "api/net/timer_wheel.h"

namespace kv::api {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

constexpr size_t kPipelinedBytes = 64 << 10;  // that are read ahead while a request is being answered

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// RFC 9110, 5.6.7.
std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[40];
  const size_t size = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text, size};
}

class Http1Session final : public Session, private Timer {
 public:
  Http1Session(std::shared_ptr<ServerCore> core, SessionHost& host)
      : core_(std::move(core)), host_(host), link_(std::make_shared<Link>(host.thread().shared_from_this(), this)) {
    wait_for_request();
  }

  void receive(std::string_view bytes) override;
  bool wants_read() const override { return !closing_ && (!handling_ || input_.size() < kPipelinedBytes); }
  bool end_of_input() override;
  size_t produce(char* into, size_t room) override;
  bool finished() const override { return closing_ && !handling_ && sent_ == output_.size(); }
  void drain() override;
  void disconnected() override;

 private:
  // What a handler's reply holds: the way back to a session that may have gone.
  struct Link {
    Link(std::shared_ptr<IoThread> t, Http1Session* s) : thread(std::move(t)), session(s) {}
    const std::shared_ptr<IoThread> thread;
    Http1Session* session;  // the I/O thread's; null once disconnected
  };
  using Parser = http::request_parser<http::string_body>;

  void on_timer() override;
  void wait_for_request();
  void parse();
  void on_head();
  void handle();
  void fail(const error_code& error);
  void reply(const HttpResponse& response, bool head_only, bool keep_alive, bool http10);

  const std::shared_ptr<ServerCore> core_;
  SessionHost& host_;
  const std::shared_ptr<Link> link_;

  std::string input_;
  std::optional<Parser> parser_;
  bool head_seen_ = false;
  bool parsing_ = false;
  bool handling_ = false;  // a handler has a request and has not replied
  bool draining_ = false;
  bool input_ended_ = false;
  bool closing_ = false;
  std::string output_;
  size_t sent_ = 0;
};

void Http1Session::wait_for_request() {
  Timer::cancel();
  const int64_t idle_ms = core_->options.idle_timeout_ms;
  if (idle_ms > 0) host_.thread().timers().set(*this, host_.thread().now_ms() + idle_ms);
}

void Http1Session::receive(std::string_view bytes) {
  if (closing_) return;
  input_ += bytes;
  if (!handling_) parse();
}

void Http1Session::parse() {
  if (parsing_) return;
  parsing_ = true;
  while (!handling_ && !closing_ && !input_.empty()) {
    if (!parser_) {
      parser_.emplace();
      parser_->header_limit(static_cast<uint32_t>(core_->options.max_header_bytes));
      parser_->body_limit(core_->options.max_request_bytes);
      head_seen_ = false;
      host_.thread().timers().set(*this, host_.thread().now_ms() + core_->options.header_timeout_ms);
    }
    error_code error;
    const size_t taken = parser_->put(boost::asio::buffer(input_), error);
    input_.erase(0, taken);
    if (error == http::error::need_more) {
      if (taken == 0) break;
      continue;
    }
    if (error) {
      fail(error);
      break;
    }
    if (!head_seen_ && parser_->is_header_done()) on_head();
    if (!closing_ && parser_->is_done()) {
      handle();
    } else if (taken == 0) {
      break;
    }
  }
  parsing_ = false;
  if (input_.empty() && input_.capacity() > kPipelinedBytes) input_ = {};
}

void Http1Session::on_head() {
  head_seen_ = true;
  const auto& request = parser_->get();
  if (request.version() >= 11 && request.count(http::field::host) != 1) {
    closing_ = true;
    return reply(plain_error(400, "exactly one Host header is needed"), false, false, false);
  }
  host_.thread().timers().set(*this, host_.thread().now_ms() + core_->options.body_timeout_ms);
  if (!parser_->is_done() && request.version() >= 11 &&
      lower(std::string_view(request[http::field::expect])) == "100-continue") {
    output_ += "HTTP/1.1 100 Continue\r\n\r\n";
    host_.want_write();
  }
}

void Http1Session::handle() {
  Timer::cancel();
  auto message = parser_->release();
  const bool keep_alive = message.keep_alive();
  const bool http10 = message.version() < 11;
  parser_.reset();

  auto request = std::make_shared<HttpRequest>();
  request->method = std::string(std::string_view(message.method_string()));
  std::tie(request->path, request->query) = split_target(std::string_view(message.target()));
  for (const auto& field : message) {
    request->headers.emplace_back(lower(std::string_view(field.name_string())), std::string_view(field.value()));
  }
  request->body = std::move(message.body());
  request->peer = host_.peer();

  const bool head_only = request->method == "HEAD";
  const RouteMatch match = find_route(core_->routes, request->method, request->path);
  handling_ = true;
  if (match.route == nullptr) {
    handling_ = false;
    return reply(no_route(match), head_only, keep_alive, http10);
  }
  match.route->handler(std::move(request), [link = link_, head_only, keep_alive, http10](HttpResponse response) {
    auto deliver = [link, head_only, keep_alive, http10, response = std::move(response)] {
      if (link->session == nullptr) return;
      Http1Session& session = *link->session;
      session.handling_ = false;
      session.reply(response, head_only, keep_alive, http10);
      if (!session.parsing_) session.parse();
      session.host_.resume_reading();
    };
    if (link->thread->is_current()) return deliver();
    link->thread->post(std::move(deliver));
  });
}

void Http1Session::fail(const error_code& error) {
  closing_ = true;
  Timer::cancel();
  if (error == http::error::header_limit)
    return reply(plain_error(431, "request headers are too large"), false, false, false);
  if (error == http::error::body_limit)
    return reply(plain_error(413, "request body is too large"), false, false, false);
  reply(plain_error(400, "bad request: " + error.message()), false, false, false);
}

void Http1Session::reply(const HttpResponse& response, bool head_only, bool keep_alive, bool http10) {
  keep_alive = keep_alive && !draining_ && !input_ended_ && !closing_;
  const auto reason = http::obsolete_reason(static_cast<http::status>(response.status));
  output_ += "HTTP/1.1 " + std::to_string(response.status) + " " + std::string(std::string_view(reason)) + "\r\n";
  const bool bodiless = response.status == 204 || response.status == 304;
  if (!bodiless) {
    if (!response.content_type.empty()) output_ += "content-type: " + response.content_type + "\r\n";
    output_ += "content-length: " + std::to_string(response.body.size()) + "\r\n";
  }
  output_ += "date: " + http_date() + "\r\n";
  for (const auto& [name, value] : response.headers) {
    // A line break in a value would let it pass for headers of its own.
    if (value.find_first_of("\r\n") == std::string::npos) output_ += name + ": " + value + "\r\n";
  }
  if (!keep_alive) output_ += "connection: close\r\n";
  if (keep_alive && http10) output_ += "connection: keep-alive\r\n";
  output_ += "\r\n";
  if (!head_only && !bodiless) output_ += response.body;
  if (keep_alive) {
    wait_for_request();
  } else {
    closing_ = true;
  }
  host_.want_write();
}

bool Http1Session::end_of_input() {
  input_ended_ = true;
  if (!handling_) closing_ = true;
  host_.want_write();
  return handling_ || sent_ < output_.size();
}

size_t Http1Session::produce(char* into, size_t room) {
  const size_t n = std::min(room, output_.size() - sent_);
  std::memcpy(into, output_.data() + sent_, n);
  sent_ += n;
  if (sent_ == output_.size()) {
    sent_ = 0;
    output_.clear();
    if (output_.capacity() > kPipelinedBytes) output_ = {};
  }
  return n;
}

void Http1Session::on_timer() {
  // Headers or a body that do not come, or nothing at all. There is no answer that the client waits for.
  closing_ = true;
  if (head_seen_ || !input_.empty()) reply(plain_error(408, "the request took too long"), false, false, false);
  host_.want_write();
}

void Http1Session::drain() {
  draining_ = true;
  if (handling_ || parser_) return;  // its answer says that it is the last
  closing_ = true;
  host_.want_write();
}

void Http1Session::disconnected() {
  Timer::cancel();
  closing_ = true;
  link_->session = nullptr;
}

}  // namespace

std::unique_ptr<Session> make_http1_session(std::shared_ptr<ServerCore> core, SessionHost& host) {
  return std::make_unique<Http1Session>(std::move(core), host);
}

}  // namespace kv::api
