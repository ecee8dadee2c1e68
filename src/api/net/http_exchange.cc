#include "api/net/http_exchange.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <string>
#include <utility>

#include "api/net/io_thread.h"
#include "api/net/router.h"

namespace kv::api {
namespace {

class HttpExchange final : public Http2Stream, public std::enable_shared_from_this<HttpExchange> {
 public:
  HttpExchange(std::shared_ptr<ServerCore> core, IoThread& thread, std::shared_ptr<HttpRequest> request)
      : core_(std::move(core)), thread_(thread.shared_from_this()), request_(std::move(request)) {}

  void keep(std::shared_ptr<HttpExchange> self) { self_ = std::move(self); }

  void on_start() override {}

  void on_data(std::string_view bytes) override {
    if (answered_) return;
    session()->consumed(*this, bytes.size());
    request_->body += bytes;
    const bool held = session()->hold_request(*this, static_cast<ptrdiff_t>(bytes.size()));
    if (!held || request_->body.size() > core_->options.max_request_bytes) {
      request_->body = {};
      deliver(plain_error(413, "request body is too large"));
    }
  }

  void on_end() override {
    if (answered_) return;
    const RouteMatch match = find_route(core_->routes, request_->method, request_->path);
    if (match.route == nullptr) return deliver(no_route(match));
    match.route->handler(request_, [self = shared_from_this()](HttpResponse response) {
      if (self->thread_->is_current()) return self->deliver(std::move(response));
      self->thread_->post([self, response = std::move(response)]() mutable { self->deliver(std::move(response)); });
    });
  }

  std::pair<size_t, Next> produce(char* into, size_t room) override {
    const size_t n = std::min(room, response_.body.size() - sent_);
    std::memcpy(into, response_.body.data() + sent_, n);
    sent_ += n;
    session()->hold_answer(*this, -static_cast<ptrdiff_t>(n));
    return {n, sent_ < response_.body.size() ? Next::kMore : Next::kEnd};
  }

  void on_closed() override { const auto last = std::move(self_); }

 private:
  void deliver(HttpResponse response) {
    if (session() == nullptr || answered_) return;
    answered_ = true;
    response_ = std::move(response);
    const std::string status = std::to_string(response_.status);
    const std::string length = std::to_string(response_.body.size());
    std::vector<HeaderField> fields{
        {":status", status}, {"content-type", response_.content_type}, {"content-length", length}};
    for (auto& [name, value] : response_.headers) {
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      fields.push_back({name, value});
    }
    if (request_->method == "HEAD" || response_.body.empty()) return session()->respond_without_body(*this, fields);
    session()->respond(*this, fields);
    session()->hold_answer(*this, static_cast<ptrdiff_t>(response_.body.size()));
  }

  const std::shared_ptr<ServerCore> core_;
  const std::shared_ptr<IoThread> thread_;
  const std::shared_ptr<HttpRequest> request_;
  std::shared_ptr<HttpExchange> self_;
  HttpResponse response_;
  size_t sent_ = 0;
  bool answered_ = false;
};

}  // namespace

Http2Stream* open_http_exchange(const std::shared_ptr<ServerCore>& core, Http2Session& session, RequestHead& head) {
  auto request = std::make_shared<HttpRequest>();
  request->method = head.method;
  std::tie(request->path, request->query) = split_target(head.path);
  request->headers = std::move(head.headers);
  head.headers.clear();
  request->headers.emplace_back("host", head.authority);
  if (!head.content_type.empty()) request->headers.emplace_back("content-type", head.content_type);
  if (!head.user_agent.empty()) request->headers.emplace_back("user-agent", head.user_agent);
  request->peer = session.peer();
  const auto exchange = std::make_shared<HttpExchange>(core, session.thread(), std::move(request));
  exchange->keep(exchange);
  return exchange.get();
}

}  // namespace kv::api
