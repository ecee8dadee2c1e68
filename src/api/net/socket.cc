#include "api/net/socket.h"

#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

#include "tls/context.h"
#include "tls/refusals.h"
#include "tls/stream.h"

namespace kv::api {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

std::string name_of(const asio::ip::tcp::endpoint& peer) {
  const std::string port = std::to_string(peer.port());
  if (peer.address().is_v4()) return peer.address().to_string() + ":" + port;
  const auto v6 = peer.address().to_v6();
  if (v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_string() + ":" + port;
  return "[" + v6.to_string() + "]:" + port;
}

class TcpSocket : public Socket {
 public:
  explicit TcpSocket(asio::ip::tcp::socket socket) : socket_(std::move(socket)) {
    // A client that has gone already makes these fail; the first read will say so.
    error_code ignored;
    socket_.non_blocking(true, ignored);
    socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    // Finds clients whose machine has gone without a word, on connections that never speak.
    socket_.set_option(asio::socket_base::keep_alive(true), ignored);
    peer_ = name_of(socket_.remote_endpoint(ignored));
  }

  Transfer read(char* into, size_t room) override {
    while (true) {
      const ssize_t n = ::recv(socket_.native_handle(), into, room, 0);
      if (n > 0) return {.bytes = static_cast<size_t>(n), .more = static_cast<size_t>(n) == room};
      if (n == 0) return {.state = Transfer::State::kClosed};
      if (errno != EINTR) return failed();
    }
  }

  Transfer write(const char* data, size_t size) override {
    while (true) {
      const ssize_t n = ::send(socket_.native_handle(), data, size, MSG_NOSIGNAL);
      if (n >= 0) return {.bytes = static_cast<size_t>(n)};
      if (errno != EINTR) return failed();
    }
  }

  void wait_readable(Ready ready) override {
    socket_.async_wait(asio::socket_base::wait_read, [ready = std::move(ready)](const error_code& error) mutable {
      if (error != asio::error::operation_aborted) ready();
    });
  }

  void wait_writable(Ready ready) override {
    socket_.async_wait(asio::socket_base::wait_write, [ready = std::move(ready)](const error_code& error) mutable {
      if (error != asio::error::operation_aborted) ready();
    });
  }

  void shutdown_write() override {
    error_code ignored;
    socket_.shutdown(asio::socket_base::shutdown_send, ignored);
  }

  void close() override {
    error_code ignored;
    socket_.close(ignored);
  }

  const std::string& peer() const override { return peer_; }

 protected:
  asio::ip::tcp::socket& asio_socket() { return socket_; }

 private:
  static Transfer failed() {
    const bool block = errno == EAGAIN || errno == EWOULDBLOCK;
    return {.state = block ? Transfer::State::kWouldBlock : Transfer::State::kFailed};
  }

  asio::ip::tcp::socket socket_;
  std::string peer_;
};

class TlsSocket final : public TcpSocket {
 public:
  TlsSocket(asio::ip::tcp::socket socket, tls::Context& context)
      : TcpSocket(std::move(socket)), stream_(context.accept(asio_socket().native_handle())) {}

  Transfer read(char* into, size_t room) override {
    if (told_off_) return read_to_the_end(into, room);
    read_waits_for_room_ = false;
    const tls::Outcome outcome = stream_->read(into, room);
    switch (outcome.state) {
      case tls::Outcome::State::kOk: return {.bytes = outcome.bytes, .more = stream_->has_pending()};
      case tls::Outcome::State::kWantWrite: read_waits_for_room_ = true; [[fallthrough]];
      case tls::Outcome::State::kWantRead: return {.state = Transfer::State::kWouldBlock};
      case tls::Outcome::State::kClosed: return {.state = Transfer::State::kClosed};
      case tls::Outcome::State::kFailed: break;
    }
    if (stream_->ready()) return {.state = Transfer::State::kFailed};
    const bool http = stream_->was_plain_http();
    tls::log_refused("client", peer(), http ? "it speaks plain HTTP" : stream_->failure());
    if (http) {
      // Go's words, which etcd's users know.
      constexpr std::string_view kNoTls =
          "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
      (void)TcpSocket::write(kNoTls.data(), kNoTls.size());
    }
    // The client is heard out, or a reset would overtake these words, or the alert that says why it was refused.
    TcpSocket::shutdown_write();
    told_off_ = true;
    return read_to_the_end(into, room);
  }

  Transfer write(const char* data, size_t size) override {
    if (told_off_) return {.state = Transfer::State::kFailed};
    write_waits_for_bytes_ = false;
    const tls::Outcome outcome = stream_->write(data, size);
    switch (outcome.state) {
      case tls::Outcome::State::kOk: return {.bytes = outcome.bytes};
      case tls::Outcome::State::kWantRead: write_waits_for_bytes_ = true; [[fallthrough]];
      case tls::Outcome::State::kWantWrite: return {.state = Transfer::State::kWouldBlock};
      case tls::Outcome::State::kClosed:
      case tls::Outcome::State::kFailed: break;
    }
    return {.state = Transfer::State::kFailed};
  }

  void wait_readable(Ready ready) override {
    // What the stream has taken from the socket already, no wait for the socket would tell of.
    if (!told_off_ && stream_->has_pending()) return asio::post(asio_socket().get_executor(), std::move(ready));
    if (read_waits_for_room_) return TcpSocket::wait_writable(std::move(ready));
    TcpSocket::wait_readable(std::move(ready));
  }

  void wait_writable(Ready ready) override {
    if (write_waits_for_bytes_) return TcpSocket::wait_readable(std::move(ready));
    TcpSocket::wait_writable(std::move(ready));
  }

  void shutdown_write() override {
    stream_->end_write();
    TcpSocket::shutdown_write();
  }

  bool secure() const override { return true; }
  std::string_view protocol() const override { return stream_->protocol(); }
  std::optional<std::string> certificate_user() const override { return stream_->user(); }

 private:
  // Until the client ends or the connection's time is over; nothing of it is given to anybody.
  Transfer read_to_the_end(char* into, size_t room) {
    const Transfer got = TcpSocket::read(into, room);
    if (got.bytes > 0) return {.state = Transfer::State::kWouldBlock};
    return got;
  }

  const std::unique_ptr<tls::Stream> stream_;
  bool told_off_ = false;
  bool read_waits_for_room_ = false;
  bool write_waits_for_bytes_ = false;
};

}  // namespace

std::unique_ptr<Socket> make_tls_socket(asio::ip::tcp::socket socket, tls::Context& context) {
  return std::make_unique<TlsSocket>(std::move(socket), context);
}

std::unique_ptr<Socket> make_tcp_socket(asio::ip::tcp::socket socket) {
  return std::make_unique<TcpSocket>(std::move(socket));
}

}  // namespace kv::api
