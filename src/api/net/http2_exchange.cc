#include "api/net/http2_exchange.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <deque>
#include <string>
#include <utility>

#include "api/net/http_exchange.h"
#include "api/net/router.h"
#include "api/net/timer_wheel.h"

namespace kv::api {
namespace {

class Http2Exchange final : public Http2Stream, public OpenExchange, private Timer {
 public:
  Http2Exchange(std::shared_ptr<ServerCore> core, IoThread& thread, std::shared_ptr<HttpRequest> request)
      : OpenExchange(std::move(core), thread, std::move(request)) {}

  void keep(std::shared_ptr<OpenExchange> self) { self_ = std::move(self); }

  void on_start() override {
    thread_->timers().set(*this, thread_->now_ms() + core_->options.body_timeout_ms);
    begin();
  }

  void on_data(std::string_view bytes) override {
    if (!ended() && (paused() || !backlog_.empty())) {
      backlog_ += bytes;  // the window is given back as it is read
      if (!hold_body(static_cast<ptrdiff_t>(bytes.size()))) refuse(plain_error(413, "too much is unread"));
      return;
    }
    session()->consumed(*this, bytes.size());
    deliver_body(bytes);
  }

  void on_end() override {
    Timer::cancel();
    input_ended_ = true;
    if (backlog_.empty()) deliver_end();
  }

  bool hold_body(ptrdiff_t bytes) override { return session() == nullptr || session()->hold_request(*this, bytes); }

  std::pair<size_t, Next> produce(char* into, size_t room) override {
    size_t made = 0;
    while (made < room && !sending_.empty()) {
      const std::string& first = sending_.front();
      const size_t n = std::min(room - made, first.size() - sent_of_first_);
      std::memcpy(into + made, first.data() + sent_of_first_, n);
      made += n;
      sent_of_first_ += n;
      if (sent_of_first_ < first.size()) break;
      sending_.pop_front();
      sent_of_first_ = 0;
    }
    if (made > 0) {
      session()->hold_answer(*this, -static_cast<ptrdiff_t>(made));
      release(made);
    }
    if (!sending_.empty()) return {made, Next::kMore};
    return {made, all_taken_ ? Next::kEnd : Next::kWait};
  }

  void on_closed() override {
    Timer::cancel();
    const auto last = std::move(self_);
    sending_.clear();
    close();
  }

 private:
  void on_timer() override {
    if (!head_sent_) refuse(plain_error(408, "the request took too long"));
  }

  void read_again() override {
    if (session() == nullptr || backlog_.empty()) return;
    const std::string bytes = std::exchange(backlog_, {});
    if (!hold_body(-static_cast<ptrdiff_t>(bytes.size()))) return;
    session()->consumed(*this, bytes.size());
    deliver_body(bytes);
    if (input_ended_ && backlog_.empty()) deliver_end();
  }

  void output_ready() override {
    Output output = take();
    if (session() == nullptr || all_taken_) return;
    all_taken_ = output.ended;
    if (output.broken_off) {
      sending_.clear();
      sent_of_first_ = 0;
      return session()->reset(*this);
    }
    if (output.head) send_head(*std::move(output.head), output.whole);
    size_t bytes = 0;
    for (std::string& piece : output.pieces) {
      bytes += piece.size();
      if (!bodiless_) sending_.push_back(std::move(piece));
    }
    if (bodiless_) return release(bytes);
    session()->resume(*this);
    if (bytes > 0) session()->hold_answer(*this, static_cast<ptrdiff_t>(bytes));
  }

  void send_head(HttpResponse head, bool whole) {
    head_sent_ = true;
    const std::string status = std::to_string(head.status);
    const std::string length = std::to_string(head.body.size());
    std::vector<HeaderField> fields{{":status", status}};
    if (!head.content_type.empty()) fields.push_back({"content-type", head.content_type});
    if (whole) fields.push_back({"content-length", length});
    for (auto& [name, value] : head.headers) {
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      fields.push_back({name, value});
    }
    bodiless_ = request().method == "HEAD" || (whole && head.body.empty());
    if (bodiless_) {
      release(head.body.size());
      return session()->respond_without_body(*this, fields);
    }
    session()->respond(*this, fields);
    if (head.body.empty()) return;
    const auto bytes = static_cast<ptrdiff_t>(head.body.size());
    sending_.push_back(std::move(head.body));
    session()->hold_answer(*this, bytes);
  }

  std::shared_ptr<OpenExchange> self_;
  std::string backlog_;  // what came while the handler did not want to read; at most a stream's window
  bool input_ended_ = false;
  std::deque<std::string> sending_;
  size_t sent_of_first_ = 0;
  bool head_sent_ = false;
  bool bodiless_ = false;
  bool all_taken_ = false;  // nothing comes after `sending_`
};

}  // namespace

Http2Stream* open_http2_exchange(const std::shared_ptr<ServerCore>& core, Http2Session& session, RequestHead& head) {
  auto request = std::make_shared<HttpRequest>();
  request->method = head.method;
  std::tie(request->path, request->query) = split_target(head.path);
  request->headers = std::move(head.headers);
  head.headers.clear();
  request->headers.emplace_back("host", head.authority);
  if (!head.content_type.empty()) request->headers.emplace_back("content-type", head.content_type);
  if (!head.user_agent.empty()) request->headers.emplace_back("user-agent", head.user_agent);
  if (!head.timeout.empty()) request->headers.emplace_back("grpc-timeout", head.timeout);
  request->peer = session.peer();
  request->secure = session.secure();
  const auto exchange = std::make_shared<Http2Exchange>(core, session.thread(), std::move(request));
  exchange->keep(exchange);
  return exchange.get();
}

}  // namespace kv::api
