// The session's class, which only the two files that implement it include: http2_session.cc (its life, and what it
// sends) and http2_receive.cc (what clients send).
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "api/net/head_rules.h"
#include "api/net/http2_session.h"
#include "api/net/io_thread.h"
#include "api/net/rate_limit.h"
#include "api/net/timer_wheel.h"

namespace kv::api {

inline std::string_view view(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }
inline uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));  // nghttp2 asks for non-const, and only reads
}

class NgHttp2Session final : public Http2Session {
 public:
  static constexpr int64_t kLonelyPingMs = 7200'000;  // pings with no stream open may come this often (grpc-go's rule)

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
  bool secure() const override { return host_.secure(); }
  const std::optional<std::string>& certificate_user() const override { return host_.certificate_user(); }
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

}  // namespace kv::api
