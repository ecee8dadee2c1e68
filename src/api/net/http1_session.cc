#include "api/net/http1_session.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/optional.hpp>
#include <cctype>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "api/net/http_exchange.h"
#include "api/net/io_thread.h"
#include "api/net/router.h"
#include "api/net/timer_wheel.h"
#include "base/log.h"

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

// Beast's parser leaves what has come of the body in a string, from where it is taken piece by piece.
struct PieceBody {
  using value_type = std::string;
  struct reader {
    template <bool kIsRequest, typename Fields>
    reader(http::header<kIsRequest, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<uint64_t>&, error_code& error) { error = {}; }
    template <typename Buffers>
    size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      size_t size = 0;
      for (auto at = boost::asio::buffer_sequence_begin(buffers); at != boost::asio::buffer_sequence_end(buffers);
           ++at) {
        const boost::asio::const_buffer buffer(*at);
        body_.append(static_cast<const char*>(buffer.data()), buffer.size());
        size += buffer.size();
      }
      return size;
    }
    void finish(error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

class Http1Session;

class Http1Exchange final : public OpenExchange {
 public:
  Http1Exchange(Http1Session& session, std::shared_ptr<ServerCore> core, IoThread& thread,
                std::shared_ptr<HttpRequest> request)
      : OpenExchange(std::move(core), thread, std::move(request)), session_(&session) {}

  // One request at a time, and a piece of it is at most what was read at a time.
  bool hold_body(ptrdiff_t) override { return true; }

 private:
  friend class Http1Session;
  void output_ready() override;
  void read_again() override;

  Http1Session* session_;  // the I/O thread's; null once closed
};

class Http1Session final : public Session, private Timer {
 public:
  Http1Session(std::shared_ptr<ServerCore> core, SessionHost& host) : core_(std::move(core)), host_(host) {
    wait_for_request();
  }

  void receive(std::string_view bytes) override;
  bool wants_read() const override;
  bool end_of_input() override;
  size_t produce(char* into, size_t room) override;
  bool finished() const override { return closing_ && !exchange_ && sent_ == output_.size(); }
  void drain() override;
  void disconnected() override;

  // For the exchange.
  void output_ready();
  void read_again();

 private:
  using Parser = http::request_parser<PieceBody>;

  void on_timer() override;
  void wait_for_request();
  void parse();
  void on_head();
  void refuse(HttpResponse response);
  // Moves what the exchange has written into output_, as much as may be sent next. False: there is nothing.
  bool refill();
  void take_output();
  void write_head(const HttpResponse& head, bool whole);
  void end_exchange();

  const std::shared_ptr<ServerCore> core_;
  SessionHost& host_;

  std::string input_;
  std::optional<Parser> parser_;
  bool head_seen_ = false;
  bool body_seen_ = false;  // all of it
  bool parsing_ = false;
  bool draining_ = false;
  bool input_ended_ = false;
  bool deaf_ = false;     // what the client sends is no longer looked at
  bool closing_ = false;  // when all is sent
  bool gave_up_ = false;

  // The request that is being answered.
  std::shared_ptr<Http1Exchange> exchange_;
  bool keep_alive_ = false;
  bool http10_ = false;
  bool chunked_ = false;
  bool bodiless_ = false;
  std::optional<HttpResponse> head_;
  bool whole_ = false;
  std::deque<std::string> pieces_;
  bool all_taken_ = false;  // nothing comes after `pieces_`
  bool broken_off_ = false;
  bool head_written_ = false;

  std::string output_;
  size_t sent_ = 0;
  size_t exchange_bytes_ = 0;  // of output_ that the exchange still counts
};

void Http1Exchange::output_ready() {
  if (session_ != nullptr) session_->output_ready();
}

void Http1Exchange::read_again() {
  if (session_ != nullptr) session_->read_again();
}

// ---- The way in

void Http1Session::wait_for_request() {
  Timer::cancel();
  const int64_t idle_ms = core_->options.idle_timeout_ms;
  if (idle_ms > 0) host_.thread().timers().set(*this, host_.thread().now_ms() + idle_ms);
}

bool Http1Session::wants_read() const {
  if (closing_ || deaf_) return false;
  const bool waits = exchange_ && (body_seen_ || exchange_->paused());
  return !waits || input_.size() < kPipelinedBytes;
}

void Http1Session::receive(std::string_view bytes) {
  if (closing_ || deaf_) return;
  input_ += bytes;
  parse();
}

void Http1Session::read_again() {
  parse();
  host_.resume_reading();
}

void Http1Session::parse() {
  if (parsing_) return;
  parsing_ = true;
  while (!closing_ && !deaf_ && !input_.empty()) {
    if (exchange_ && (body_seen_ || exchange_->paused())) break;
    if (!parser_) {
      parser_.emplace();
      parser_->header_limit(static_cast<uint32_t>(core_->options.max_header_bytes));
      parser_->body_limit(boost::none);  // the handler's matter
      head_seen_ = body_seen_ = false;
      host_.thread().timers().set(*this, host_.thread().now_ms() + core_->options.header_timeout_ms);
    }
    error_code error;
    const size_t taken = parser_->put(boost::asio::buffer(input_), error);
    input_.erase(0, taken);
    if (error && error != http::error::need_more) {
      const bool too_large = error == http::error::header_limit;
      refuse(too_large ? plain_error(431, "request headers are too large")
                       : plain_error(400, "bad request: " + error.message()));
      break;
    }
    if (!head_seen_ && parser_->is_header_done()) on_head();
    if (exchange_ && !parser_->get().body().empty()) {
      exchange_->deliver_body(parser_->get().body());
      parser_->get().body().clear();
    }
    if (exchange_ && !deaf_ && parser_->is_done()) {
      body_seen_ = true;
      Timer::cancel();
      exchange_->deliver_end();
    } else if (taken == 0) {
      break;
    }
  }
  parsing_ = false;
  if (input_.empty() && input_.capacity() > kPipelinedBytes) input_ = {};
}

void Http1Session::on_head() {
  head_seen_ = true;
  const auto& message = parser_->get();
  if (message.version() >= 11 && message.count(http::field::host) != 1) {
    return refuse(plain_error(400, "exactly one Host header is needed"));
  }
  host_.thread().timers().set(*this, host_.thread().now_ms() + core_->options.body_timeout_ms);

  auto request = std::make_shared<HttpRequest>();
  request->method = std::string(std::string_view(message.method_string()));
  std::tie(request->path, request->query) = split_target(std::string_view(message.target()));
  for (const auto& field : message) {
    request->headers.emplace_back(lower(std::string_view(field.name_string())), std::string_view(field.value()));
  }
  request->peer = host_.peer();
  request->secure = host_.secure();
  keep_alive_ = message.keep_alive();
  http10_ = message.version() < 11;
  const bool waits = !parser_->is_done() && !http10_ && lower(request->header("expect")) == "100-continue";
  exchange_ = std::make_shared<Http1Exchange>(*this, core_, host_.thread(), std::move(request));
  exchange_->begin();
  if (waits && !exchange_->ended()) {
    output_ += "HTTP/1.1 100 Continue\r\n\r\n";
    host_.want_write();
  }
}

// Answers what can't be read any further.
void Http1Session::refuse(HttpResponse response) {
  Timer::cancel();
  deaf_ = true;
  host_.want_write();
  if (!exchange_) {
    write_head(response, true);
    output_ += response.body;
    closing_ = true;
  } else if (!exchange_->refuse(std::move(response))) {
    exchange_->break_off();
  }
}

bool Http1Session::end_of_input() {
  input_ended_ = true;
  host_.want_write();
  if (!exchange_) {
    closing_ = true;
    return sent_ < output_.size();
  }
  // Whoever asked for one answer may have closed their half and wait for it; a stream's reader does not.
  return exchange_->ended() || (body_seen_ && !exchange_->streaming());
}

void Http1Session::on_timer() {
  if (exchange_) {
    if (!head_written_) refuse(plain_error(408, "the request took too long"));
    return;
  }
  // Headers that do not come, or nothing at all. Then there is no answer that the client waits for.
  if (parser_ || !input_.empty()) return refuse(plain_error(408, "the request took too long"));
  closing_ = true;
  host_.want_write();
}

// ---- The way out

void Http1Session::output_ready() {
  take_output();
  host_.want_write();
  const size_t waits = exchange_->queued_bytes();
  if (waits <= core_->options.max_queued_bytes || all_taken_ || std::exchange(gave_up_, true)) return;
  log_warning("a client does not read its answer, closing its connection",
              {{"peer", host_.peer()}, {"queued_bytes", waits}});
  host_.give_up();
}

void Http1Session::take_output() {
  OpenExchange::Output taken = exchange_->take();
  if (taken.head) {
    head_ = std::move(taken.head);
    whole_ = taken.whole;
  }
  for (std::string& piece : taken.pieces) pieces_.push_back(std::move(piece));
  all_taken_ = all_taken_ || taken.ended;
  broken_off_ = broken_off_ || taken.broken_off;
}

bool Http1Session::refill() {
  if (!exchange_) return false;
  if (head_) {
    HttpResponse head = *std::exchange(head_, std::nullopt);
    head_written_ = true;
    Timer::cancel();
    write_head(head, whole_);
    exchange_bytes_ = head.body.size();
    if (!bodiless_) output_ += head.body;
    return true;
  }
  if (!pieces_.empty() && !broken_off_) {
    std::string piece = std::move(pieces_.front());
    pieces_.pop_front();
    if (bodiless_) {
      exchange_->release(piece.size());
      return refill();
    }
    exchange_bytes_ = piece.size();
    if (chunked_) {
      char size[2 * sizeof(size_t) + 1];
      std::snprintf(size, sizeof size, "%zx", piece.size());
      output_ = std::string(size) + "\r\n";
      output_ += piece;
      output_ += "\r\n";
    } else {
      output_ = std::move(piece);
    }
    return true;
  }
  if (!all_taken_) return false;
  if (chunked_ && !bodiless_ && !broken_off_) output_ += "0\r\n\r\n";
  end_exchange();
  return true;
}

void Http1Session::write_head(const HttpResponse& head, bool whole) {
  const bool stays = exchange_ && keep_alive_ && !draining_ && !input_ended_ && !deaf_ && body_seen_;
  const auto reason = http::obsolete_reason(static_cast<http::status>(head.status));
  output_ += "HTTP/1.1 " + std::to_string(head.status) + " " + std::string(std::string_view(reason)) + "\r\n";
  const bool empty = head.status == 204 || head.status == 304;
  bodiless_ = empty || (exchange_ && exchange_->request().method == "HEAD");
  chunked_ = !whole && !http10_ && !empty;
  keep_alive_ = stays && (whole || chunked_ || empty);
  if (!empty) {
    if (!head.content_type.empty()) output_ += "content-type: " + head.content_type + "\r\n";
    if (whole) output_ += "content-length: " + std::to_string(head.body.size()) + "\r\n";
    if (chunked_) output_ += "transfer-encoding: chunked\r\n";
  }
  output_ += "date: " + http_date() + "\r\n";
  for (const auto& [name, value] : head.headers) {
    // A line break in a value would let it pass for headers of its own.
    if (value.find_first_of("\r\n") == std::string::npos) output_ += name + ": " + value + "\r\n";
  }
  if (!keep_alive_) output_ += "connection: close\r\n";
  if (keep_alive_ && http10_) output_ += "connection: keep-alive\r\n";
  output_ += "\r\n";
}

void Http1Session::end_exchange() {
  const auto ended = std::exchange(exchange_, nullptr);
  ended->session_ = nullptr;
  ended->close();
  parser_.reset();
  pieces_.clear();
  exchange_bytes_ = 0;
  const bool unsaid = !std::exchange(head_written_, false) || std::exchange(broken_off_, false);
  if (!keep_alive_ || unsaid) {
    closing_ = true;
    return;
  }
  all_taken_ = false;
  head_seen_ = body_seen_ = false;
  wait_for_request();
  parse();
  host_.resume_reading();
}

size_t Http1Session::produce(char* into, size_t room) {
  size_t made = 0;
  while (made < room) {
    const size_t n = std::min(room - made, output_.size() - sent_);
    std::memcpy(into + made, output_.data() + sent_, n);
    made += n;
    sent_ += n;
    if (sent_ < output_.size()) break;
    sent_ = 0;
    output_.clear();
    if (output_.capacity() > kPipelinedBytes) output_ = {};
    if (exchange_bytes_ > 0 && exchange_) exchange_->release(std::exchange(exchange_bytes_, 0));
    if (!refill()) break;
  }
  return made;
}

// ---- The end

void Http1Session::drain() {
  draining_ = true;
  if (exchange_ || parser_) return;  // its answer says that it is the last
  closing_ = true;
  host_.want_write();
}

void Http1Session::disconnected() {
  Timer::cancel();
  closing_ = true;
  const auto gone = std::exchange(exchange_, nullptr);
  if (!gone) return;
  gone->session_ = nullptr;
  gone->close();
}

}  // namespace

std::unique_ptr<Session> make_http1_session(std::shared_ptr<ServerCore> core, SessionHost& host) {
  return std::make_unique<Http1Session>(std::move(core), host);
}

}  // namespace kv::api
