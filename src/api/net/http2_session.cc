#include "api/net/http2_session.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "api/net/block_pool.h"
#include "api/net/nghttp2_session.h"
#include "base/check.h"
#include "base/log.h"

namespace kv::api {
namespace {

constexpr uint32_t kStreamWindowBytes = 1 << 20;
constexpr uint64_t kUnlimited = 1 << 30;
constexpr int32_t kConnectionWindowBytes = 16 << 20;
constexpr size_t kMaxFields = 64;         // of a response's head or trailers
constexpr int64_t kDrainNoticeMs = 1000;  // the first GOAWAY is followed by the second after a round trip, or this

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

// ---- Sending

void NgHttp2Session::refuse(int32_t id, std::span<const HeaderField> fields) {
  const FieldArray array(fields);
  nghttp2_submit_response(session_, id, array.data(), array.size(), nullptr);
}

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
