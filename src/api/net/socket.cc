#include "api/net/socket.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

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

class TcpSocket final : public Socket {
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

 private:
  static Transfer failed() {
    const bool block = errno == EAGAIN || errno == EWOULDBLOCK;
    return {.state = block ? Transfer::State::kWouldBlock : Transfer::State::kFailed};
  }

  asio::ip::tcp::socket socket_;
  std::string peer_;
};

}  // namespace

std::unique_ptr<Socket> make_tcp_socket(asio::ip::tcp::socket socket) {
  return std::make_unique<TcpSocket>(std::move(socket));
}

}  // namespace kv::api
