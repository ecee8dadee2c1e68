#include "raft/transport_wire.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/check.h"
#include "base/checksum.h"

namespace kv::raft {
namespace {

constexpr std::string_view kHelloMagic{"KVDRAFT\0", 8};
constexpr std::string_view kReplyMagic{"KVDWELC\0", 8};

// Seeds keep a hello from being taken for an answer even if their magics were confused.
constexpr uint64_t kHelloSeed = 1;
constexpr uint64_t kReplySeed = 2;

void put_int(std::string& out, uint64_t v, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) out.push_back(static_cast<char>(v >> (8 * i)));
}

uint64_t get_int(std::string_view bytes, size_t at, size_t n) {
  uint64_t v = 0;
  for (size_t i = 0; i < n; ++i) v |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
  return v;
}

// The header's first eight bytes, as a number, are body size and kind; 24 bits above them are zero. The frame's
// number goes where the zeros are.
uint64_t frame_seed(uint64_t header_word, uint64_t number) { return header_word + (number << 40); }

std::string whole_frame(FrameKind kind, std::string_view body, uint64_t number) {
  const uint64_t word = body.size() | static_cast<uint64_t>(kind) << 32;
  std::string frame;
  frame.reserve(kFrameHeaderBytes + body.size());
  put_int(frame, word, 8);
  put_int(frame, checksum(body, frame_seed(word, number)), 8);
  return frame.append(body);
}

}  // namespace

std::string_view welcome_text(Welcome welcome) {
  switch (welcome) {
    case Welcome::kAccepted: return "accepted";
    case Welcome::kWrongProtocol: return "no protocol version in common";
    case Welcome::kWrongCluster: return "cluster id mismatch";
    case Welcome::kWrongReceiver: return "the address belongs to another member";
    case Welcome::kDuplicateSender: return "another live process speaks as this member";
    case Welcome::kRemovedSender: return "the member has been removed from the cluster";
    case Welcome::kTooMany: return "too many streams from unknown members";
    case Welcome::kWrongCertificate: return "the certificate is for no host of the sender's peer URLs";
  }
  return "unknown answer";
}

// 0 magic, 8 oldest version u16, 10 newest version u16, 12 purpose u16 (0: messages), 14 urls' size u16,
// 16 cluster, 24 sender, 32 receiver, 40 instance, 48 reserved, 56 checksum of all the rest, 64 urls.
std::string encode(const Hello& hello) {
  KV_CHECK(hello.urls.size() <= kMaxHelloUrlsBytes, "the hello's URLs are too long");
  std::string out(kHelloMagic);
  put_int(out, hello.oldest_protocol, 2);
  put_int(out, hello.newest_protocol, 2);
  put_int(out, 0, 2);
  put_int(out, hello.urls.size(), 2);
  put_int(out, hello.cluster_id, 8);
  put_int(out, hello.sender.value(), 8);
  put_int(out, hello.receiver.value(), 8);
  put_int(out, hello.instance, 8);
  put_int(out, 0, 8);
  put_int(out, checksum(hello.urls, checksum(out, kHelloSeed)), 8);
  out += hello.urls;
  return out;
}

HelloRead read_hello(std::string_view bytes) {
  HelloRead read;
  const auto bad = [&read] {
    read.state = HelloRead::State::kBad;
    return read;
  };
  const size_t known = std::min(bytes.size(), kHelloMagic.size());
  if (bytes.substr(0, known) != kHelloMagic.substr(0, known)) return bad();
  if (bytes.size() < kHelloFixedBytes) return read;
  const size_t urls = get_int(bytes, 14, 2);
  if (urls > kMaxHelloUrlsBytes || get_int(bytes, 12, 2) != 0) return bad();
  if (bytes.size() < kHelloFixedBytes + urls) return read;
  read.size = kHelloFixedBytes + urls;
  read.hello.urls = bytes.substr(kHelloFixedBytes, urls);
  if (get_int(bytes, 56, 8) != checksum(read.hello.urls, checksum(bytes.substr(0, 56), kHelloSeed))) return bad();
  read.hello.oldest_protocol = static_cast<uint16_t>(get_int(bytes, 8, 2));
  read.hello.newest_protocol = static_cast<uint16_t>(get_int(bytes, 10, 2));
  read.hello.cluster_id = get_int(bytes, 16, 8);
  read.hello.sender = NodeId(get_int(bytes, 24, 8));
  read.hello.receiver = NodeId(get_int(bytes, 32, 8));
  read.hello.instance = get_int(bytes, 40, 8);
  read.state = HelloRead::State::kWhole;
  return read;
}

// 0 magic, 8 protocol u16, 10 welcome u16, 12 reserved u32, 16 cluster, 24 sender, 32 checksum.
std::string encode(const HelloReply& reply) {
  std::string out(kReplyMagic);
  put_int(out, reply.protocol, 2);
  put_int(out, static_cast<uint16_t>(reply.welcome), 2);
  put_int(out, 0, 4);
  put_int(out, reply.cluster_id, 8);
  put_int(out, reply.sender.value(), 8);
  put_int(out, checksum(out, kReplySeed), 8);
  return out;
}

std::optional<HelloReply> decode_hello_reply(std::string_view bytes) {
  if (bytes.size() != kHelloReplyBytes || bytes.substr(0, kReplyMagic.size()) != kReplyMagic) return std::nullopt;
  if (get_int(bytes, 32, 8) != checksum(bytes.substr(0, 32), kReplySeed)) return std::nullopt;
  const uint64_t welcome = get_int(bytes, 10, 2);
  if (welcome > kLastWelcome) return std::nullopt;
  HelloReply reply;
  reply.protocol = static_cast<uint16_t>(get_int(bytes, 8, 2));
  reply.welcome = static_cast<Welcome>(welcome);
  reply.cluster_id = get_int(bytes, 16, 8);
  reply.sender = NodeId(get_int(bytes, 24, 8));
  return reply;
}

size_t append_message_frame(const Message& message, uint64_t number, Gather& out) {
  const Gather::Mark start = out.mark();
  const std::string_view kNoHeader{"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", kFrameHeaderBytes};
  out.append(kNoHeader);
  encode(message, out);
  const size_t body = out.size() - start.total - kFrameHeaderBytes;
  // A body above 4 GiB has no header; the caller's limit is below that, and it drops what is above its limit.
  const uint64_t word = (body & 0xffffffff) | static_cast<uint64_t>(FrameKind::kMessage) << 32;
  std::string header;
  put_int(header, word, 8);
  put_int(header, out.checksum_since(start, kFrameHeaderBytes, frame_seed(word, number)), 8);
  out.overwrite(start, header);
  return body;
}

std::string payload_frame(std::string_view payload, uint64_t number) {
  return whole_frame(FrameKind::kPayload, payload, number);
}

std::string small_frame(FrameKind kind, uint64_t value, uint64_t number) {
  std::string body;
  put_int(body, value, 8);
  return whole_frame(kind, body, number);
}

FrameRead read_frame(std::string_view bytes, uint64_t number, size_t max_body_bytes) {
  FrameRead read;
  if (bytes.size() < 8) return read;
  const uint64_t word = get_int(bytes, 0, 8);
  const uint64_t kind = word >> 32;
  if (kind < static_cast<uint64_t>(FrameKind::kMessage) || kind > static_cast<uint64_t>(FrameKind::kPayload)) {
    read.state = FrameRead::State::kBadHeader;
    return read;
  }
  const size_t body = word & 0xffffffff;
  if (body > max_body_bytes) {
    read.state = FrameRead::State::kTooLong;
    return read;
  }
  read.size = kFrameHeaderBytes + body;
  if (bytes.size() < read.size) return read;
  read.kind = static_cast<FrameKind>(kind);
  read.body = bytes.substr(kFrameHeaderBytes, body);
  read.state = checksum(read.body, frame_seed(word, number)) == get_int(bytes, 8, 8) ? FrameRead::State::kWhole
                                                                                     : FrameRead::State::kBadChecksum;
  return read;
}

std::optional<uint64_t> read_small_body(std::string_view body) {
  if (body.size() != 8) return std::nullopt;
  return get_int(body, 0, 8);
}

Result<HostPort> parse_peer_url(std::string_view url) {
  const auto refuse = [&url](std::string_view why) {
    return Status(Code::kInvalidArgument, "peer URL \"" + std::string(url) + "\": " + std::string(why));
  };
  std::string_view rest = url;
  HostPort parsed;
  parsed.secure = rest.starts_with("https://");
  if (!parsed.secure && !rest.starts_with("http://")) return refuse("must begin with http:// or https://");
  rest.remove_prefix(parsed.secure ? 8 : 7);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find_first_of("/?#@ ") != std::string_view::npos) return refuse("must be http://host:port and nothing else");
  if (rest.starts_with('[')) {
    const size_t close = rest.find(']');
    if (close == std::string_view::npos) return refuse("the bracket of an IPv6 address is not closed");
    parsed.host = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
  } else {
    const size_t colon = std::min(rest.find(':'), rest.size());
    parsed.host = rest.substr(0, colon);
    rest.remove_prefix(colon);
  }
  if (parsed.host.empty()) return refuse("has no host");
  if (!rest.starts_with(':')) return refuse("has no port");
  rest.remove_prefix(1);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), parsed.port);
  if (rest.empty() || error != std::errc() || end != rest.data() + rest.size()) return refuse("has a bad port");
  return parsed;
}

std::vector<std::string> split_urls(std::string_view joined) {
  std::vector<std::string> urls;
  while (!joined.empty()) {
    const size_t comma = std::min(joined.find(','), joined.size());
    if (comma > 0) urls.emplace_back(joined.substr(0, comma));
    joined.remove_prefix(std::min(comma + 1, joined.size()));
  }
  return urls;
}

std::string join_urls(const std::vector<std::string>& urls) {
  std::string joined;
  for (const std::string& url : urls) joined += (joined.empty() ? "" : ",") + url;
  return joined;
}

}  // namespace kv::raft
