// HTTP/2 by nghttp2: one session per connection, one Http2Stream per request. This header is what the users of
// streams (gRPC calls, plain requests) see of it; nghttp2's types stay in http2_session.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/net/core.h"
#include "api/net/session.h"

namespace kv::api {

// A request's head, taken apart. What a gRPC call needs has a place of its own; `headers` holds the rest as it came.
struct RequestHead {
  std::string method;
  std::string path;  // with the query
  std::string authority;
  std::string content_type;
  std::string timeout;          // grpc-timeout
  std::string encoding;         // grpc-encoding
  std::string accept_encoding;  // grpc-accept-encoding
  std::string user_agent;
  std::vector<std::pair<std::string, std::string>> headers;

  void clear();
};

struct HeaderField {
  std::string_view name;
  std::string_view value;
  bool immortal = false;  // both point to memory that is never freed: they need no copy
};

class Http2Session;

// One stream, from its request's head on. All on the I/O thread.
class Http2Stream {
 public:
  Http2Stream() = default;
  Http2Stream(const Http2Stream&) = delete;
  Http2Stream& operator=(const Http2Stream&) = delete;
  virtual ~Http2Stream() = default;

  // The stream is open: the other functions may be called from now on, and session() is set.
  virtual void on_start() = 0;
  // A piece of the body; valid during the call. The stream must give its bytes back to the window by
  // Http2Session::consumed(), at once or when it is ready for more.
  virtual void on_data(std::string_view bytes) = 0;
  // The client has sent all.
  virtual void on_end() = 0;
  // The stream is no more: answered in full, reset by either side, or its connection is gone. The last call; the
  // session is not to be used afterwards.
  virtual void on_closed() = 0;

  // Fills `into` with what comes next of the response's body.
  enum class Next : uint8_t {
    kMore,   // and there is more, or may be
    kWait,   // nothing for now: Http2Session::resume() when there is
    kEnd,    // that was all, and the stream ends with it
    kTrail,  // that was all, and submit_trailers() was called
  };
  virtual std::pair<size_t, Next> produce(char* into, size_t room) = 0;

 protected:
  Http2Session* session() const { return session_; }  // null once closed

 private:
  friend class NgHttp2Session;
  Http2Session* session_ = nullptr;
  Http2Stream* next_ = nullptr;  // the session's list of open streams
  Http2Stream** link_ = nullptr;
  int32_t id_ = 0;
  ptrdiff_t held_answer_ = 0;
  ptrdiff_t held_request_ = 0;
  int64_t promised_ = -1;  // bytes of the body, by content-length; -1: not said
  int64_t received_ = 0;
  bool ending_ = false;    // the frame that ends the client's half has begun to arrive
  bool answered_ = false;  // a response was submitted
  bool deferred_ = false;  // produce() said kWait
};

// The stream's half of a session. On the I/O thread, for a stream that is open.
class Http2Session : public Session {
 public:
  virtual IoThread& thread() = 0;
  virtual const std::string& peer() const = 0;
  virtual bool secure() const = 0;
  virtual const std::optional<std::string>& certificate_user() const = 0;
  // Response headers, followed by what produce() gives.
  virtual void respond(Http2Stream& stream, std::span<const HeaderField> fields) = 0;
  // Response headers and nothing else.
  virtual void respond_without_body(Http2Stream& stream, std::span<const HeaderField> fields) = 0;
  // Called within produce(), which then returns kTrail.
  virtual void submit_trailers(Http2Stream& stream, std::span<const HeaderField> fields) = 0;
  virtual void resume(Http2Stream& stream) = 0;
  // Ends the stream with RST_STREAM(CANCEL).
  virtual void reset(Http2Stream& stream) = 0;
  // `bytes` of on_data() need no more memory here: the client may send as many on this stream. (The connection's
  // window is the session's own matter.)
  virtual void consumed(Http2Stream& stream, size_t bytes) = 0;
  // Memory of this stream that waits for the client: answers to be read, requests to be completed. Each sum has
  // max_queued_bytes as its limit. What the stream still holds when it closes is given back by itself.
  // hold_answer() ends a connection that holds too much; hold_request() says false then, and the stream refuses.
  virtual void hold_answer(Http2Stream& stream, ptrdiff_t bytes) = 0;
  [[nodiscard]] virtual bool hold_request(Http2Stream& stream, ptrdiff_t bytes) = 0;
};

std::unique_ptr<Session> make_http2_session(std::shared_ptr<ServerCore> core, SessionHost& host);

}  // namespace kv::api
