// What clients send: frames, heads, bodies, and what is refused of them.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "api/net/grpc_call.h"
#include "api/net/http2_exchange.h"
#include "api/net/nghttp2_session.h"
#include "base/log.h"

namespace kv::api {
namespace {

constexpr int kMaxPingStrikes = 2;  // as grpc-go
constexpr size_t kForgivenStreams = 128;
constexpr size_t kHeaderBombFactor = 8;  // so many times max_header_bytes in one block ends the connection

}  // namespace

void RequestHead::clear() {
  for (std::string* text :
       {&method, &path, &authority, &content_type, &timeout, &encoding, &accept_encoding, &user_agent}) {
    text->clear();
  }
  headers.clear();
}

void NgHttp2Session::receive(std::string_view bytes) {
  if (dying_) return;
  last_receive_ms_ = thread().now_ms();
  const ssize_t taken = nghttp2_session_mem_recv(session_, bytes_of(bytes), bytes.size());
  if (taken < 0 && !dying_) {
    // Not HTTP/2, or a flood that nghttp2 itself has noticed. (Violations of the protocol are not errors here:
    // nghttp2 queues the GOAWAY and then wants no more.)
    die(taken == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR, "");
  }
  if (unreturned_bytes_ > 0) {
    nghttp2_session_consume_connection(session_, std::exchange(unreturned_bytes_, 0));
  }
  host_.want_write();
}

// nghttp2 forgets closed streams here (their memory is the price of RFC 7540's priorities, which nobody uses), and
// then ignores what a client sends on them. A client that opens one again is broken or hostile (RFC 9113, 5.1); one
// that sends trailers because it could not yet know that we had reset the stream is neither.
int NgHttp2Session::on_begin_frame(const nghttp2_frame_hd& head) {
  switch (head.type) {
    case NGHTTP2_HEADERS:
      if (head.stream_id <= last_opened_ && head.stream_id % 2 == 1 && !forgiven(head.stream_id) &&
          nghttp2_session_find_stream(session_, head.stream_id) == nullptr) {
        die(NGHTTP2_STREAM_CLOSED, "frame on a closed stream");
      }
      break;
    case NGHTTP2_PRIORITY:
      if (head.stream_id == 0) die(NGHTTP2_PROTOCOL_ERROR, "priority of stream 0");
      [[fallthrough]];
    case NGHTTP2_CONTINUATION:
      if (!control_frames_.allow(thread().now_ms())) die(NGHTTP2_ENHANCE_YOUR_CALM, "too_many_control_frames");
      break;
    default: break;
  }
  return dying_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

bool NgHttp2Session::forgiven(int32_t id) const {
  return id <= forgiven_up_to_ || std::find(forgiven_.begin(), forgiven_.end(), id) != forgiven_.end();
}

void NgHttp2Session::forgive(int32_t id) {
  if (forgiven(id)) return;
  forgiven_.push_back(id);
  if (forgiven_.size() <= kForgivenStreams) return;
  forgiven_up_to_ = std::max(forgiven_up_to_, forgiven_.front());
  forgiven_.pop_front();
}

int NgHttp2Session::on_invalid_frame(const nghttp2_frame& frame) {
  // nghttp2 resets the stream, or refuses to open it.
  if (frame.hd.stream_id > 0) {
    forgive(frame.hd.stream_id);
    last_opened_ = std::max(last_opened_, frame.hd.type == NGHTTP2_HEADERS ? frame.hd.stream_id : 0);
    count_reset();
  }
  return dying_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

int NgHttp2Session::on_begin_headers(const nghttp2_frame& frame) {
  head_.clear();
  head_bytes_ = 0;
  head_is_request_ = frame.headers.cat == NGHTTP2_HCAT_REQUEST;
  if (head_is_request_) last_opened_ = frame.hd.stream_id;
  rules_.begin(head_is_request_ ? HeadRules::Block::kHead : HeadRules::Block::kTrailers);
  if ((frame.hd.flags & NGHTTP2_FLAG_END_HEADERS) == 0) {
    thread().timers().set(header_timer_, thread().now_ms() + core_->options.header_timeout_ms);
  }
  return 0;
}

int NgHttp2Session::on_header(const nghttp2_frame&, std::string_view name, std::string_view value) {
  constexpr size_t kFieldOverhead = 32;  // as SETTINGS_MAX_HEADER_LIST_SIZE counts
  head_bytes_ += name.size() + value.size() + kFieldOverhead;
  if (head_bytes_ > core_->options.max_header_bytes) {
    if (head_bytes_ > core_->options.max_header_bytes * kHeaderBombFactor) {
      die(NGHTTP2_ENHANCE_YOUR_CALM, "header_bomb");
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;  // open_stream() refuses
  }
  if (!rules_.field(name, value)) return 0;  // on_frame() refuses
  if (!head_is_request_) return 0;           // trailers of a request mean nothing to gRPC

  std::string* known = nullptr;
  if (name[0] == ':') {
    if (name == ":method") known = &head_.method;
    if (name == ":path") known = &head_.path;
    if (name == ":authority") known = &head_.authority;
    if (known == nullptr) return 0;
  } else if (name == "content-type") {
    known = &head_.content_type;
  } else if (name == "user-agent") {
    known = &head_.user_agent;
  } else if (name == "te") {
    return 0;
  } else if (name.starts_with("grpc-")) {
    const std::string_view rest = name.substr(5);
    if (rest == "timeout") known = &head_.timeout;
    if (rest == "encoding") known = &head_.encoding;
    if (rest == "accept-encoding") known = &head_.accept_encoding;
  }
  if (known != nullptr) {
    known->assign(value);
  } else {
    head_.headers.emplace_back(name, value);
  }
  return 0;
}

int NgHttp2Session::on_data_chunk(int32_t id, uint8_t flags, std::string_view bytes) {
  unreturned_bytes_ += bytes.size();
  Http2Stream* const stream = find(id);
  if (stream == nullptr) {  // refused: the rest of its body is dropped
    nghttp2_session_consume_stream(session_, id, bytes.size());
    return 0;
  }
  if ((flags & NGHTTP2_FLAG_END_STREAM) != 0) stream->ending_ = true;
  stream->received_ += static_cast<int64_t>(bytes.size());
  if (stream->promised_ >= 0 && stream->received_ > stream->promised_) {
    malformed(id);
  } else {
    stream->on_data(bytes);
  }
  return dying_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

int NgHttp2Session::on_frame(const nghttp2_frame& frame) {
  const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  bool control = false;
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
      header_timer_.cancel();
      if (!rules_.end(ends)) {
        malformed(frame.hd.stream_id);
      } else if (head_is_request_) {
        open_stream(frame.hd.stream_id, ends);
      } else {
        on_request_end(frame.hd.stream_id);
      }
      break;
    case NGHTTP2_DATA:
      if (ends) {
        on_request_end(frame.hd.stream_id);
      } else {
        control = frame.hd.length == 0;  // an empty frame that ends nothing is work without a purpose
      }
      break;
    case NGHTTP2_RST_STREAM:
      if (const Http2Stream* stream = find(frame.hd.stream_id); stream != nullptr && !stream->answered_) count_reset();
      break;
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) {
        control = true;
        on_ping();
      } else if (draining_) {
        finish_drain();
      }
      break;
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PRIORITY: control = true; break;
    default: break;
  }
  if (control && !control_frames_.allow(thread().now_ms())) die(NGHTTP2_ENHANCE_YOUR_CALM, "too_many_control_frames");
  return dying_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

void NgHttp2Session::on_request_end(int32_t id) {
  Http2Stream* const stream = find(id);
  if (stream == nullptr) return;
  stream->ending_ = true;
  if (stream->promised_ >= 0 && stream->received_ != stream->promised_) return malformed(id);
  stream->on_end();
}

void NgHttp2Session::malformed(int32_t id) {
  forgive(id);
  count_reset();
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_PROTOCOL_ERROR);
  if (Http2Stream* const stream = find(id)) end_stream(*stream);
}

int NgHttp2Session::on_stream_closed(int32_t id) {
  if (nghttp2_session_get_stream_remote_close(session_, id) == 0) forgive(id);
  Http2Stream* const stream = find(id);
  if (stream == nullptr) return 0;
  end_stream(*stream);
  last_stream_ms_ = thread().now_ms();
  return 0;
}

// Counts what a client resets, and what we reset because of what it sent: both cost us the work that was begun
// (CVE-2023-44487, CVE-2025-8671).
void NgHttp2Session::count_reset() {
  if (!resets_.allow(thread().now_ms())) die(NGHTTP2_ENHANCE_YOUR_CALM, "too_many_resets");
}

void NgHttp2Session::on_ping() {
  const int64_t now_ms = thread().now_ms();
  const int64_t since_ms = now_ms - std::exchange(last_ping_ms_, now_ms);
  // A client may ping after each answer, to measure the path (gRPC's bandwidth estimator does).
  if (std::exchange(sent_since_ping_, false)) {
    ping_strikes_ = 0;
    return;
  }
  if (since_ms >= (open_streams_ > 0 ? core_->options.keepalive_min_time_ms : kLonelyPingMs)) return;
  if (++ping_strikes_ > kMaxPingStrikes) die(NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
}

void NgHttp2Session::on_slow_headers() { die(NGHTTP2_ENHANCE_YOUR_CALM, "slow_headers"); }

void NgHttp2Session::open_stream(int32_t id, bool ended) {
  if (dying_) return;
  const bool grpc = is_grpc(head_.content_type);
  if (head_bytes_ > core_->options.max_header_bytes) {
    const Status status(Code::kResourceExhausted, "grpc: received header list larger than max " +
                                                      std::to_string(core_->options.max_header_bytes));
    return grpc ? refuse_grpc(id, status) : refuse(id, std::array{HeaderField{":status", "431", true}});
  }

  Http2Stream* stream = nullptr;
  if (grpc) {
    Result<Http2Stream*> made = open_grpc_call(core_, *this, head_);
    if (!made.ok()) return refuse_grpc(id, made.status(), head_.method == "POST" ? 200 : 405);
    stream = *made;
  } else if (head_.method == "POST" && core_->find_method(head_.path) != nullptr) {
    return refuse(id, std::array{HeaderField{":status", "415", true}});
  } else {
    stream = open_http2_exchange(core_, *this, head_);
  }
  attach(*stream, id);
  stream->ending_ = ended;
  stream->promised_ = rules_.content_length();
  stream->on_start();
  // The stream may be gone already only if its connection is, which does not happen inside a callback.
  if (ended) stream->on_end();
}

void NgHttp2Session::refuse_grpc(int32_t id, const Status& status, int http_status) {
  const std::string code = std::to_string(static_cast<int>(status.code()));
  const std::string text = percent_encode(status.text());
  const std::string http = std::to_string(http_status);
  const std::array fields{HeaderField{":status", http}, HeaderField{"content-type", "application/grpc", true},
                          HeaderField{"grpc-status", code}, HeaderField{"grpc-message", text},
                          HeaderField{"grpc-accept-encoding", kAcceptEncoding, true}};
  refuse(id, fields);
}

}  // namespace kv::api
