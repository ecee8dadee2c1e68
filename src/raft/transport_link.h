// The stream this member dials to one peer: its queue, the dialling with back-off, the hello, writing, pings.
// Internal to the transport.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "raft/codec.h"
#include "raft/transport.h"
#include "raft/transport_lookup.h"
#include "raft/transport_socket.h"
#include "raft/transport_wire.h"

namespace kv {
class Histogram;
}

namespace kv::raft {

class PeerLink : public std::enable_shared_from_this<PeerLink> {
 public:
  // Everything that the links of one transport share; outlives them. Owned by the transport's thread.
  struct Context {
    boost::asio::io_context& io;
    const Transport::Options& options;
    uint64_t instance;
    std::string hello_urls;
    NameLookup& lookup;
    Transport::OnUnreachable& on_unreachable;
    Transport::OnStreamLost& on_stream_lost;  // may be empty
    Transport::Payloads& payloads;            // both may be empty
    Random& random;
  };

  PeerLink(Context& context, NodeId id);

  // Any thread. Queues or drops; true when the transport's thread should flush().
  bool push(Message&& message);
  enum class Queued : uint8_t { kRefused, kYes, kFlush };
  Queued push_payload(std::string&& payload);
  void add_received(uint64_t bytes, uint64_t appends) {
    received_bytes_.fetch_add(bytes, std::memory_order_relaxed);
    received_appends_.fetch_add(appends, std::memory_order_relaxed);
  }
  void add_failed_receive() { failed_receives_.fetch_add(1, std::memory_order_relaxed); }
  PeerStats stats() const;
  uint16_t protocol() const { return protocol_.load(std::memory_order_relaxed); }  // of the stream; 0: there is none
  NodeId id() const { return id_; }

  // The transport's thread only.
  void set_addresses(std::vector<HostPort> addresses);  // dials when it did not yet; else the next dial uses them
  const std::vector<HostPort>& addresses() const { return addresses_; }
  void dial_now();  // the peer is there: no longer wait for the next attempt
  void flush();
  void tick(int64_t now_ms);
  void close();  // for good; no callback after it

  // The peer became known by its own hello only, and is forgotten when its stream to us ends.
  bool learned = false;

 private:
  using tcp = boost::asio::ip::tcp;
  enum class State : uint8_t { kIdle, kConnecting, kConnected, kWaiting, kClosed };

  void dial();
  void connect(const HostPort& place, const std::vector<tcp::endpoint>& endpoints);
  void say_hello();
  void read_reply(size_t have);
  void established(uint16_t protocol);
  void make_ping_due();
  void read_pongs();
  void on_pong_bytes();
  void observe_round_trip(double seconds);
  void write();
  void write_rest();
  void fail(std::string_view why);
  void tell_unreachable();
  void reset_stream();

  Context& context_;
  const NodeId id_;

  // Owned by the transport's thread.
  State state_ = State::kIdle;
  std::vector<HostPort> addresses_;
  size_t next_address_ = 0;
  uint64_t generation_ = 0;  // of the dialling attempt; handlers of an older one do nothing
  unsigned failures_ = 0;    // since the last established stream
  std::string last_failure_;
  PeerSocket socket_;
  boost::asio::steady_timer timer_;  // the attempt's deadline, or the wait for the next
  std::string hello_;
  char read_buffer_[256];
  size_t read_size_ = 0;
  uint64_t frames_sent_ = 0;
  uint64_t frames_read_ = 0;
  bool writing_ = false;
  // One ping at a time: due, then on its way, then answered.
  bool ping_due_ = false;
  bool awaiting_pong_ = false;
  Histogram* round_trips_ = nullptr;  // made with the first
  int64_t last_ping_ms_ = 0;          // when the last became due
  int64_t last_progress_ms_ = 0;      // when the peer last took or gave a byte
  Gather gather_;                     // what is being written
  size_t gather_bytes_ = 0;           // its share of queued_bytes_
  size_t gather_payload_bytes_ = 0;   // ... and of payload_bytes_
  std::vector<Message> batch_;
  std::vector<std::string> payload_batch_;
  std::vector<Gather::Piece> pieces_;
  size_t piece_ = 0;  // the first piece that is not wholly written
  // The kernel takes this many pieces in one writev.
  std::array<boost::asio::const_buffer, 64> iov_;

  mutable std::mutex mutex_;  // guards what follows
  std::vector<Message> waiting_;
  size_t queued_bytes_ = 0;  // waiting and being written
  size_t queue_limit_;
  std::vector<std::string> waiting_payloads_;
  size_t payload_bytes_ = 0;  // waiting and being written
  bool accepting_ = true;     // false while the peer is away
  bool told_ = false;         // on_unreachable was called for the present trouble
  bool lost_since_told_ = false;
  bool tell_ = false;  // flush() shall call it
  uint64_t sent_appends_ = 0;
  RoundTrips measured_;

  std::atomic<uint16_t> protocol_{0};
  std::atomic<uint64_t> sent_bytes_{0};
  std::atomic<uint64_t> received_bytes_{0};
  std::atomic<uint64_t> received_appends_{0};
  std::atomic<uint64_t> dropped_{0};
  std::atomic<uint64_t> lost_streams_{0};
  std::atomic<uint64_t> failed_receives_{0};
  std::atomic<double> round_trip_seconds_{0};
};

}  // namespace kv::raft
