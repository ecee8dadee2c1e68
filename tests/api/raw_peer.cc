#include "api/raw_peer.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>

namespace kv::test {
namespace {

using Clock = std::chrono::steady_clock;

int remaining_ms(Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

void append_string(std::string& out, std::string_view text) {
  // An integer with a prefix of 7 bits (RFC 7541, 5.1); no Huffman code.
  size_t size = text.size();
  if (size < 127) {
    out += static_cast<char>(size);
  } else {
    out += static_cast<char>(127);
    for (size -= 127; size >= 128; size >>= 7) out += static_cast<char>(size % 128 + 128);
    out += static_cast<char>(size);
  }
  out += text;
}

std::string find(const Fields& fields, const std::string& name) {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace

RawPeer::RawPeer(uint16_t port, int receive_buffer) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
  if (receive_buffer > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("cannot connect to the server under test");
  }
}

RawPeer::~RawPeer() { ::close(fd_); }

bool RawPeer::send(std::string_view bytes) {
  while (!bytes.empty()) {
    pollfd poller{.fd = fd_, .events = POLLOUT, .revents = 0};
    if (poll(&poller, 1, kPatienceMs) <= 0) return false;
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EAGAIN) continue;
      return false;
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

std::string RawPeer::receive(int timeout_ms) {
  pollfd poller{.fd = fd_, .events = POLLIN, .revents = 0};
  if (ended_ || poll(&poller, 1, timeout_ms) <= 0) return {};
  std::string bytes(64 << 10, '\0');
  const ssize_t n = ::recv(fd_, bytes.data(), bytes.size(), 0);
  if (n <= 0) ended_ = true;
  bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return bytes;
}

std::string RawPeer::receive_until(std::string_view text) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(kPatienceMs);
  std::string all;
  while (all.find(text) == std::string::npos) {
    const std::string more = receive(remaining_ms(deadline));
    if (more.empty()) break;
    all += more;
  }
  return all;
}

bool RawPeer::closes(int timeout_ms) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  while (!ended_ && remaining_ms(deadline) > 0) receive(remaining_ms(deadline));
  return ended_;
}

void RawPeer::shutdown_write() { ::shutdown(fd_, SHUT_WR); }

std::string Reply::header(const std::string& name) const { return find(headers, name); }

int Reply::grpc_status() const {
  std::string text = find(trailers, "grpc-status");
  if (text.empty()) text = find(headers, "grpc-status");
  return text.empty() ? -1 : std::stoi(text);
}

std::string Reply::grpc_message() const {
  const std::string text = find(trailers, "grpc-message");
  return text.empty() ? find(headers, "grpc-message") : text;
}

struct RawHttp2::Inflater {
  Inflater() { nghttp2_hd_inflate_new(&inflater); }
  ~Inflater() { nghttp2_hd_inflate_del(inflater); }
  nghttp2_hd_inflater* inflater = nullptr;
};

RawHttp2::RawHttp2(uint16_t port, std::string_view settings, int receive_buffer, std::string_view more)
    : peer_(port, receive_buffer), inflater_(std::make_unique<Inflater>()) {
  peer_.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + encode_frame({.type = kSettings, .payload = std::string(settings)}) +
             std::string(more));
  next_of(kSettings);  // which it acknowledges; until then the server grants windows of 64 KiB
}

RawHttp2::~RawHttp2() = default;

bool RawHttp2::send(const Frame& frame) { return peer_.send(encode_frame(frame)); }

bool RawHttp2::send_headers(uint32_t stream, const Fields& fields, uint8_t flags) {
  return send({.type = kHeaders, .flags = flags, .stream = stream, .payload = encode_fields(fields)});
}

bool RawHttp2::send_data(uint32_t stream, std::string_view bytes, uint8_t flags) {
  return send({.type = kData, .flags = flags, .stream = stream, .payload = std::string(bytes)});
}

bool RawHttp2::send_ping() { return send({.type = kPing, .payload = "12345678"}); }

bool RawHttp2::reset(uint32_t stream) {
  constexpr uint32_t kCancel = 8;
  return send({.type = kRstStream, .stream = stream, .payload = big_endian_32(kCancel)});
}

bool RawHttp2::open_window(uint32_t stream, uint32_t bytes) {
  return send({.type = kWindowUpdate, .stream = stream, .payload = big_endian_32(bytes)});
}

std::optional<Frame> RawHttp2::next(int timeout_ms) {
  if (skipped_.empty()) return read(timeout_ms);
  Frame frame = std::move(skipped_.front());
  skipped_.pop_front();
  return frame;
}

std::optional<Frame> RawHttp2::next_of(FrameType type, int timeout_ms) {
  for (auto at = skipped_.begin(); at != skipped_.end(); ++at) {
    if (at->type != type) continue;
    Frame frame = std::move(*at);
    skipped_.erase(at);
    return frame;
  }
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  while (auto frame = read(remaining_ms(deadline))) {
    if (frame->type == type) return frame;
    skipped_.push_back(*std::move(frame));
  }
  return std::nullopt;
}

std::optional<Frame> RawHttp2::read(int timeout_ms) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  constexpr size_t kHead = 9;
  while (true) {
    const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(buffer_[i])); };
    if (buffer_.size() >= kHead) {
      const size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
      if (buffer_.size() >= kHead + size) {
        Frame frame{.type = static_cast<uint8_t>(byte(3)),
                    .flags = static_cast<uint8_t>(byte(4)),
                    .stream = (byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8)) & 0x7fffffff,
                    .payload = buffer_.substr(kHead, size)};
        buffer_.erase(0, kHead + size);
        if (frame.type == kSettings && (frame.flags & kAck) == 0) send({.type = kSettings, .flags = kAck});
        return frame;
      }
    }
    const std::string more = peer_.receive(remaining_ms(deadline));
    if (more.empty()) return std::nullopt;
    buffer_ += more;
  }
}

Fields RawHttp2::decode(const Frame& headers) {
  Fields fields;
  auto* in = reinterpret_cast<uint8_t*>(const_cast<char*>(headers.payload.data()));
  size_t left = headers.payload.size();
  while (true) {
    nghttp2_nv field;
    int flags = 0;
    const ssize_t n = nghttp2_hd_inflate_hd2(inflater_->inflater, &field, &flags, in, left, 1);
    if (n < 0) throw std::runtime_error("the server's header block can't be decoded");
    in += n;
    left -= static_cast<size_t>(n);
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      fields.emplace_back(std::string(reinterpret_cast<char*>(field.name), field.namelen),
                          std::string(reinterpret_cast<char*>(field.value), field.valuelen));
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && left == 0) break;
  }
  nghttp2_hd_inflate_end_headers(inflater_->inflater);
  return fields;
}

Reply RawHttp2::read_reply(uint32_t stream) {
  Reply reply;
  while (!reply.ended && !reply.reset) {
    const auto frame = next();
    if (!frame) break;
    if (frame->type == kGoAway) reply.gone_away = true;
    const Fields fields = frame->type == kHeaders ? decode(*frame) : Fields();
    if (frame->stream != stream) continue;
    if (frame->type == kRstStream) reply.reset = true;
    if (frame->type == kHeaders) (reply.headers.empty() ? reply.headers : reply.trailers) = fields;
    if (frame->type == kData && !frame->payload.empty()) {
      reply.body += frame->payload;
      const auto size = static_cast<uint32_t>(frame->payload.size());
      open_window(0, size);
      if ((frame->flags & kEndStream) == 0) open_window(stream, size);
    }
    reply.ended = (frame->type == kHeaders || frame->type == kData) && (frame->flags & kEndStream) != 0;
  }
  return reply;
}

Reply RawHttp2::call(uint32_t stream, const std::string& path, std::string_view body, const Fields& extra) {
  send_headers(stream, grpc_fields(path, extra), kEndHeaders);
  constexpr size_t kMaxFrame = 16384;
  for (; body.size() > kMaxFrame; body.remove_prefix(kMaxFrame)) send_data(stream, body.substr(0, kMaxFrame));
  send_data(stream, body, kEndStream);
  return read_reply(stream);
}

Fields grpc_fields(const std::string& path, const Fields& extra) {
  Fields fields{{":method", "POST"},         {":scheme", "http"}, {":path", path},
                {":authority", "localhost"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
  fields.insert(fields.end(), extra.begin(), extra.end());
  return fields;
}

std::string encode_fields(const Fields& fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    out += '\0';  // a literal that is not indexed, with a new name
    append_string(out, name);
    append_string(out, value);
  }
  return out;
}

std::string encode_frame(const Frame& frame) {
  std::string out = big_endian_32(static_cast<uint32_t>(frame.payload.size())).substr(1);
  out += static_cast<char>(frame.type);
  out += static_cast<char>(frame.flags);
  out += big_endian_32(frame.stream);
  return out + frame.payload;
}

std::string setting(uint16_t id, uint32_t value) {
  return std::string{static_cast<char>(id >> 8), static_cast<char>(id)} + big_endian_32(value);
}

std::string big_endian_32(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

std::string grpc_frame(std::string_view message, bool compressed) {
  return (compressed ? '\1' : '\0') + big_endian_32(static_cast<uint32_t>(message.size())) + std::string(message);
}

uint32_t error_code(const Frame& frame) {
  const size_t at = frame.type == kGoAway ? 4 : 0;
  uint32_t code = 0;
  for (size_t i = at; i < at + 4; ++i) code = code << 8 | static_cast<uint8_t>(frame.payload[i]);
  return code;
}

std::string debug_data(const Frame& goaway) { return goaway.payload.substr(8); }

}  // namespace kv::test
