// One I/O thread: an io_context, its timers, the connections that live on it, and the inbox through which other
// threads reach them. It works in turns: run what is ready, take the whole inbox, then let every connection that
// has something to say write once. So a burst of a thousand finished calls costs one wake-up, and all answers of a
// turn leave a connection in one write.
#pragma once

#include <absl/functional/any_invocable.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "api/net/timer_wheel.h"

namespace kv::api {

// What lives on an I/O thread and is told when a turn ends.
class TurnMember : public std::enable_shared_from_this<TurnMember> {
 public:
  virtual ~TurnMember() = default;
  // The turn ends and mark_dirty() was called in it: write. On the thread.
  virtual void end_of_turn() = 0;
  // The thread stops: close, without a word. On the thread.
  virtual void abandon() = 0;

 private:
  friend class IoThread;
  bool dirty_ = false;
};

class IoThread : public std::enable_shared_from_this<IoThread> {
 public:
  using Work = absl::AnyInvocable<void()>;
  static constexpr size_t kReadBytes = 256 << 10;
  static constexpr size_t kWriteBytes = 256 << 10;

  // Calls keep their thread alive by a shared_ptr, since they may end after the server has gone; and the thread
  // keeps `kept`, for what else they need.
  IoThread(std::string name, std::shared_ptr<const void> kept);
  ~IoThread();

  void start();
  // Closes what lives here and joins. Work that is posted from then on is dropped.
  void stop();

  // Runs `work` on this thread in its next turn. Any thread.
  void post(Work work);

  // All below: on this thread, or before start().
  bool is_current() const { return current_ == this; }
  boost::asio::io_context& context() { return context_; }
  TimerWheel& timers() { return timers_; }
  // The time, as of the last refresh_now(): what a call costs does not include asking the clock for every timer.
  int64_t now_ms() const { return now_ms_; }
  // For handlers that Asio runs, at their beginning: the thread may have slept since the last turn.
  void refresh_now();

  // Keeps `member` until release(), and then until the turn ends.
  void adopt(std::shared_ptr<TurnMember> member);
  void release(TurnMember* member);
  // Calls `visit` for each member; it may release what it is given.
  void for_each_member(const std::function<void(TurnMember&)>& visit);
  void mark_dirty(TurnMember& member);
  // Connections that live here and have not said anything inside TLS yet, oldest first. They enter and leave.
  std::list<TurnMember*>& handshaking() { return handshaking_; }

  // Scratch memory that connections share: its content is lost when the function that uses it returns.
  char* read_buffer() { return read_buffer_.get(); }
  char* write_buffer() { return write_buffer_.get(); }

 private:
  void run();
  void run_inbox();
  void arm_timer();

  static thread_local IoThread* current_;

  const std::string name_;
  const std::shared_ptr<const void> kept_;
  boost::asio::io_context context_{1};
  boost::asio::steady_timer timer_{context_};
  TimerWheel timers_;
  int64_t armed_ms_ = TimerWheel::kNever;
  int64_t now_ms_;
  std::unordered_map<TurnMember*, std::shared_ptr<TurnMember>> members_;
  std::list<TurnMember*> handshaking_;
  std::vector<std::shared_ptr<TurnMember>> released_;  // until the turn ends: their functions may be on the stack
  std::vector<std::shared_ptr<TurnMember>> dirty_;
  std::vector<std::shared_ptr<TurnMember>> writing_;
  std::vector<Work> taken_;
  std::unique_ptr<char[]> read_buffer_;
  std::unique_ptr<char[]> write_buffer_;
  bool stopping_ = false;

  std::mutex mutex_;         // guards the three below
  std::vector<Work> inbox_;  // its bound is the number of open calls, which the sessions limit
  bool woken_ = false;       // a wake-up is on its way, or the thread is about to look
  bool closed_ = false;

  std::thread thread_;
};

}  // namespace kv::api
