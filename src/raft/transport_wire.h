// What stands on a peer stream besides messages: the hello, its answer, and the frame around everything else.
// Format: docs/formats.md, "Between peers". No I/O here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "raft/codec.h"
#include "raft/types.h"

namespace kv::raft {

inline constexpr uint16_t kOldestProtocol = 1;
inline constexpr uint16_t kNewestProtocol = 3;
// From this one on a stream may carry payload frames.
inline constexpr uint16_t kPayloadProtocol = 2;
// From this one on a leader takes a Forward of its own term only. Before, it could keep it and hand it to the next one.
inline constexpr uint16_t kForwardInTermProtocol = 3;

// What a dialling member says first.
struct Hello {
  uint16_t oldest_protocol = kOldestProtocol;
  uint16_t newest_protocol = kNewestProtocol;
  uint64_t cluster_id = 0;
  NodeId sender;
  NodeId receiver;        // whom it means to have dialled
  uint64_t instance = 0;  // drawn at random when the process starts: tells a reconnect from a second process
  std::string urls;       // where the sender listens, joined by commas; may be empty
};

enum class Welcome : uint16_t {
  kAccepted = 0,
  kWrongProtocol = 1,  // no version in common
  kWrongCluster = 2,
  kWrongReceiver = 3,     // the dialled address belongs to another member
  kDuplicateSender = 4,   // another live process already speaks as this member
  kRemovedSender = 5,     // this member was removed from the cluster
  kTooMany = 6,           // the receiver holds as many streams of members unknown to it as it will
  kWrongCertificate = 7,  // the certificate is not good for any host of the sender's URLs
};
inline constexpr uint16_t kLastWelcome = 7;
std::string_view welcome_text(Welcome welcome);

// The dialled member's answer. Its own ids stand there whatever the answer, so that the dialler can say what is wrong.
struct HelloReply {
  uint16_t protocol = 0;  // the version both will speak; 0 unless accepted
  Welcome welcome = Welcome::kAccepted;
  uint64_t cluster_id = 0;
  NodeId sender;
};

inline constexpr size_t kHelloFixedBytes = 64;
inline constexpr size_t kMaxHelloUrlsBytes = 1024;
inline constexpr size_t kMaxHelloBytes = kHelloFixedBytes + kMaxHelloUrlsBytes;
inline constexpr size_t kHelloReplyBytes = 40;

std::string encode(const Hello& hello);  // cuts nothing: urls must fit kMaxHelloUrlsBytes
std::string encode(const HelloReply& reply);

// What the first bytes of a stream are.
struct HelloRead {
  enum class State : uint8_t { kIncomplete, kBad, kWhole } state = State::kIncomplete;
  Hello hello;      // when whole
  size_t size = 0;  // bytes it took, when whole
};
// Bad as soon as the bytes can't become a hello: a stranger is known by its first byte.
HelloRead read_hello(std::string_view bytes);
std::optional<HelloReply> decode_hello_reply(std::string_view bytes);

// ---- frames ------------------------------------------------------------------------------------------------

enum class FrameKind : uint8_t { kMessage = 1, kPing = 2, kPong = 3, kPayload = 4 };

inline constexpr size_t kFrameHeaderBytes = 16;

// Appends a frame with that message. `number` counts the frames of a stream and direction from 0: it seeds the
// checksum, so that a lost, repeated or swapped frame is found like a damaged one. Returns the frame's body size.
size_t append_message_frame(const Message& message, uint64_t number, Gather& out);
// Bytes that the transport carries and does not look at.
std::string payload_frame(std::string_view payload, uint64_t number);
// A ping or pong; its body is eight bytes that a pong repeats.
std::string small_frame(FrameKind kind, uint64_t value, uint64_t number);

struct FrameRead {
  enum class State : uint8_t { kIncomplete, kBadHeader, kTooLong, kBadChecksum, kWhole };
  State state = State::kIncomplete;
  FrameKind kind = FrameKind::kMessage;  // when whole
  std::string_view body;                 // when whole; within the bytes handed in
  size_t size = 0;                       // of the whole frame, once its header is known; 0 before
};
FrameRead read_frame(std::string_view bytes, uint64_t number, size_t max_body_bytes);
std::optional<uint64_t> read_small_body(std::string_view body);

// ---- addresses ---------------------------------------------------------------------------------------------

struct HostPort {
  std::string host;  // without the brackets of an IPv6 address
  uint16_t port = 0;
  bool secure = false;  // https
};
// "http://host:port", "https://host:port", "http://[::1]:2380", with or without a slash at the end. InvalidArgument
// says what is wrong.
Result<HostPort> parse_peer_url(std::string_view url);
std::vector<std::string> split_urls(std::string_view joined);
std::string join_urls(const std::vector<std::string>& urls);

}  // namespace kv::raft
