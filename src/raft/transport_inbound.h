// A connection that somebody opened to us: a stranger until its hello is checked, then the stream on which one
// peer's messages come. Internal to the transport; lives on the transport's thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "raft/transport.h"
#include "raft/transport_socket.h"
#include "raft/transport_wire.h"

namespace kv::raft {

class Inbound : public std::enable_shared_from_this<Inbound> {
 public:
  // Who keeps the connections. It outlives them.
  class Host {
   public:
    virtual ~Host() = default;
    virtual const Transport::Options& inbound_options() const = 0;
    // Decides on a hello whose protocol version fits. When it answers kAccepted the connection is that peer's stream.
    virtual Welcome admit(Inbound& connection, const Hello& hello) = 0;
    virtual void deliver(Inbound& connection, std::vector<Message>&& messages, uint64_t bytes) = 0;
    // False: the bytes make no sense.
    virtual bool deliver_payload(Inbound& connection, std::string_view payload) = 0;
    // The connection is closed; `stranger` when it never said a good hello. `why` is empty when nothing was wrong.
    virtual void closed(Inbound& connection, bool stranger, std::string_view why) = 0;
  };

  // By TLS when there is a context for it.
  Inbound(Host& host, boost::asio::ip::tcp::socket socket, int64_t now_ms, tls::Context* tls);

  void start();
  // Closes without calling Host::closed().
  void close();
  // Closes and calls Host::closed(), when it is not closed yet.
  void fail(std::string_view why);

  bool stranger() const { return !open_; }
  NodeId peer() const { return peer_; }  // 0 for a stranger
  uint64_t instance() const { return instance_; }
  const std::string& address() const { return address_; }
  bool is_good_for(const std::vector<std::string>& hosts) const { return socket_.is_good_for(hosts); }
  int64_t accepted_ms() const { return accepted_ms_; }
  int64_t last_read_ms() const { return last_read_ms_; }

 private:
  void read();
  void on_bytes();
  void on_hello_bytes();
  void on_http_bytes();
  void on_frames();
  void make_room(size_t frame_bytes);
  void answer_hello(const Hello& hello);
  void write_pong();

  Host& host_;
  PeerSocket socket_;
  std::string address_;
  const int64_t accepted_ms_;
  int64_t last_read_ms_;
  bool closed_ = false;
  bool open_ = false;
  bool refused_ = false;
  NodeId peer_;
  uint64_t instance_ = 0;
  uint16_t protocol_ = 0;  // once open

  // Bytes [begin_, end_) of the buffer are read and not yet understood.
  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;

  std::vector<Message> messages_;  // of the present read
  uint64_t frames_read_ = 0;
  uint64_t frames_sent_ = 0;
  std::string output_;  // being written
  bool writing_ = false;
  bool pong_due_ = false;
  uint64_t pong_value_ = 0;
};

}  // namespace kv::raft
