// Raft messages between members over TCP, on Boost.Asio. One stream per direction and peer: this member dials
// every peer and sends on the stream it dialled; it receives on the streams that peers dialled.
//
// Raft needs no delivery promise, so the transport gives none: a message that finds its peer's queue full, or a
// peer that is away, is dropped and counted, and the core is told (on_unreachable). What it does promise: what
// arrives is whole (length limit, checksum), is from a member of this cluster that speaks our protocol version
// (hello; by certificate as well, with TLS), and is in the order it was sent in per stream. A stranger's bytes close
// their connection and nothing else. Frame format: docs/formats.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "raft/types.h"

namespace kv::tls {
class Context;
}

namespace kv::raft {

// The messages' bytes (docs/formats.md). decode: nullopt when they are not a message, whatever they are.
void encode(const Message& message, std::string& out);  // appends
std::optional<Message> decode_message(std::string_view bytes);

struct PeerAddress {
  NodeId id;
  std::vector<std::string> urls;  // "http://host:port", or https; tried in turn
};

// Of pings on one stream after another.
struct RoundTrips {
  uint64_t count = 0;
  double sum_seconds = 0;
  double sum_of_squares = 0;
  double shortest_seconds = 0;
  double longest_seconds = 0;
};

struct PeerStats {
  NodeId id;
  bool connected = false;
  uint64_t sent_bytes = 0;
  uint64_t received_bytes = 0;
  uint64_t sent_appends = 0;  // AppendEntries
  uint64_t received_appends = 0;
  uint64_t dropped_messages = 0;
  uint64_t lost_streams = 0;      // that this member had dialled
  uint64_t failed_receives = 0;   // streams from the peer that ended other than by its will: damage, silence, a reset
  double round_trip_seconds = 0;  // of the last ping on the stream; 0: none yet
  RoundTrips round_trips;
};

class Transport {
 public:
  struct Options {
    uint64_t cluster_id = 0;
    NodeId id;
    std::vector<std::string> listen_urls;  // "http://0.0.0.0:2380", or https; port 0: any (see bound_ports)
    // For every https URL, ours and the peers'. A peer that we dial must have a certificate for the URL's host. When
    // those who dial are asked for one, theirs must be good for a host of the sender's own URLs, unless it names no
    // host at all: with the certificate of one member nobody speaks as another.
    std::shared_ptr<tls::Context> tls;
    bool check_dialler_names = true;  // --peer-skip-client-san-verification turns that last one off
    // Told to every peer in the hello, so that one that does not know this member yet (it lags behind the change
    // that added it) can answer. Empty: such a peer hears this member and can't answer.
    std::vector<std::string> advertise_urls;
    size_t max_frame_bytes = 64 << 20;
    size_t max_queued_bytes = 64 << 20;  // per peer; beyond it messages are dropped
    // Payloads have a queue of their own, per peer, and a limit to each.
    size_t max_queued_payload_bytes = 16 << 20;
    size_t max_payload_bytes = 4 << 20;
    int64_t hello_timeout_ms = 5000;
    int64_t reconnect_min_ms = 50;  // doubles up to the maximum, with jitter
    int64_t reconnect_max_ms = 2000;
    int64_t idle_timeout_ms = 10000;  // pings keep a healthy stream from idling
    size_t max_strangers = 64;        // connections that have not said hello yet; the oldest goes first
    // Answers a stranger's `GET path` in HTTP/1.1 on the peer port with a whole response; the connection is closed
    // after it. How a member that has no id yet, or a person, asks who takes part. Must not block. Null: such a
    // stranger is turned away.
    std::function<std::string(std::string_view path)> answer_http;
    std::vector<NodeId> removed;  // as after remove_peer() of each
    // That peer refused this member's hello because it was removed from the cluster. Again at every attempt.
    std::function<void(NodeId by)> on_removed;
  };

  // Called on the transport's thread, in batches: everything that one read brought. Must not block for long.
  using OnMessages = std::function<void(std::vector<Message>&&)>;
  // Messages to that peer were or will be lost: its stream broke or can't be made, its queue ran full, or a broken
  // stream during which messages were dropped is whole again. Once per such turn, not per message. On the
  // transport's thread.
  using OnUnreachable = std::function<void(NodeId)>;
  // The stream to that peer worked and has ended: its process is gone, or the network cut it. Stronger than silence,
  // and sooner. On the transport's thread.
  using OnStreamLost = std::function<void(NodeId)>;

  // What members say to each other besides raft's messages: bytes that the transport carries on the same streams and
  // does not look at. Both are called on the transport's thread and must not block.
  struct Payloads {
    // False: these bytes make no sense, and the stream they came on is closed.
    std::function<bool(NodeId from, std::string_view payload)> received;
    // The stream to or from that peer has ended: what was sent may be lost, and so may an answer to it.
    std::function<void(NodeId peer)> broken;
  };

  // Listens at once; InvalidArgument for a URL that is none, Unavailable when an address can't be bound.
  static Result<std::unique_ptr<Transport>> start(const Options& options, OnMessages on_messages,
                                                  OnUnreachable on_unreachable, OnStreamLost on_stream_lost = {},
                                                  Payloads payloads = {});
  // Stops: closes all, joins the thread. No callback runs after it.
  virtual ~Transport() = default;

  // Any thread.
  // Also changes a peer's addresses. A URL that is none is logged and left out.
  virtual void add_peer(const PeerAddress& peer) = 0;
  // Closes the peer's streams. From now on, until add_peer(), its hello is refused as that of a removed member;
  // members that were never added are heard, because this member may lag behind the change that added them.
  virtual void remove_peer(NodeId id) = 0;
  // Encodes and queues; never blocks. Messages to unknown peers are dropped.
  virtual void send(std::vector<Message> messages) = 0;
  // Queues a payload; never blocks. False, and nothing is sent: the peer is unknown, away, too old to take payloads,
  // or its queue is full. True promises no delivery.
  [[nodiscard]] virtual bool send_payload(NodeId to, std::string payload) = 0;
  // What becomes of an entry that is forwarded to that peer (Forward) while it leads.
  enum class Forwards : uint8_t {
    kLost,         // there is no stream to it
    kInAnyTerm,    // before protocol version 3: it may hand it to the next leader
    kInTheirTerm,  // it comes into the log in the term of the message or never
  };
  virtual Forwards forwards_to(NodeId peer) const = 0;
  virtual std::vector<PeerStats> stats() const = 0;
  virtual std::vector<uint16_t> bound_ports() const = 0;
};

}  // namespace kv::raft
