// One accepted connection: tells HTTP/2 from HTTP/1.1 by the first bytes, then carries bytes between the socket
// and the session of that protocol. Reads in big pieces into the thread's buffer, writes once a turn.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/net/core.h"
#include "api/net/io_thread.h"
#include "api/net/session.h"
#include "api/net/socket.h"
#include "api/net/timer_wheel.h"

namespace kv::api {

class Connection final : public TurnMember, private SessionHost, private Timer {
 public:
  // Adds itself to `thread`, on which this and everything else is called.
  static void start(std::shared_ptr<ServerCore> core, IoThread& thread, std::unique_ptr<Socket> socket);

  Connection(std::shared_ptr<ServerCore> core, IoThread& thread, std::unique_ptr<Socket> socket);
  ~Connection() override;

  void end_of_turn() override;
  void abandon() override { close(); }
  // See Session::drain.
  void drain();

 private:
  enum class State : uint8_t {
    kSniffing,   // which protocol is it?
    kTalking,    // session_ speaks
    kLingering,  // all is said; wait for the peer to close, so that a reset does not overtake our last words
    kClosed,
  };

  IoThread& thread() override { return thread_; }
  const std::string& peer() const override { return socket_->peer(); }
  bool secure() const override { return socket_->secure(); }
  const std::optional<std::string>& certificate_user() const override { return certificate_user_; }
  void want_write() override { thread_.mark_dirty(*this); }
  void give_up() override;
  void resume_reading() override;
  void on_timer() override;

  void wait_readable();
  void on_readable();
  void on_end_of_input();
  void receive(std::string_view bytes);
  void start_session(bool http2);
  void queue_up();
  void leave_queue();
  // The bytes that the socket took; fewer than `size` when it takes no more for now, or is broken.
  size_t write(const char* data, size_t size);
  void on_writable();
  void linger();
  void close();

  const std::shared_ptr<ServerCore> core_;
  IoThread& thread_;
  const std::unique_ptr<Socket> socket_;
  std::unique_ptr<Session> session_;
  State state_ = State::kSniffing;
  bool reading_ = false;  // a wait for readable is out
  bool blocked_ = false;  // a wait for writable is out
  bool input_ended_ = false;
  bool draining_ = false;
  bool given_up_ = false;
  std::optional<std::list<TurnMember*>::iterator> handshaking_;  // our place among those
  std::optional<std::string> certificate_user_;
  std::string sniffed_;
  std::string unsent_;  // what the socket did not take
  size_t lingered_bytes_ = 0;
};

}  // namespace kv::api
