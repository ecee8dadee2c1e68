#include "raft/transport_inbound.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <cstring>

#include "base/clock.h"
#include "base/log.h"

namespace kv::raft {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

// A hundred-kilobyte append should come in by one read or two.
constexpr size_t kBufferBytes = 256 << 10;
// A buffer that had to grow beyond this for one frame is given back when the frame is done.
constexpr size_t kKeepBytes = 4 << 20;
// No hello begins so.
constexpr std::string_view kHttpGet = "GET ";

}  // namespace

Inbound::Inbound(Host& host, asio::ip::tcp::socket socket, int64_t now_ms, tls::Context* tls)
    : host_(host), socket_(std::move(socket)), accepted_ms_(now_ms), last_read_ms_(now_ms) {
  error_code ignored;
  const auto remote = socket_.tcp().remote_endpoint(ignored);
  address_ = remote.address().to_string() + ":" + std::to_string(remote.port());
  socket_.tcp().set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.tcp().set_option(asio::socket_base::keep_alive(true), ignored);
  if (tls != nullptr) socket_.accept_tls(*tls);
}

void Inbound::start() {
  // A stranger gets the memory that a hello needs and no more.
  capacity_ = kMaxHelloBytes;
  buffer_ = std::make_unique_for_overwrite<char[]>(capacity_);
  read();
}

void Inbound::close() {
  closed_ = true;
  socket_.close();
}

void Inbound::fail(std::string_view why) {
  if (closed_) return;
  close();
  host_.closed(*this, !open_, why);
}

void Inbound::read() {
  socket_.read_some(asio::buffer(buffer_.get() + end_, capacity_ - end_),
                    [self = shared_from_this()](const error_code& error, size_t n) {
                      if (self->closed_) return;
                      if (error) return self->fail(error == asio::error::eof ? "closed" : self->socket_.why(error));
                      self->end_ += n;
                      self->on_bytes();
                    });
}

void Inbound::on_bytes() {
  if (open_) {
    last_read_ms_ = Clock::system().monotonic_ms();
    on_frames();
  } else {
    on_hello_bytes();
  }
}

void Inbound::on_hello_bytes() {
  if (host_.inbound_options().answer_http &&
      kHttpGet.starts_with(std::string_view(buffer_.get(), end_).substr(0, kHttpGet.size()))) {
    return on_http_bytes();
  }
  const HelloRead read_back = read_hello({buffer_.get(), end_});
  switch (read_back.state) {
    case HelloRead::State::kIncomplete: return read();
    case HelloRead::State::kBad: return fail("its first bytes are not kvd's hello");
    case HelloRead::State::kWhole: break;
  }
  begin_ = read_back.size;
  answer_hello(read_back.hello);
}

// A request has a hello's room and a hello's time; of what it says only the path counts.
void Inbound::on_http_bytes() {
  const std::string_view bytes(buffer_.get(), end_);
  if (bytes.find("\r\n\r\n") == std::string_view::npos) {
    if (end_ < capacity_) return read();
    return fail("its HTTP request is too long");
  }
  const std::string_view target = bytes.substr(kHttpGet.size());
  output_ = host_.inbound_options().answer_http(target.substr(0, target.find_first_of(" ?\r\n")));
  socket_.write_all(asio::buffer(output_), [self = shared_from_this()](const error_code&, size_t) { self->fail(""); });
}

void Inbound::answer_hello(const Hello& hello) {
  HelloReply reply;
  reply.cluster_id = host_.inbound_options().cluster_id;
  reply.sender = host_.inbound_options().id;
  const uint16_t newest = std::min(kNewestProtocol, hello.newest_protocol);
  if (newest < std::max(kOldestProtocol, hello.oldest_protocol)) {
    reply.welcome = Welcome::kWrongProtocol;
  } else {
    peer_ = hello.sender;
    instance_ = hello.instance;
    reply.welcome = host_.admit(*this, hello);
  }
  if (closed_) return;
  if (reply.welcome == Welcome::kAccepted) {
    reply.protocol = protocol_ = newest;
    open_ = true;
    last_read_ms_ = Clock::system().monotonic_ms();
  } else {
    refused_ = true;
    log_warning("refused a peer's hello", {{"why", welcome_text(reply.welcome)},
                                           {"address", address_},
                                           {"its_cluster", hex_id(hello.cluster_id)},
                                           {"our_cluster", hex_id(reply.cluster_id)},
                                           {"sender", hex_id(hello.sender.value())},
                                           {"receiver", hex_id(hello.receiver.value())},
                                           {"our_id", hex_id(reply.sender.value())},
                                           {"its_versions", std::to_string(hello.oldest_protocol) + "-" +
                                                                std::to_string(hello.newest_protocol)}});
    peer_ = NodeId();
  }
  output_ = encode(reply);
  writing_ = true;
  socket_.write_all(asio::buffer(output_), [self = shared_from_this()](const error_code& error, size_t) {
    if (self->closed_) return;
    self->writing_ = false;
    if (error) return self->fail(self->socket_.why(error));
    if (self->refused_) return self->fail("refused");
    if (self->pong_due_) self->write_pong();
  });
  if (refused_) return;
  make_room(kBufferBytes);
  on_frames();
}

void Inbound::on_frames() {
  const uint64_t bytes = end_ - begin_;
  const size_t limit = host_.inbound_options().max_frame_bytes;
  std::string_view trouble;
  size_t wanted = 0;
  while (trouble.empty()) {
    const FrameRead frame = read_frame({buffer_.get() + begin_, end_ - begin_}, frames_read_, limit);
    if (frame.state == FrameRead::State::kIncomplete) {
      wanted = frame.size;
      break;
    }
    if (frame.state == FrameRead::State::kBadHeader) trouble = "a frame's header makes no sense";
    if (frame.state == FrameRead::State::kTooLong) trouble = "a frame is longer than the limit";
    if (frame.state == FrameRead::State::kBadChecksum) trouble = "a frame's checksum does not match";
    if (!trouble.empty()) break;
    ++frames_read_;
    begin_ += frame.size;
    if (frame.kind == FrameKind::kPing) {
      const auto value = read_small_body(frame.body);
      if (!value) {
        trouble = "a ping has the wrong size";
        break;
      }
      // If the peer pings faster than it reads, the last ping is answered and memory stays as it is.
      pong_due_ = true;
      pong_value_ = *value;
    } else if (frame.kind == FrameKind::kMessage) {
      auto message = decode_message(frame.body);
      if (!message) {
        trouble = "a frame holds no message";
      } else if (message->from != peer_ || message->to != host_.inbound_options().id) {
        trouble = "a message is not from this peer to this member";
      } else {
        messages_.push_back(std::move(*message));
      }
    } else if (frame.kind == FrameKind::kPayload && protocol_ >= kPayloadProtocol) {
      if (frame.body.size() > host_.inbound_options().max_payload_bytes) {
        trouble = "a payload is longer than the limit";
      } else if (!host_.deliver_payload(*this, frame.body)) {
        trouble = "a payload makes no sense";
      }
      if (closed_) return;
    } else {
      trouble = "a frame of the wrong direction";
    }
  }
  // What came whole before the trouble is good.
  if (bytes > 0) host_.deliver(*this, std::exchange(messages_, {}), bytes);
  if (closed_) return;
  if (!trouble.empty()) return fail(trouble);
  if (pong_due_ && !writing_) write_pong();
  make_room(wanted);
  read();
}

// Makes the buffer able to hold a frame of that size (or as much of it as may come next), and the next read large.
void Inbound::make_room(size_t frame_bytes) {
  const size_t have = end_ - begin_;
  size_t capacity = capacity_;
  if (have == 0 && capacity > kKeepBytes) capacity = kBufferBytes;
  // Doubling as bytes come, not at once what a header claims.
  while (capacity < kBufferBytes || (capacity < frame_bytes && have * 2 > capacity)) capacity *= 2;
  if (capacity != capacity_) {
    auto bigger = std::make_unique_for_overwrite<char[]>(capacity);
    std::memcpy(bigger.get(), buffer_.get() + begin_, have);
    buffer_ = std::move(bigger);
    capacity_ = capacity;
  } else if (begin_ > 0) {
    // Moving the rest to the front is worth it when the frame would not fit, or when it is short.
    if (have == 0 || begin_ + frame_bytes > capacity_ || capacity_ - end_ < kBufferBytes / 4) {
      std::memmove(buffer_.get(), buffer_.get() + begin_, have);
    } else {
      return;
    }
  }
  begin_ = 0;
  end_ = have;
}

void Inbound::write_pong() {
  pong_due_ = false;
  output_ = small_frame(FrameKind::kPong, pong_value_, frames_sent_++);
  writing_ = true;
  socket_.write_all(asio::buffer(output_), [self = shared_from_this()](const error_code& error, size_t) {
    if (self->closed_) return;
    self->writing_ = false;
    if (error) return self->fail(self->socket_.why(error));
    if (self->pong_due_) self->write_pong();
  });
}

}  // namespace kv::raft
