// One HTTP/2 connection that makes unary gRPC calls, as cheaply as the protocol allows.
//
// It takes shortcuts that a load generator may: windows are opened wide once, request headers are encoded once per
// method and then sent as indexes into the peer's table, answers' headers that repeat byte for byte are not decoded
// again. What it can't shortcut it obeys: the peer's settings and windows, pings, GOAWAY.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

struct nghttp2_hd_inflater;

namespace kv::load {

// The connection is lost or the peer broke the protocol; the text says how.
struct ConnectionError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

constexpr int kNoStatus = -1;

// How a call ended.
struct Outcome {
  uint32_t slot = 0;
  int grpc_status = kNoStatus;    // as the trailers say; kNoStatus when the stream was reset or there was none
  std::string_view grpc_message;  // valid during the callback, like `body`
  std::string_view body;          // the answer's one message without its prefix; empty when there was none
};

class H2Client {
 public:
  // Connects (blocking, a few seconds at most) and exchanges settings. `slots` calls may be in flight, numbered from 0.
  // ConnectionError when nobody answers, or the peer allows fewer calls at a time.
  H2Client(const std::string& endpoint, uint32_t slots);
  ~H2Client();
  H2Client(const H2Client&) = delete;
  H2Client& operator=(const H2Client&) = delete;

  int fd() const { return fd_; }

  // A call on a free slot. `path` must outlive the connection. The message is copied; it is sent by flush().
  void call(uint32_t slot, const std::string& path, std::string_view message);

  // A stream on a free slot that stays open in both directions: `on_message` gets what comes, one message at a time,
  // while read() runs. For as little as fits the windows that a connection begins with.
  void open(uint32_t slot, const std::string& path);
  void send(uint32_t slot, std::string_view message);
  std::function<void(uint32_t slot, std::string_view message)> on_message;

  // Sends what waits. True when all is sent; false when the socket is full: call again when it can be written.
  bool flush();

  // Reads what has come and calls `done(const Outcome&)` for each call that ended. It may make new calls.
  template <typename Done>
  void read(Done&& done) {
    receive();
    while (const uint8_t* frame = next_frame()) {
      const uint32_t ended = handle(frame);
      if (ended == kNone) continue;
      Slot& slot = slots_[ended];
      done(outcome(ended, slot));
      slot.body.clear();
      slot.message.clear();
    }
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Slot {
    uint32_t stream = 0;  // 0: free
    int grpc_status = kNoStatus;
    std::string message;
    std::string body;
    bool open = false;  // a stream of messages
    uint64_t unacknowledged = 0;
  };
  struct Waiting {  // a call that the peer's window has no room for yet
    uint32_t slot;
    const std::string* path;
    std::string message;
  };
  // What a header block says.
  struct Headers {
    int grpc_status = kNoStatus;
    std::string message;
  };

  void connect(const std::string& endpoint);
  void start(uint32_t slot, const std::string& path);
  void send_now(uint32_t slot, const std::string& path, std::string_view message);
  const std::string& header_block(const std::string& path);
  void receive();
  const uint8_t* next_frame();
  uint32_t handle(const uint8_t* frame);  // the slot whose call ended, or kNone
  void take_messages(uint32_t index, std::string_view bytes);
  void append_message(uint32_t stream, std::string_view message, bool last);
  uint32_t handle_headers(const uint8_t* frame, size_t length);
  uint32_t handle_data(const uint8_t* frame, size_t length);
  void handle_settings(const uint8_t* frame, size_t length);
  const Headers& decode(std::string_view block);
  uint32_t slot_of(uint32_t stream) const;
  uint32_t end(uint32_t slot);
  Outcome outcome(uint32_t index, Slot& slot) const;
  void send_waiting();

  int fd_ = -1;
  std::string authority_;
  std::vector<Slot> slots_;

  std::string out_;
  size_t out_from_ = 0;
  std::vector<uint8_t> in_;
  size_t in_from_ = 0;
  size_t in_to_ = 0;

  // Streams in flight by (id / 2) modulo the ring's size, a power of two; kNone where there is none.
  std::vector<uint32_t> ring_;
  uint32_t next_stream_ = 1;

  // Request headers: how many entries our side has added to the peer's table, and where each is.
  bool settings_seen_ = false;
  bool may_index_ = true;
  bool table_given_up_ = false;
  uint32_t added_ = 0;
  std::unordered_map<std::string, uint32_t> added_at_;                               // "name\0value" -> position
  std::unordered_map<const std::string*, std::pair<uint32_t, std::string>> blocks_;  // path -> added_ then, block
  std::string block_;

  int64_t send_window_ = 65535;
  int64_t stream_window_ = 65535;
  uint32_t max_streams_ = UINT32_MAX;
  size_t max_frame_ = 16384;
  uint64_t unacknowledged_ = 0;  // bytes received since the connection's window was last opened
  std::deque<Waiting> waiting_;

  // Answers' headers. Blocks which only refer to the table repeat; they mean the same until the table changes.
  nghttp2_hd_inflater* inflater_ = nullptr;
  std::vector<std::pair<std::string, Headers>> known_blocks_;
  Headers decoded_;
  std::string partial_block_;  // of HEADERS that go on in CONTINUATION
  uint32_t partial_stream_ = 0;
  uint8_t partial_flags_ = 0;
};

}  // namespace kv::load
