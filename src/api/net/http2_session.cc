#include "api/net/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <utility>

#include "api/net/block_pool.h"
#include "api/net/grpc_call.h"
#include "api/net/head_rules.h"
#include "api/net/http_exchange.h"
#include "api/net/io_thread.h"
#include "api/net/rate_limit.h"
#include "api/net/timer_wheel.h"
#include "base/check.h"
#include "base/log.h"

namespace kv::api {
namespace {

constexpr uint32_t kStreamWindowBytes = 1 << 20;
constexpr uint64_t kUnlimited = 1 << 30;
constexpr int32_t kConnectionWindowBytes = 16 << 20;
constexpr size_t kMaxFields = 64;            // of a response's head or trailers
constexpr int64_t kDrainNoticeMs = 1000;     // the first GOAWAY is followed by the second after a round trip, or this
constexpr int kMaxPingStrikes = 2;           // as grpc-go
constexpr int64_t kLonelyPingMs = 7200'000;  // pings with no stream open may come this often (grpc-go's rule)
constexpr size_t kForgivenStreams = 128;
constexpr size_t kHeaderBombFactor = 8;  // so many times max_header_bytes in one block ends the connection

std::string_view view(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }
uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));  // nghttp2 asks for non-const, and only reads
}

void* allocate_zeroed(size_t n, size_t size) {
  void* const block = pool_allocate(n * size);  // nghttp2 asks for a few structs at a time: no overflow
  if (block != nullptr) std::memset(block, 0, n * size);
  return block;
}

class FieldArray {
 public:
  explicit FieldArray(std::span<const HeaderField> fields) : size_(std::min(fields.size(), kMaxFields)) {
    for (size_t i = 0; i < size_; ++i) {
      const HeaderField& field = fields[i];
      const uint8_t flags =
          field.immortal ? NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE : NGHTTP2_NV_FLAG_NONE;
      array_[i] = {bytes_of(field.name), bytes_of(field.value), field.name.size(), field.value.size(), flags};
    }
  }
  const nghttp2_nv* data() const { return array_.data(); }
  size_t size() const { return size_; }

 private:
  std::array<nghttp2_nv, kMaxFields> array_;
  size_t size_;
};

}  // namespace

void RequestHead::clear() {
  for (std::string* text :
       {&method, &path, &authority, &content_type, &timeout, &encoding, &accept_encoding, &user_agent}) {
    text->clear();
  }
  headers.clear();
}

class NgHttp2Session final : public Http2Session {
 public:
  NgHttp2Session(std::shared_ptr<ServerCore> core, SessionHost& host);
  ~NgHttp2Session() override;

  void receive(std::string_view bytes) override;
  bool wants_read() const override { return !dying_; }
  bool end_of_input() override { return false; }
  size_t produce(char* into, size_t room) override;
  bool finished() const override;
  void drain() override;
  void disconnected() override;

  IoThread& thread() override { return host_.thread(); }
  const std::string& peer() const override { return host_.peer(); }
  void respond(Http2Stream& stream, std::span<const HeaderField> fields) override;
  void respond_without_body(Http2Stream& stream, std::span<const HeaderField> fields) override;
  void submit_trailers(Http2Stream& stream, std::span<const HeaderField> fields) override;
  void resume(Http2Stream& stream) override;
  void reset(Http2Stream& stream) override;
  void consumed(Http2Stream& stream, size_t bytes) override;
  void hold_answer(Http2Stream& stream, ptrdiff_t bytes) override;
  bool hold_request(Http2Stream& stream, ptrdiff_t bytes) override;

 private:
  struct SessionTimer final : Timer {
    SessionTimer(NgHttp2Session& s, void (NgHttp2Session::*f)()) : session(s), on_due(f) {}
    void on_timer() override { (session.*on_due)(); }
    NgHttp2Session& session;
    void (NgHttp2Session::*const on_due)();
  };
  struct Callbacks;  // nghttp2's, which are plain functions

  int on_begin_frame(const nghttp2_frame_hd& head);
  int on_begin_headers(const nghttp2_frame& frame);
  int on_header(const nghttp2_frame& frame, std::string_view name, std::string_view value);
  int on_data_chunk(int32_t id, uint8_t flags, std::string_view bytes);
  int on_frame(const nghttp2_frame& frame);
  int on_invalid_frame(const nghttp2_frame& frame);
  int on_frame_sent(const nghttp2_frame& frame);
  int on_stream_closed(int32_t id);
  ssize_t on_read(int32_t id, Http2Stream& stream, char* into, size_t room, uint32_t* flags);

  void open_stream(int32_t id, bool ended);
  void refuse(int32_t id, std::span<const HeaderField> fields);
  void refuse_grpc(int32_t id, const Status& status, int http_status = 200);
  void attach(Http2Stream& stream, int32_t id);
  ptrdiff_t max_held() const { return static_cast<ptrdiff_t>(core_->options.max_queued_bytes); }
  void end_stream(Http2Stream& stream);
  Http2Stream* find(int32_t id) {
    return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session_, id));
  }
  void on_request_end(int32_t id);
  // Refuses what the stream has sent with a stream error.
  void malformed(int32_t id);
  bool forgiven(int32_t id) const;
  void forgive(int32_t id);
  void count_reset();
  void on_ping();
  // GOAWAY with `why`, and the end of the session.
  void die(uint32_t error, std::string_view why);

  void check_liveness();  // keep-alive pings and the idle timeout
  void on_slow_headers();
  void finish_drain();

  const std::shared_ptr<ServerCore> core_;
  SessionHost& host_;
  nghttp2_session* session_ = nullptr;

  Http2Stream* streams_ = nullptr;  // all that are open
  size_t open_streams_ = 0;
  ptrdiff_t held_answers_ = 0;
  ptrdiff_t held_requests_ = 0;

  RequestHead head_;  // of the block that is arriving; blocks never interleave
  HeadRules rules_;   // of the same
  size_t head_bytes_ = 0;
  bool head_is_request_ = false;

  int32_t last_opened_ = 0;
  std::deque<int32_t> forgiven_;  // streams that we closed while the client may still have been sending
  int32_t forgiven_up_to_ = 0;    // as are all up to here

  size_t unreturned_bytes_ = 0;     // of the connection's window, since the last receive() began
  const uint8_t* frame_ = nullptr;  // what nghttp2 gave and is not yet copied out
  size_t frame_bytes_ = 0;

  RateLimit resets_;
  RateLimit control_frames_;
  int64_t last_ping_ms_;
  int ping_strikes_ = 0;
  bool sent_since_ping_ = true;

  int64_t last_receive_ms_;
  int64_t last_stream_ms_;
  int64_t ping_sent_ms_ = 0;  // 0: none is out
  SessionTimer liveness_timer_{*this, &NgHttp2Session::check_liveness};
  SessionTimer header_timer_{*this, &NgHttp2Session::on_slow_headers};
  SessionTimer drain_timer_{*this, &NgHttp2Session::finish_drain};
  bool draining_ = false;
  bool drained_ = false;  // the second GOAWAY is submitted
  bool dying_ = false;    // nothing more is received; what is queued is sent
};

struct NgHttp2Session::Callbacks {
  static NgHttp2Session& of(void* user) { return *static_cast<NgHttp2Session*>(user); }

  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user) {
    return of(user).on_begin_frame(*head);
  }
  static int invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    return of(user).on_invalid_frame(*frame);
  }
  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    return of(user).on_begin_headers(*frame);
  }
  static int header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                    const uint8_t* value, size_t value_size, uint8_t, void* user) {
    return of(user).on_header(*frame, view(name, name_size), view(value, value_size));
  }
  static int data_chunk(nghttp2_session*, uint8_t flags, int32_t id, const uint8_t* data, size_t size, void* user) {
    return of(user).on_data_chunk(id, flags, view(data, size));
  }
  static int frame_recv(nghttp2_session*, const nghttp2_frame* frame, void* user) { return of(user).on_frame(*frame); }
  static int frame_send(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    return of(user).on_frame_sent(*frame);
  }
  static int stream_close(nghttp2_session*, int32_t id, uint32_t, void* user) { return of(user).on_stream_closed(id); }
  static ssize_t read(nghttp2_session*, int32_t id, uint8_t* into, size_t room, uint32_t* flags,
                      nghttp2_data_source* source, void* user) {
    return of(user).on_read(id, *static_cast<Http2Stream*>(source->ptr), reinterpret_cast<char*>(into), room, flags);
  }

  static const nghttp2_session_callbacks* get() {
    static const nghttp2_session_callbacks* const made = [] {
      nghttp2_session_callbacks* callbacks = nullptr;
      KV_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0, "no memory");
      nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, begin_frame);
      nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, invalid_frame);
      nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
      nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data_chunk);
      nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_recv);
      nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, frame_send);
      nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_close);
      return callbacks;
    }();
    return made;
  }
};

NgHttp2Session::NgHttp2Session(std::shared_ptr<ServerCore> core, SessionHost& host)
    : core_(std::move(core)),
      host_(host),
      resets_(core_->options.max_resets_per_second),
      control_frames_(core_->options.max_control_frames_per_second),
      last_ping_ms_(host.thread().now_ms() - kLonelyPingMs),
      last_receive_ms_(host.thread().now_ms()),
      last_stream_ms_(last_receive_ms_) {
  nghttp2_option* option = nullptr;
  KV_CHECK(nghttp2_option_new(&option) == 0, "no memory");
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_http_messaging(option, 1);  // see HeadRules
  nghttp2_option_set_no_closed_streams(option, 1);  // see on_begin_frame()
  // Our own limit, which spares streams that were answered, is the one that counts.
  nghttp2_option_set_stream_reset_rate_limit(option, kUnlimited, kUnlimited);
  nghttp2_mem memory{.mem_user_data = nullptr,
                     .malloc = [](size_t size, void*) { return pool_allocate(size); },
                     .free = [](void* block, void*) { pool_free(block); },
                     .calloc = [](size_t n, size_t size, void*) { return allocate_zeroed(n, size); },
                     .realloc = [](void* block, size_t size, void*) { return pool_reallocate(block, size); }};
  const int made = nghttp2_session_server_new3(&session_, Callbacks::get(), this, option, &memory);
  nghttp2_option_del(option);
  KV_CHECK(made == 0, nghttp2_strerror(made));

  const ServerOptions& options = core_->options;
  const std::array settings{
      nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.max_concurrent_streams},
      nghttp2_settings_entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindowBytes},
      nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(options.max_header_bytes)},
      nghttp2_settings_entry{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindowBytes);
  host_.want_write();
  check_liveness();
}

NgHttp2Session::~NgHttp2Session() { nghttp2_session_del(session_); }

void NgHttp2Session::disconnected() {
  liveness_timer_.cancel();
  header_timer_.cancel();
  drain_timer_.cancel();
  dying_ = true;
  while (streams_ != nullptr) end_stream(*streams_);
}

// ---- Receiving

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

// ---- Streams

void NgHttp2Session::attach(Http2Stream& stream, int32_t id) {
  stream.session_ = this;
  stream.id_ = id;
  stream.next_ = streams_;
  stream.link_ = &streams_;
  if (streams_ != nullptr) streams_->link_ = &stream.next_;
  streams_ = &stream;
  ++open_streams_;
  nghttp2_session_set_stream_user_data(session_, id, &stream);
}

void NgHttp2Session::end_stream(Http2Stream& stream) {
  nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);
  *stream.link_ = stream.next_;
  if (stream.next_ != nullptr) stream.next_->link_ = stream.link_;
  --open_streams_;
  held_answers_ -= stream.held_answer_;
  held_requests_ -= stream.held_request_;
  stream.session_ = nullptr;
  stream.on_closed();  // and destroys itself, as a rule
}

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
    stream = open_http_exchange(core_, *this, head_);
  }
  attach(*stream, id);
  stream->ending_ = ended;
  stream->promised_ = rules_.content_length();
  stream->on_start();
  // The stream may be gone already only if its connection is, which does not happen inside a callback.
  if (ended) stream->on_end();
}

void NgHttp2Session::refuse(int32_t id, std::span<const HeaderField> fields) {
  const FieldArray array(fields);
  nghttp2_submit_response(session_, id, array.data(), array.size(), nullptr);
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

// ---- Sending

void NgHttp2Session::respond(Http2Stream& stream, std::span<const HeaderField> fields) {
  const FieldArray array(fields);
  nghttp2_data_provider provider{};
  provider.source.ptr = &stream;
  provider.read_callback = Callbacks::read;
  stream.answered_ = true;
  nghttp2_submit_response(session_, stream.id_, array.data(), array.size(), &provider);
  host_.want_write();
}

void NgHttp2Session::respond_without_body(Http2Stream& stream, std::span<const HeaderField> fields) {
  stream.answered_ = true;
  refuse(stream.id_, fields);
  host_.want_write();
}

void NgHttp2Session::submit_trailers(Http2Stream& stream, std::span<const HeaderField> fields) {
  const FieldArray array(fields);
  nghttp2_submit_trailer(session_, stream.id_, array.data(), array.size());
}

void NgHttp2Session::resume(Http2Stream& stream) {
  if (!std::exchange(stream.deferred_, false)) return;
  nghttp2_session_resume_data(session_, stream.id_);
  host_.want_write();
}

void NgHttp2Session::reset(Http2Stream& stream) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, NGHTTP2_CANCEL);
  host_.want_write();
}

void NgHttp2Session::consumed(Http2Stream& stream, size_t bytes) {
  if (stream.ending_) return;  // nothing more will come
  nghttp2_session_consume_stream(session_, stream.id_, bytes);
  host_.want_write();
}

void NgHttp2Session::hold_answer(Http2Stream& stream, ptrdiff_t bytes) {
  stream.held_answer_ += bytes;
  held_answers_ += bytes;
  if (bytes <= 0 || held_answers_ <= max_held() || dying_) return;
  log_warning("a client does not read its answers, closing its connection",
              {{"peer", peer()}, {"queued_bytes", held_answers_}});
  dying_ = true;
  host_.give_up();
}

bool NgHttp2Session::hold_request(Http2Stream& stream, ptrdiff_t bytes) {
  stream.held_request_ += bytes;
  held_requests_ += bytes;
  return bytes <= 0 || held_requests_ <= max_held();
}

ssize_t NgHttp2Session::on_read(int32_t, Http2Stream& stream, char* into, size_t room, uint32_t* flags) {
  const auto [made, next] = stream.produce(into, room);
  switch (next) {
    case Http2Stream::Next::kMore: break;
    case Http2Stream::Next::kWait:
      if (made == 0) {
        stream.deferred_ = true;
        return NGHTTP2_ERR_DEFERRED;
      }
      break;
    case Http2Stream::Next::kEnd: *flags |= NGHTTP2_DATA_FLAG_EOF; break;
    case Http2Stream::Next::kTrail: *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM; break;
  }
  return static_cast<ssize_t>(made);
}

int NgHttp2Session::on_frame_sent(const nghttp2_frame& frame) {
  if (frame.hd.type != NGHTTP2_HEADERS && frame.hd.type != NGHTTP2_DATA) return 0;
  sent_since_ping_ = true;
  if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
  // All is said, and the client is still sending: it need not (RFC 9113, 8.1).
  if (nghttp2_session_get_stream_remote_close(session_, frame.hd.stream_id) == 0) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_NO_ERROR);
  }
  return 0;
}

size_t NgHttp2Session::produce(char* into, size_t room) {
  size_t made = 0;
  while (made < room) {
    if (frame_bytes_ == 0) {
      const ssize_t size = nghttp2_session_mem_send(session_, &frame_);
      if (size <= 0) {
        if (size < 0) dying_ = true;
        break;
      }
      frame_bytes_ = static_cast<size_t>(size);
    }
    const size_t n = std::min(frame_bytes_, room - made);
    std::memcpy(into + made, frame_, n);
    frame_ += n;
    frame_bytes_ -= n;
    made += n;
  }
  return made;
}

// ---- The end

bool NgHttp2Session::finished() const {
  if (frame_bytes_ > 0) return false;
  if (dying_) return true;
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

void NgHttp2Session::die(uint32_t error, std::string_view why) {
  if (dying_) return;
  dying_ = true;
  if (!why.empty()) log_warning("closing a client's connection", {{"peer", peer()}, {"why", why}});
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_), error,
                        bytes_of(why), why.size());
  host_.want_write();
}

void NgHttp2Session::drain() {
  if (draining_ || dying_) return;
  draining_ = true;
  // First a GOAWAY that forbids nothing, so that requests which are on their way are still served; the second,
  // after a round trip, names the last one.
  nghttp2_submit_shutdown_notice(session_);
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  thread().timers().set(drain_timer_, thread().now_ms() + kDrainNoticeMs);
  host_.want_write();
}

void NgHttp2Session::finish_drain() {
  if (std::exchange(drained_, true)) return;
  drain_timer_.cancel();
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
  host_.want_write();
}

void NgHttp2Session::check_liveness() {
  const ServerOptions& options = core_->options;
  const int64_t now_ms = thread().now_ms();
  int64_t next_ms = TimerWheel::kNever;

  if (options.idle_timeout_ms > 0) {
    const int64_t due_ms = last_stream_ms_ + options.idle_timeout_ms;
    if (open_streams_ == 0 && now_ms >= due_ms) drain();
    next_ms = std::min(next_ms, std::max(due_ms, now_ms + options.idle_timeout_ms / 2));
  }
  if (options.keepalive_interval_ms > 0) {
    if (ping_sent_ms_ > last_receive_ms_) {
      log_info("a client does not answer pings, closing its connection", {{"peer", peer()}});
      dying_ = true;
      return host_.give_up();
    }
    if (now_ms - last_receive_ms_ >= options.keepalive_interval_ms) {
      ping_sent_ms_ = now_ms;
      nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
      host_.want_write();
      next_ms = std::min(next_ms, now_ms + options.keepalive_timeout_ms);
    } else {
      next_ms = std::min(next_ms, last_receive_ms_ + options.keepalive_interval_ms);
    }
  }
  if (next_ms != TimerWheel::kNever) thread().timers().set(liveness_timer_, next_ms);
}

std::unique_ptr<Session> make_http2_session(std::shared_ptr<ServerCore> core, SessionHost& host) {
  return std::make_unique<NgHttp2Session>(std::move(core), host);
}

}  // namespace kv::api
