// What HTTP/1.1 and HTTP/2 have in common of a plain request's exchange: which route takes it, the queue of what the
// handler writes, back-pressure, and who is told when it is over. How bytes come and go is the subclasses' matter.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/net/core.h"
#include "api/net/drain_waiters.h"
#include "api/net/http.h"
#include "api/net/io_thread.h"
#include "api/net/timer_wheel.h"

namespace kv::api {

class OpenExchange : public HttpExchange, public std::enable_shared_from_this<OpenExchange> {
 public:
  const HttpRequest& request() const override { return *request_; }
  void pause_reading() override { paused_.store(true, std::memory_order_relaxed); }
  void resume_reading() override;
  void respond(HttpResponse response) override;
  bool start(HttpResponse head) override;
  bool write(std::string piece) override;
  void finish() override { end(false); }
  void break_off() override { end(true); }
  size_t queued_bytes() const override { return queued_bytes_.load(std::memory_order_relaxed); }
  void on_drained(size_t below_bytes, absl::AnyInvocable<void()> ready) override;
  void post(absl::AnyInvocable<void()> work) override { thread_->post(std::move(work)); }
  void call_after(int64_t ms, absl::AnyInvocable<void()> due) override;

 protected:
  // What the handler has written since the last time.
  struct Output {
    std::optional<HttpResponse> head;
    bool whole = false;  // the head has all of the body
    std::vector<std::string> pieces;
    bool ended = false;
    bool broken_off = false;
  };

  OpenExchange(std::shared_ptr<ServerCore> core, IoThread& thread, std::shared_ptr<HttpRequest> request);

  // All below: on the I/O thread.
  // Finds the handler and calls it; or answers that there is none.
  void begin();
  bool paused() const { return paused_.load(std::memory_order_relaxed); }
  void deliver_body(std::string_view piece);
  void deliver_end();
  // Ends a request that the door refuses: with `response`, unless the answer has begun (false), and on_cancel.
  bool refuse(HttpResponse response);
  Output take();
  // `bytes` of what was taken need no more memory.
  void release(size_t bytes);
  bool ended() const;                            // by the handler, or by the door
  bool streaming() const { return streaming_; }  // a stream handler has it
  // The last call: the answer has been sent, or the client is gone.
  void close();

  // take() has something new.
  virtual void output_ready() = 0;
  // paused() has become false.
  virtual void read_again() = 0;

  const std::shared_ptr<ServerCore> core_;
  const std::shared_ptr<IoThread> thread_;

 private:
  struct Alarm final : Timer {
    void on_timer() override { std::exchange(due, nullptr)(); }
    absl::AnyInvocable<void()> due;
  };

  void end(bool broken_off);
  void wake(bool needed);
  // Nothing more is read or written.
  void let_go(bool tell_handler);

  const std::shared_ptr<HttpRequest> request_;
  HttpFields access_headers_;  // of the answer; set before the handler is called
  bool streaming_ = false;
  bool end_told_ = false;
  Alarm alarm_;
  std::atomic<bool> paused_{false};
  std::atomic<size_t> queued_bytes_{0};
  std::atomic<bool> over_{false};  // write() refuses
  DrainWaiters waiters_{queued_bytes_, over_};

  mutable std::mutex mutex_;  // guards all below
  Output written_;            // bounded by the handler, see HttpExchange::write
  bool started_ = false;
  bool ended_ = false;
  bool woken_ = false;  // output_ready() is on its way
};

}  // namespace kv::api
