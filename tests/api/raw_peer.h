// A client that sends any bytes it likes: for what no well-behaved client does, and to see frames as they are.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kv::test {

constexpr int kPatienceMs = 10000;  // how long a test waits for what must come

// A TCP connection to 127.0.0.1, closed by the destructor.
class RawPeer {
 public:
  // A small `receive_buffer` makes a peer that soon takes no more.
  explicit RawPeer(uint16_t port, int receive_buffer = 0);
  ~RawPeer();
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  // False when the connection is broken, or takes nothing for kPatienceMs.
  bool send(std::string_view bytes);
  // What has come, at least one byte; empty at the end of the stream or after `timeout_ms`.
  std::string receive(int timeout_ms = kPatienceMs);
  // Reads until `text` is part of what has come, and returns all of it; what came so far when it doesn't come.
  std::string receive_until(std::string_view text);
  // Reads until the server closes; true when it does, whatever else comes.
  bool closes(int timeout_ms = kPatienceMs);
  void shutdown_write();

 private:
  int fd_ = -1;
  bool ended_ = false;
};

enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};
constexpr uint8_t kEndStream = 1;
constexpr uint8_t kAck = 1;
constexpr uint8_t kEndHeaders = 4;

struct Frame {
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
  std::string payload;
};

using Fields = std::vector<std::pair<std::string, std::string>>;

// The answer to a request, put together.
struct Reply {
  Fields headers;
  std::string body;
  Fields trailers;
  bool ended = false;  // by END_STREAM
  bool reset = false;  // by RST_STREAM
  bool gone_away = false;

  std::string header(const std::string& name) const;
  // grpc-status, from the trailers or (an error alone) the headers; -1 when there is none.
  int grpc_status() const;
  std::string grpc_message() const;
};

// HTTP/2 by hand: frames are what the test says, nothing is checked or paced.
class RawHttp2 {
 public:
  // Sends the preface, `settings` (a SETTINGS payload) and `more` in one go, and takes the server's SETTINGS.
  explicit RawHttp2(uint16_t port, std::string_view settings = {}, int receive_buffer = 0, std::string_view more = {});
  ~RawHttp2();

  RawPeer& peer() { return peer_; }
  bool send(const Frame& frame);
  // Without waiting for the server's flow control.
  bool send_headers(uint32_t stream, const Fields& fields, uint8_t flags);
  bool send_data(uint32_t stream, std::string_view bytes, uint8_t flags = 0);
  bool send_ping();
  bool reset(uint32_t stream);
  bool open_window(uint32_t stream, uint32_t bytes);

  // The next frame; nothing at the end of the connection or after `timeout_ms`. Acknowledges the server's SETTINGS
  // by itself.
  std::optional<Frame> next(int timeout_ms = kPatienceMs);
  // The next frame of that type, out of turn: the others wait for next(). Not for HEADERS.
  std::optional<Frame> next_of(FrameType type, int timeout_ms = kPatienceMs);
  // Decodes a whole header block. Every block must be decoded, in order.
  Fields decode(const Frame& headers);

  // Reads until the answer on `stream` is complete, reset, or the connection has gone; gives back the windows.
  Reply read_reply(uint32_t stream);
  // A gRPC request in one go, and its answer.
  Reply call(uint32_t stream, const std::string& path, std::string_view body, const Fields& extra = {});

 private:
  struct Inflater;
  std::optional<Frame> read(int timeout_ms);

  RawPeer peer_;
  std::deque<Frame> skipped_;
  std::string buffer_;
  std::unique_ptr<Inflater> inflater_;
};

Fields grpc_fields(const std::string& path, const Fields& extra = {});
// A header block that refers to no table.
std::string encode_fields(const Fields& fields);
std::string encode_frame(const Frame& frame);
std::string setting(uint16_t id, uint32_t value);
std::string big_endian_32(uint32_t value);
// The five-byte prefix and the message.
std::string grpc_frame(std::string_view message, bool compressed = false);
uint32_t error_code(const Frame& goaway_or_reset);
// The debug data of a GOAWAY.
std::string debug_data(const Frame& goaway);

}  // namespace kv::test
