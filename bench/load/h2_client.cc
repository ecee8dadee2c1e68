#include "bench/load/h2_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "bench/load/h2_frames.h"

namespace kv::load {
namespace {

constexpr size_t kReadBuffer = 512 << 10;
constexpr uint32_t kOpenWindow = 1U << 30;
constexpr uint32_t kReopenAt = 1U << 28;
constexpr int kConnectTimeoutMs = 5000;
constexpr uint32_t kStaticEntries = 61;
constexpr size_t kKnownBlocks = 16;

[[noreturn]] void fail(const std::string& text) { throw ConnectionError(text); }

// True when the block refers only to entries of the table, in one byte each: it changes nothing in the table.
bool only_indexes(std::string_view block) {
  return std::all_of(block.begin(), block.end(), [](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return byte > 0x80 && byte < 0xff;
  });
}

}  // namespace

H2Client::H2Client(const std::string& endpoint, uint32_t slots)
    : authority_(endpoint), slots_(slots), in_(kReadBuffer), ring_(std::bit_ceil(slots * 4U + 16U), kNone) {
  connect(endpoint);
  if (nghttp2_hd_inflate_new(&inflater_) != 0) fail("no memory");

  out_ += kPreface;
  std::string settings;
  append_setting(settings, 2, 0);           // ENABLE_PUSH
  append_setting(settings, 4, 0x7fffffff);  // INITIAL_WINDOW_SIZE
  append_frame_header(out_, settings.size(), kSettings, 0, 0);
  out_ += settings;
  append_window_update(out_, 0, kOpenWindow);
  if (!flush()) fail(endpoint + ": can't send the preface");

  // The peer's settings decide how requests are encoded, so the first call waits for them.
  while (!settings_seen_) {
    pollfd waiting{fd_, POLLIN, 0};
    if (poll(&waiting, 1, kConnectTimeoutMs) != 1) fail(endpoint + ": connected, but no HTTP/2 settings came");
    read([](const Outcome&) {});
  }
  flush();
  if (max_streams_ < slots) {
    fail(endpoint + ": the server allows " + std::to_string(max_streams_) + " calls at a time on a connection");
  }
}

H2Client::~H2Client() {
  if (inflater_ != nullptr) nghttp2_hd_inflate_del(inflater_);
  if (fd_ >= 0) close(fd_);
}

void H2Client::connect(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  unsigned port = 0;
  const std::string host = endpoint.substr(0, colon);
  if (colon != std::string::npos) std::from_chars(endpoint.data() + colon + 1, endpoint.data() + endpoint.size(), port);
  if (port == 0 || port > 65535 || inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    fail("not an IPv4 address and port: " + endpoint);
  }
  address.sin_port = htons(static_cast<uint16_t>(port));
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    fail(endpoint + ": " + std::strerror(errno));
  }
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
}

// The first request with a path adds its headers to the peer's table, the later ones are five indexes.
const std::string& H2Client::header_block(const std::string& path) {
  auto& [added_then, block] = blocks_[&path];
  if (!block.empty() && added_then == added_) return block;

  block = "\x83\x86";  // :method POST, :scheme http, from the static table
  const auto field = [&](uint8_t static_name, std::string_view name, std::string_view value) {
    std::string entry(name);
    entry += '\0';
    entry += value;
    if (const auto found = added_at_.find(entry); found != added_at_.end()) {
      block += static_cast<char>(0x80 | (kStaticEntries + added_ - found->second));
      return;
    }
    block += static_cast<char>((may_index_ ? 0x40 : 0x00) | (may_index_ || static_name < 15 ? static_name : 15));
    if (!may_index_ && static_name >= 15) block += static_cast<char>(static_name - 15);
    if (static_name == 0) append_hpack_string(block, name);
    append_hpack_string(block, value);
    if (may_index_) added_at_[entry] = added_++;
  };
  // Positions are counted from the table's oldest entry: a later addition moves all indexes by one.
  field(4, ":path", path);
  field(1, ":authority", authority_);
  field(31, "content-type", "application/grpc");
  field(58, "user-agent", "kvd-load");
  field(0, "te", "trailers");
  if (may_index_ && !only_indexes(block)) {
    // This block may be sent once; the next one says the same by index.
    block_ = std::move(block);
    block.clear();
    return block_;
  }
  added_then = added_;
  return block;
}

void H2Client::call(uint32_t slot, const std::string& path, std::string_view message) {
  const auto size = static_cast<int64_t>(message.size() + 5);
  if (size > stream_window_) fail("a message of " + std::to_string(size) + " bytes is beyond the server's window");
  if (!waiting_.empty() || size > send_window_) {
    waiting_.push_back({slot, &path, std::string(message)});
    return;
  }
  send_now(slot, path, message);
}

void H2Client::open(uint32_t index, const std::string& path) {
  start(index, path);
  slots_[index].open = true;
}

void H2Client::send(uint32_t index, std::string_view message) { append_message(slots_[index].stream, message, false); }

void H2Client::send_now(uint32_t index, const std::string& path, std::string_view message) {
  start(index, path);
  append_message(slots_[index].stream, message, true);
}

void H2Client::start(uint32_t index, const std::string& path) {
  Slot& slot = slots_[index];
  const size_t mask = ring_.size() - 1;
  while (ring_[(next_stream_ >> 1) & mask] != kNone) next_stream_ += 2;  // passed over by the ring, a legal gap
  if (next_stream_ >= 1U << 31) fail("out of stream ids");
  slot.stream = next_stream_;
  slot.grpc_status = kNoStatus;
  ring_[(next_stream_ >> 1) & mask] = index;
  next_stream_ += 2;

  const std::string& block = header_block(path);
  // A peer whose table is smaller than what we would use of it gets nothing for it, and is told so first (RFC
  // 7541, 4.2).
  const std::string_view first_word = may_index_ || table_given_up_ ? "" : "\x20";
  table_given_up_ = table_given_up_ || !may_index_;
  append_frame_header(out_, first_word.size() + block.size(), kHeaders, kEndHeaders, slot.stream);
  out_ += first_word;
  out_ += block;
}

void H2Client::append_message(uint32_t stream, std::string_view message, bool last) {
  const size_t total = message.size() + 5;
  send_window_ -= static_cast<int64_t>(total);
  const size_t first = std::min(total, max_frame_);
  append_frame_header(out_, first, kData, last && first == total ? kEndStream : 0, stream);
  out_ += '\0';
  append_u32(out_, static_cast<uint32_t>(message.size()));
  out_ += message.substr(0, first - 5);
  for (size_t sent = first; sent < total;) {
    const size_t piece = std::min(total - sent, max_frame_);
    append_frame_header(out_, piece, kData, last && sent + piece == total ? kEndStream : 0, stream);
    out_ += message.substr(sent - 5, piece);
    sent += piece;
  }
}

void H2Client::send_waiting() {
  while (!waiting_.empty() && static_cast<int64_t>(waiting_.front().message.size() + 5) <= send_window_) {
    const Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    send_now(next.slot, *next.path, next.message);
  }
}

bool H2Client::flush() {
  while (out_from_ < out_.size()) {
    const ssize_t n = ::send(fd_, out_.data() + out_from_, out_.size() - out_from_, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EAGAIN) return false;
      if (errno == EINTR) continue;
      fail(authority_ + ": " + std::strerror(errno));
    }
    out_from_ += static_cast<size_t>(n);
  }
  out_.clear();
  out_from_ = 0;
  return true;
}

void H2Client::receive() {
  if (in_from_ > 0) {
    std::memmove(in_.data(), in_.data() + in_from_, in_to_ - in_from_);
    in_to_ -= in_from_;
    in_from_ = 0;
  }
  const ssize_t n = recv(fd_, in_.data() + in_to_, in_.size() - in_to_, 0);
  if (n == 0) fail(authority_ + ": the server closed the connection");
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    fail(authority_ + ": " + std::strerror(errno));
  }
  in_to_ += static_cast<size_t>(n);
}

const uint8_t* H2Client::next_frame() {
  const size_t available = in_to_ - in_from_;
  if (available < kFrameHeader) return nullptr;
  const uint8_t* frame = in_.data() + in_from_;
  const size_t whole = kFrameHeader + frame_length(frame);
  if (whole > in_.size()) fail(authority_ + ": a frame of " + std::to_string(whole) + " bytes");
  if (available < whole) return nullptr;
  in_from_ += whole;
  return frame;
}

uint32_t H2Client::slot_of(uint32_t stream) const {
  const uint32_t slot = ring_[(stream >> 1) & (ring_.size() - 1)];
  return slot != kNone && slots_[slot].stream == stream ? slot : kNone;
}

uint32_t H2Client::end(uint32_t index) {
  Slot& slot = slots_[index];
  ring_[(slot.stream >> 1) & (ring_.size() - 1)] = kNone;
  slot.stream = 0;
  return index;
}

Outcome H2Client::outcome(uint32_t index, Slot& slot) const {
  Outcome out{.slot = index, .grpc_status = slot.grpc_status, .grpc_message = slot.message, .body = {}};
  if (slot.body.size() >= 5) {
    const auto* prefix = reinterpret_cast<const uint8_t*>(slot.body.data());
    if (prefix[0] != 0 || read_u32(prefix + 1) != slot.body.size() - 5) {
      fail(authority_ + ": an answer that is not one uncompressed message");
    }
    out.body = std::string_view(slot.body).substr(5);
  }
  return out;
}

uint32_t H2Client::handle(const uint8_t* frame) {
  const size_t length = frame_length(frame);
  const uint8_t flags = frame[4];
  const uint32_t stream = read_u32(frame + 5) & 0x7fffffff;
  const uint8_t* payload = frame + kFrameHeader;
  switch (frame[3]) {
    case kData: return handle_data(frame, length);
    case kHeaders:
    case kContinuation: return handle_headers(frame, length);
    case kReset: {
      const uint32_t slot = slot_of(stream);
      if (slot == kNone) return kNone;
      slots_[slot].grpc_status = kNoStatus;
      slots_[slot].message = "reset by the server, code " + std::to_string(length == 4 ? read_u32(payload) : 0);
      return end(slot);
    }
    case kSettings:
      if ((flags & kAck) == 0) handle_settings(payload, length);
      return kNone;
    case kPing:
      if ((flags & kAck) == 0 && length == 8) {
        append_frame_header(out_, 8, kPing, kAck, 0);
        out_.append(reinterpret_cast<const char*>(payload), 8);
      }
      return kNone;
    case kGoaway:
      fail(authority_ + ": the server says goodbye, code " + std::to_string(length >= 8 ? read_u32(payload + 4) : 0) +
           " " + std::string(reinterpret_cast<const char*>(payload) + 8, length > 8 ? length - 8 : 0));
    case kWindowUpdate:
      // A single stream's window is never used up: a call is smaller than what it begins with.
      if (stream == 0 && length == 4) {
        send_window_ += read_u32(payload);
        send_waiting();
      }
      return kNone;
    default: return kNone;  // unknown types are to be ignored
  }
}

void H2Client::handle_settings(const uint8_t* payload, size_t length) {
  for (size_t i = 0; i + 6 <= length; i += 6) {
    const uint32_t value = read_u32(payload + i + 2);
    switch (payload[i] << 8 | payload[i + 1]) {
      case 1: may_index_ = value >= 4096; break;
      case 3: max_streams_ = value; break;
      case 4: stream_window_ = value; break;
      case 5: max_frame_ = value; break;
      default: break;
    }
  }
  settings_seen_ = true;
  append_frame_header(out_, 0, kSettings, kAck, 0);
}

uint32_t H2Client::handle_data(const uint8_t* frame, size_t length) {
  const uint8_t flags = frame[4];
  const uint32_t stream = read_u32(frame + 5) & 0x7fffffff;
  const uint8_t* payload = frame + kFrameHeader;
  unacknowledged_ += length;
  if (unacknowledged_ >= kReopenAt) {
    append_window_update(out_, 0, static_cast<uint32_t>(unacknowledged_));
    unacknowledged_ = 0;
  }
  size_t size = length;
  if ((flags & kPadded) != 0) {
    if (length == 0 || payload[0] >= length) fail(authority_ + ": bad padding");
    size = length - 1 - payload[0];
    ++payload;
  }
  const uint32_t slot = slot_of(stream);
  if (slot == kNone) return kNone;
  if (slots_[slot].open) {
    slots_[slot].unacknowledged += length;
    if (slots_[slot].unacknowledged >= kReopenAt) {
      append_window_update(out_, stream, static_cast<uint32_t>(std::exchange(slots_[slot].unacknowledged, 0)));
    }
    take_messages(slot, std::string_view(reinterpret_cast<const char*>(payload), size));
    return (flags & kEndStream) != 0 ? end(slot) : kNone;
  }
  slots_[slot].body.append(reinterpret_cast<const char*>(payload), size);
  return (flags & kEndStream) != 0 ? end(slot) : kNone;
}

// Hands over the whole messages among what has come; the rest waits in the slot.
void H2Client::take_messages(uint32_t index, std::string_view bytes) {
  std::string& kept = slots_[index].body;
  std::string joined;
  if (!kept.empty()) {
    joined = std::move(kept);
    joined += bytes;
    bytes = joined;
    kept.clear();
  }
  while (bytes.size() >= 5) {
    const size_t size = read_u32(reinterpret_cast<const uint8_t*>(bytes.data()) + 1);
    if (bytes.size() < 5 + size) break;
    on_message(index, bytes.substr(5, size));
    bytes.remove_prefix(5 + size);
  }
  kept.assign(bytes);
}

uint32_t H2Client::handle_headers(const uint8_t* frame, size_t length) {
  const uint8_t* payload = frame + kFrameHeader;
  uint8_t flags = frame[4];
  uint32_t stream = read_u32(frame + 5) & 0x7fffffff;
  std::string_view block(reinterpret_cast<const char*>(payload), length);
  if (frame[3] == kHeaders) {
    size_t padding = 0;
    if ((flags & kPadded) != 0 && !block.empty()) {
      padding = payload[0];
      block.remove_prefix(1);
    }
    if ((flags & kPriority) != 0 && block.size() >= 5) block.remove_prefix(5);
    if (padding > block.size()) fail(authority_ + ": bad padding");
    block.remove_suffix(padding);
  } else {
    if (stream != partial_stream_) fail(authority_ + ": a continuation of nothing");
    flags |= partial_flags_;
  }
  if ((flags & kEndHeaders) == 0) {
    partial_block_ += block;
    partial_stream_ = stream;
    partial_flags_ = flags & kEndStream;
    return kNone;
  }
  if (!partial_block_.empty()) {
    partial_block_ += block;
    block = partial_block_;
  }
  const Headers& headers = decode(block);
  partial_block_.clear();
  partial_stream_ = 0;

  const uint32_t slot = slot_of(stream);
  if (slot == kNone) return kNone;
  if (headers.grpc_status != kNoStatus) slots_[slot].grpc_status = headers.grpc_status;
  if (!headers.message.empty()) slots_[slot].message = headers.message;
  return (flags & kEndStream) != 0 ? end(slot) : kNone;
}

const H2Client::Headers& H2Client::decode(std::string_view block) {
  const bool repeats = only_indexes(block);
  if (repeats) {
    for (const auto& [known, headers] : known_blocks_) {
      if (known == block) return headers;
    }
  } else {
    known_blocks_.clear();  // the table may change: the same indexes may mean something else from here on
  }

  decoded_ = {};
  const auto* in = reinterpret_cast<const uint8_t*>(block.data());
  size_t left = block.size();
  for (;;) {
    nghttp2_nv field;
    int flags = 0;
    const ssize_t used = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, in, left, 1);
    if (used < 0) fail(authority_ + ": headers that can't be decoded");
    in += used;
    left -= static_cast<size_t>(used);
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      const std::string_view name(reinterpret_cast<const char*>(field.name), field.namelen);
      const std::string_view value(reinterpret_cast<const char*>(field.value), field.valuelen);
      if (name == "grpc-status") std::from_chars(value.data(), value.data() + value.size(), decoded_.grpc_status);
      if (name == "grpc-message") decoded_.message = value;
      if (name == ":status" && value != "200") decoded_.message = "HTTP status " + std::string(value);
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && left == 0) break;
  }
  nghttp2_hd_inflate_end_headers(inflater_);
  if (!repeats || known_blocks_.size() >= kKnownBlocks) return decoded_;
  known_blocks_.emplace_back(block, decoded_);
  return known_blocks_.back().second;
}

}  // namespace kv::load
