#include "raft/transport_socket.h"

#include <boost/asio/post.hpp>

namespace kv::raft {
namespace asio = boost::asio;

void PeerSocket::accept_tls(tls::Context& context) {
  Error ignored;
  socket_.non_blocking(true, ignored);
  stream_ = context.accept(socket_.native_handle());
}

void PeerSocket::dial_tls(tls::Context& context, const std::string& host) {
  Error ignored;
  socket_.non_blocking(true, ignored);
  stream_ = context.dial(socket_.native_handle(), host);
}

void PeerSocket::read_tls(asio::mutable_buffer into, Done done) {
  const tls::Outcome outcome = stream_->read(static_cast<char*>(into.data()), into.size());
  if (outcome.state == tls::Outcome::State::kOk) return finish(std::move(done), {}, outcome.bytes);
  wait_for(outcome, std::move(done), [this, into](Done later) { read_tls(into, std::move(later)); });
}

void PeerSocket::write_staged(size_t from, Done done) {
  while (from < staged_.size()) {
    const tls::Outcome outcome = stream_->write(staged_.data() + from, staged_.size() - from);
    if (outcome.state != tls::Outcome::State::kOk) {
      return wait_for(outcome, std::move(done), [this, from](Done later) { write_staged(from, std::move(later)); });
    }
    from += outcome.bytes;
  }
  finish(std::move(done), {}, staged_.size());
}

void PeerSocket::wait_for(const tls::Outcome& outcome, Done done, absl::AnyInvocable<void(Done)> go_on) {
  using State = tls::Outcome::State;
  if (outcome.state == State::kClosed) return finish(std::move(done), asio::error::eof, 0);
  if (outcome.state == State::kFailed) return finish(std::move(done), asio::error::connection_aborted, 0);
  const auto direction = outcome.state == State::kWantRead ? Tcp::socket::wait_read : Tcp::socket::wait_write;
  // `done` keeps this object's owner.
  socket_.async_wait(direction,
                     [this, epoch = epoch_, done = std::move(done), go_on = std::move(go_on)](Error error) mutable {
                       if (epoch != epoch_) error = asio::error::operation_aborted;
                       if (error) return done(error, 0);
                       go_on(std::move(done));
                     });
}

void PeerSocket::finish(Done done, const Error& error, size_t bytes) {
  asio::post(socket_.get_executor(), [this, epoch = epoch_, done = std::move(done), error, bytes]() mutable {
    if (epoch != epoch_) return done(asio::error::operation_aborted, 0);
    done(error, bytes);
  });
}

std::string PeerSocket::why(const Error& error) const {
  std::string text = stream_ ? stream_->failure() : std::string();
  return text.empty() ? error.message() : "TLS: " + text;
}

void PeerSocket::close() {
  ++epoch_;
  stream_.reset();
  Error ignored;
  socket_.close(ignored);
}

}  // namespace kv::raft
