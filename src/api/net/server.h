// The listener: one client port that speaks HTTP/1.1 (Boost.Beast) and HTTP/2 (nghttp2), told apart by the first
// bytes (the HTTP/2 preface or not); gRPC is a codec on HTTP/2 over the call table, plain HTTP requests go to
// the routes (http.h). One place for limits, deadlines, draining and metrics. No Boost, Beast or nghttp2 type is in
// this header.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/call_table.h"
#include "api/net/http.h"
#include "base/status.h"

namespace kv::tls {
class Context;
}

namespace kv::api {

struct ServerOptions {
  // "http://127.0.0.1:2379", "https://..." with TLS; port 0: any (see bound_ports).
  std::vector<std::string> listen_urls;
  std::shared_ptr<tls::Context> tls;  // for https; its protocols should be kTlsProtocols
  int io_threads = 1;

  size_t max_request_bytes = 2 << 20;  // one message or body; larger: RESOURCE_EXHAUSTED / 413
  size_t max_response_bytes = 2147483647;
  uint32_t max_concurrent_streams = 4096;  // per connection; clients are told
  size_t max_connections = 16384;
  size_t max_header_bytes = 64 << 10;
  size_t max_queued_bytes = 64 << 20;           // responses that wait for a slow client, per connection; beyond it
                                                // the connection is closed
  int64_t header_timeout_ms = 10000;            // from accept, or from a request's first byte, to its headers' end;
                                                // the TLS handshake is part of it
  size_t max_handshakes = 1024;                 // TLS connections that have not said a byte inside yet, per I/O
                                                // thread; the oldest is closed for one more
  int64_t body_timeout_ms = 60000;              // plain HTTP: from there to the body's end, or to the answer
  int64_t stall_timeout_ms = 60000;             // a client that takes no byte of what waits for it is closed
  int64_t idle_timeout_ms = 0;                  // 0: never
  int64_t keepalive_min_time_ms = 5000;         // pings more often: GOAWAY too_many_pings
  int64_t keepalive_interval_ms = 7200 * 1000;  // our ping to an idle connection
  int64_t keepalive_timeout_ms = 20000;
  // Plain HTTP (access.h): origins whose web pages may read answers, names that the Host header may have; "*": any.
  std::vector<std::string> cors = {"*"};
  std::vector<std::string> host_whitelist = {"*"};

  // Abuse: per connection; beyond it GOAWAY ENHANCE_YOUR_CALM.
  uint32_t max_resets_per_second = 1000;          // streams reset by the client before they were answered
  uint32_t max_control_frames_per_second = 2000;  // settings and pings, ours to answer
};

// What the client port speaks inside TLS, as ALPN names it.
inline const std::vector<std::string> kTlsProtocols = {"h2", "http/1.1"};

class Server {
 public:
  // Binds and listens at once, serves after start(). The table and what its handlers use must outlive the server.
  // InvalidArgument for a URL that is none; Unavailable when an address can't be bound, with the address in the text.
  static Result<std::unique_ptr<Server>> listen(const ServerOptions& options, const CallTable& table,
                                                std::vector<Route> routes);
  // Stops at once: closes all connections, joins the I/O threads.
  virtual ~Server() = default;

  virtual void start() = 0;
  // Stops accepting, sends GOAWAY, lets calls in flight end for at most `grace_ms`, then closes. Blocks. Streams
  // still open at the end are reset; calls get cancelled().
  virtual void drain(int64_t grace_ms) = 0;
  virtual std::vector<uint16_t> bound_ports() const = 0;
  virtual size_t connections() const = 0;
};

// Adds grpc.health.v1.Health and server reflection (v1alpha and v1) for all rows of the table.
// `serving` answers for the service "" and for each known one; any thread.
void add_health(CallTable& table, std::function<bool()> serving);
void add_reflection(CallTable& table);

}  // namespace kv::api
