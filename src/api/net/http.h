// Plain HTTP as its handlers see it, whichever version of the protocol a request came by: a request and its answer,
// each whole or in pieces.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kv::api {

using HttpFields = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  std::string path;    // without the query, still percent-encoded
  std::string query;   // without the '?'
  HttpFields headers;  // names in lower case
  std::string body;    // complete for an HttpHandler; empty for an HttpStreamHandler, which gets it in pieces
  std::string peer;
  bool secure = false;  // it came by TLS

  // The first value of a header, named in lower case; empty when there is none.
  std::string_view header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  HttpFields headers;
  std::string body;
};

// One request and its answer, both in pieces. Bound to one request; both sides keep it alive while they use it. The
// handler answers from any thread; the door calls the callbacks on its I/O thread, one at a time, and forgets them
// when the exchange is over.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual const HttpRequest& request() const = 0;

  // ---- the way in: set by the handler before it returns from starting ----
  std::function<void(std::string_view piece)> on_body;  // valid during the call
  std::function<void()> on_body_end;
  // Nothing more comes, and what is written is not sent: the client is gone, was too slow, or the server stops. Not
  // called once the handler has ended the answer.
  std::function<void()> on_cancel;
  // The exchange is over, however it ended: the last call.
  std::function<void()> on_closed;

  // Back-pressure on the client: no further on_body until resume_reading(). Any thread.
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
  // Counts what the handler keeps of the body (negative: no longer keeps) against the connection's
  // max_queued_bytes. False: that is too much, refuse. On the I/O thread.
  [[nodiscard]] virtual bool hold_body(ptrdiff_t bytes) = 0;

  // ---- the way out: any thread. Either respond(), or start(), write()... and finish() or break_off() ----
  // The whole answer, with its length in the head. Ignored once there is one.
  virtual void respond(HttpResponse response) = 0;
  // The head of an answer whose length is not known; `head.body` is its first piece. False when the exchange is over.
  virtual bool start(HttpResponse head) = 0;
  // Never blocks; a handler that produces faster than the client reads must watch queued_bytes() and go on at
  // on_drained(), or its connection is closed at max_queued_bytes. False when the exchange is over.
  virtual bool write(std::string piece) = 0;
  virtual void finish() = 0;
  // Ends the answer so that the client sees that it is not complete.
  virtual void break_off() = 0;
  virtual size_t queued_bytes() const = 0;
  // `ready` is called once, when less than `below_bytes` are queued (at once if so already) or the exchange is over.
  virtual void on_drained(size_t below_bytes, absl::AnyInvocable<void()> ready) = 0;

  // Runs `work` soon on the I/O thread that owns this exchange. Any thread.
  virtual void post(absl::AnyInvocable<void()> work) = 0;
  // Calls `due` once in `ms`, unless the exchange is over by then or this is called again. On the I/O thread.
  virtual void call_after(int64_t ms, absl::AnyInvocable<void()> due) = 0;
};

// Both are called on an I/O thread and must not block.
// With the complete request, whose body is bounded by max_request_bytes (413) and body_timeout_ms (408). `reply` is
// called exactly once, from any thread.
using HttpHandler = std::function<void(std::shared_ptr<HttpRequest>, absl::AnyInvocable<void(HttpResponse)> reply)>;
// When the head has come. The body has no limit but what the handler sets; body_timeout_ms ends a request whose body
// is not complete and which has no answer yet.
using HttpStreamHandler = std::function<void(std::shared_ptr<HttpExchange>)>;

struct Route {
  std::string method;  // "GET"; "" means all
  std::string path;    // exact, or a prefix when it ends in '*'
  HttpHandler handler = {};
  HttpStreamHandler stream = {};  // instead of `handler`
};

}  // namespace kv::api
