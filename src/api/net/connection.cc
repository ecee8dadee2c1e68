#include "api/net/connection.h"

#include <algorithm>
#include <utility>

#include "api/net/http1_session.h"
#include "api/net/http2_session.h"

namespace kv::api {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr int kReadsPerTurn = 4;    // of IoThread::kReadBytes each; then the others have their turn
constexpr int kWritesPerTurn = 16;  // of IoThread::kWriteBytes each
constexpr int64_t kLingerMs = 1000;
constexpr size_t kLingerBytes = 4 << 20;
constexpr size_t kKeepBytes = 16 << 10;  // capacity that an idle connection may keep

}  // namespace

void Connection::start(std::shared_ptr<ServerCore> core, IoThread& thread, std::unique_ptr<Socket> socket) {
  const auto made = std::make_shared<Connection>(std::move(core), thread, std::move(socket));
  thread.adopt(made);
  thread.timers().set(*made, thread.now_ms() + made->core_->options.header_timeout_ms);
  if (made->secure()) made->queue_up();
  made->wait_readable();
}

Connection::Connection(std::shared_ptr<ServerCore> core, IoThread& thread, std::unique_ptr<Socket> socket)
    : core_(std::move(core)), thread_(thread), socket_(std::move(socket)) {
  core_->connection_opened();
}

void Connection::queue_up() {
  auto& queue = thread_.handshaking();
  // Who is honest is quick: the one that has taken longest goes.
  if (!queue.empty() && queue.size() >= core_->options.max_handshakes) queue.front()->abandon();
  handshaking_ = queue.insert(queue.end(), this);
}

void Connection::leave_queue() {
  if (handshaking_) thread_.handshaking().erase(*handshaking_);
  handshaking_.reset();
}

Connection::~Connection() { core_->connection_closed(); }

void Connection::wait_readable() {
  if (reading_ || state_ == State::kClosed || input_ended_) return;
  reading_ = true;
  socket_->wait_readable([self = std::static_pointer_cast<Connection>(shared_from_this())] {
    self->reading_ = false;
    self->thread_.refresh_now();
    self->on_readable();
  });
}

void Connection::resume_reading() { wait_readable(); }

void Connection::on_readable() {
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (state_ == State::kClosed) return;
    if (state_ == State::kTalking && !session_->wants_read()) return;
    const Transfer got = socket_->read(thread_.read_buffer(), IoThread::kReadBytes);
    if (got.state == Transfer::State::kFailed) return close();
    if (got.state == Transfer::State::kClosed) return on_end_of_input();
    if (got.bytes == 0) break;
    receive({thread_.read_buffer(), got.bytes});
    if (!got.more) break;
  }
  if (state_ != State::kTalking || session_->wants_read()) wait_readable();
}

void Connection::on_end_of_input() {
  input_ended_ = true;
  if (state_ != State::kTalking || !session_->end_of_input()) close();
}

void Connection::receive(std::string_view bytes) {
  switch (state_) {
    case State::kTalking: session_->receive(bytes); return;
    case State::kLingering:
      lingered_bytes_ += bytes.size();
      if (lingered_bytes_ > kLingerBytes) close();
      return;
    case State::kClosed: return;
    case State::kSniffing: break;
  }
  if (const std::string_view agreed = socket_->protocol(); !agreed.empty()) {
    start_session(/*http2=*/agreed == "h2");
    session_->receive(bytes);
    return;
  }
  if (sniffed_.empty() && bytes.starts_with(kPreface)) {
    start_session(/*http2=*/true);
    session_->receive(bytes);
    return;
  }
  sniffed_ += bytes;
  const size_t known = std::min(sniffed_.size(), kPreface.size());
  const bool maybe_http2 = sniffed_.compare(0, known, kPreface, 0, known) == 0;
  if (maybe_http2 && known < kPreface.size()) return;  // a piece of the preface; the timer is running
  const std::string first = std::exchange(sniffed_, {});
  start_session(maybe_http2);
  session_->receive(first);
}

void Connection::start_session(bool http2) {
  Timer::cancel();
  leave_queue();
  certificate_user_ = socket_->certificate_user();
  session_ = http2 ? make_http2_session(core_, *this) : make_http1_session(core_, *this);
  state_ = State::kTalking;
  if (draining_) session_->drain();
}

size_t Connection::write(const char* data, size_t size) {
  size_t taken = 0;
  while (taken < size) {
    const Transfer put = socket_->write(data + taken, size - taken);
    taken += put.bytes;
    if (put.state == Transfer::State::kOk) continue;
    if (put.state != Transfer::State::kWouldBlock) {
      close();
      return taken;
    }
    blocked_ = true;
    thread_.timers().set(*this, thread_.now_ms() + core_->options.stall_timeout_ms);
    socket_->wait_writable([self = std::static_pointer_cast<Connection>(shared_from_this())] {
      self->thread_.refresh_now();
      self->on_writable();
    });
    return taken;
  }
  return taken;
}

void Connection::on_writable() {
  blocked_ = false;
  if (state_ != State::kTalking) return;
  Timer::cancel();
  want_write();
}

void Connection::give_up() {
  given_up_ = true;
  want_write();
}

void Connection::end_of_turn() {
  if (given_up_) return close();
  if (state_ != State::kTalking || blocked_) return;
  if (!unsent_.empty()) {
    unsent_.erase(0, write(unsent_.data(), unsent_.size()));
    if (!unsent_.empty()) return;
    if (unsent_.capacity() > kKeepBytes) unsent_ = {};
  }
  for (int i = 0; i < kWritesPerTurn; ++i) {
    const size_t made = session_->produce(thread_.write_buffer(), IoThread::kWriteBytes);
    if (made == 0) {
      if (session_->finished()) linger();
      return;
    }
    const size_t taken = write(thread_.write_buffer(), made);
    if (taken < made) {
      unsent_.assign(thread_.write_buffer() + taken, made - taken);
      return;
    }
  }
  want_write();
}

void Connection::drain() {
  draining_ = true;
  if (state_ == State::kSniffing) return close();
  if (state_ == State::kTalking) session_->drain();
}

void Connection::linger() {
  if (input_ended_) return close();
  session_->disconnected();
  state_ = State::kLingering;
  socket_->shutdown_write();
  thread_.timers().set(*this, thread_.now_ms() + kLingerMs);
  wait_readable();
}

void Connection::on_timer() { close(); }

void Connection::close() {
  if (state_ == State::kClosed) return;
  const State was = std::exchange(state_, State::kClosed);
  Timer::cancel();
  leave_queue();
  socket_->close();
  if (was == State::kTalking) session_->disconnected();
  thread_.release(this);
}

}  // namespace kv::api
