// The socket of a peer stream: plain TCP, or TLS on it. What is plain goes straight to Asio, and costs no more than
// without this class. Internal to the transport; lives on the transport's thread.
#pragma once

#include <absl/functional/any_invocable.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tls/context.h"

namespace kv::raft {

class PeerSocket {
 public:
  using Tcp = boost::asio::ip::tcp;
  using Error = boost::system::error_code;
  // What Asio's handlers of reads and writes look like. It must keep this socket's owner alive, as those do.
  using Done = absl::AnyInvocable<void(const Error&, size_t)>;

  explicit PeerSocket(boost::asio::io_context& io) : socket_(io) {}
  explicit PeerSocket(Tcp::socket socket) : socket_(std::move(socket)) {}

  Tcp::socket& tcp() { return socket_; }
  // From now on by TLS; the first read or write makes the handshake. On a connected socket.
  void accept_tls(tls::Context& context);
  void dial_tls(tls::Context& context, const std::string& host);
  // See tls::Stream::is_good_for; true for a plain socket.
  bool is_good_for(const std::vector<std::string>& hosts) const { return !stream_ || stream_->is_good_for(hosts); }

  // One of each kind at a time; buffers live until the handler runs, which is never before the call returns.
  template <typename Handler>
  void read_some(boost::asio::mutable_buffer into, Handler&& handler) {
    if (!stream_) return socket_.async_read_some(into, std::forward<Handler>(handler));
    read_tls(into, std::forward<Handler>(handler));
  }
  template <typename Buffers, typename Handler>
  void write_some(const Buffers& buffers, Handler&& handler) {
    if (!stream_) return socket_.async_write_some(buffers, std::forward<Handler>(handler));
    // Small pieces make one record, not one each.
    staged_.resize(std::min(boost::asio::buffer_size(buffers), kStageBytes));
    boost::asio::buffer_copy(boost::asio::buffer(staged_), buffers);
    write_staged(0, std::forward<Handler>(handler));
  }
  template <typename Handler>
  void write_all(boost::asio::const_buffer buffer, Handler&& handler) {
    if (!stream_) return boost::asio::async_write(socket_, buffer, std::forward<Handler>(handler));
    staged_.assign(static_cast<const char*>(buffer.data()), buffer.size());
    write_staged(0, std::forward<Handler>(handler));
  }

  // In words; TLS has some that `error` has not.
  std::string why(const Error& error) const;
  // Handlers that wait get operation_aborted. The socket may be connected anew.
  void close();

 private:
  static constexpr size_t kStageBytes = 64 << 10;

  void read_tls(boost::asio::mutable_buffer into, Done done);
  void write_staged(size_t from, Done done);
  // `go_on` when the socket is ready for what `outcome` wants, else `done` with why not.
  void wait_for(const tls::Outcome& outcome, Done done, absl::AnyInvocable<void(Done)> go_on);
  void finish(Done done, const Error& error, size_t bytes);

  Tcp::socket socket_;
  std::unique_ptr<tls::Stream> stream_;  // null: plain
  uint64_t epoch_ = 0;                   // counts the closings: waits of an older one are over
  std::string staged_;                   // what is being written by TLS; unchanged until it is
};

}  // namespace kv::raft
