// A connected byte stream as connections use it: reads and writes that never block, and two waits. Plain TCP, or TLS
// on it: two classes behind one interface, so that what is plain pays nothing for what is not.
#pragma once

#include <absl/functional/any_invocable.h>

#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace kv::tls {
class Context;
}

namespace kv::api {

// What one read or write did. `bytes` > 0: that many. Otherwise `state` says why not.
struct Transfer {
  enum class State : uint8_t { kOk, kWouldBlock, kClosed, kFailed };
  size_t bytes = 0;
  State state = State::kOk;
  bool more = false;  // a read: there may be more at once; read again before waiting
};

class Socket {
 public:
  virtual ~Socket() = default;

  virtual Transfer read(char* into, size_t room) = 0;
  virtual Transfer write(const char* data, size_t size) = 0;

  // Call `ready` once, on the socket's I/O thread, when a read (a write) can make progress or would fail. At most
  // one wait of each kind at a time. One call may still come after close().
  using Ready = absl::AnyInvocable<void()>;
  virtual void wait_readable(Ready ready) = 0;
  virtual void wait_writable(Ready ready) = 0;

  // Nothing more is written: the peer reads to an end. What the peer sends can still be read.
  virtual void shutdown_write() = 0;
  virtual void close() = 0;

  // "192.0.2.1:51234", "[2001:db8::1]:51234"
  virtual const std::string& peer() const = 0;

  // TLS. A socket's first read makes the handshake; until that is done, reads say that there is nothing yet.
  virtual bool secure() const { return false; }
  // What ALPN chose; empty: nothing was negotiated.
  virtual std::string_view protocol() const { return {}; }
  // Whom the client's verified certificate names, which may be ""; nothing without one.
  virtual std::optional<std::string> certificate_user() const { return {}; }
};

std::unique_ptr<Socket> make_tcp_socket(boost::asio::ip::tcp::socket socket);
// A client that speaks plain HTTP/1.x is told so, with 400; whoever else speaks no TLS is closed. Both are logged.
std::unique_ptr<Socket> make_tls_socket(boost::asio::ip::tcp::socket socket, tls::Context& context);

}  // namespace kv::api
