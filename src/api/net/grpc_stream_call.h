// A streaming call of any kind: messages come in one by one on the I/O thread, and go out from any thread.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "api/net/drain_waiters.h"
#include "api/net/grpc_call.h"

namespace kv::api {

class GrpcStreamCall final : public GrpcCall, public ServerStream, public std::enable_shared_from_this<GrpcStreamCall> {
 public:
  explicit GrpcStreamCall(const Origin& origin);

  CallContext& context() { return *context_; }
  // Until on_closed(). `self` is this.
  void keep(std::shared_ptr<GrpcStreamCall> self) { self_ = std::move(self); }

  // ServerStream
  const CallPtr& call() const override { return context_; }
  bool write(const google::protobuf::Message& response) override;
  bool write_encoded(const google::protobuf::Message& prototype, std::string_view own,
                     std::shared_ptr<const void> owner, std::string_view shared) override;
  void finish(Status status) override;
  size_t queued_bytes() const override { return queued_bytes_.load(std::memory_order_relaxed); }
  void on_drained(size_t below_bytes, absl::AnyInvocable<void()> ready) override;
  void pause_reading() override { paused_.store(true, std::memory_order_relaxed); }
  void resume_reading() override;

  // Http2Stream
  void on_start() override;
  void on_data(std::string_view bytes) override;
  void on_end() override;
  void on_closed() override;
  std::pair<size_t, Next> produce(char* into, size_t room) override;

 private:
  // A frame on its way out: bytes of this call, then bytes that other calls may send too.
  struct Output {
    FrameBytes own;
    std::shared_ptr<const void> owner = nullptr;
    std::string_view shared = {};

    size_t size() const { return own.size() + shared.size(); }
    // Copies up to `n` bytes, all from one of the two; returns how many.
    size_t copy(size_t from, size_t n, char* into) const;
  };
  void on_timer() override;
  bool enqueue(Output&& output);
  // Hands requests over until the handler pauses, the bytes end, or something is wrong.
  void read_messages(std::string_view bytes);
  void read_end();
  void account_for_input();
  // Takes what write() and finish() left, on the I/O thread.
  void take_output();
  void wake_io_thread(bool needed);
  // Ends the call from the door's side: the handler is told by on_cancel.
  void fail(Status status);
  // No more is written or read; calls on_cancel if the handler has not finished the stream itself.
  void let_go(bool tell_handler);

  const std::shared_ptr<CallContext> context_;
  std::shared_ptr<GrpcStreamCall> self_;

  // The I/O thread's: the way in.
  std::string backlog_;  // what came while the handler did not want to read; at most a stream's window
  size_t held_input_ = 0;
  uint64_t requests_ = 0;
  bool input_ended_ = false;  // the client has sent all
  bool half_close_told_ = false;
  bool reading_ = false;  // read_messages() is on the stack
  // ... and the way out.
  std::deque<Output> sending_;
  size_t sent_of_first_ = 0;
  bool headers_sent_ = false;
  bool end_taken_ = false;  // the status is known: after `sending_` come the trailers
  bool end_sent_ = false;
  Status end_status_;

  std::atomic<bool> paused_{false};
  std::atomic<size_t> queued_bytes_{0};
  std::atomic<bool> over_{false};  // write() refuses
  DrainWaiters waiters_{queued_bytes_, over_};

  std::mutex mutex_;             // guards all below
  std::vector<Output> written_;  // bounded by the handler, see Sink
  bool finished_ = false;
  Status status_;
  bool woken_ = false;  // take_output() is on its way
};

}  // namespace kv::api
