// Two streams that talk over a socket pair, without waiting for anything: each takes its turn.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "tls/context.h"

namespace kv::test {

class StreamPair {
 public:
  StreamPair(tls::Context& server, tls::Context& client, const std::string& host = "localhost") : StreamPair() {
    accepted = server.accept(fds[0]);
    dialled = client.dial(fds[1], host);
  }
  StreamPair() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0); }
  ~StreamPair() {
    accepted.reset();
    dialled.reset();
    close_one(0);
    close_one(1);
  }
  StreamPair(const StreamPair&) = delete;
  StreamPair& operator=(const StreamPair&) = delete;

  // Lets both talk until both are ready or one has failed. A TLS 1.3 client is ready before the server has looked at
  // its certificate; what the server says then comes with the first read.
  bool shake_hands() {
    for (int i = 0; i < 100; ++i) {
      const auto a = accepted->handshake();
      const auto d = dialled->handshake();
      if (a.state == tls::Outcome::State::kFailed || d.state == tls::Outcome::State::kFailed) return false;
      if (accepted->ready() && dialled->ready()) return true;
    }
    return false;
  }

  // What arrives at the other side; empty when it does not.
  static std::string carry(tls::Stream& from, tls::Stream& to, const std::string& text) {
    if (from.write(text.data(), text.size()).bytes != text.size()) return {};
    std::string got(text.size() + 1, '\0');
    got.resize(to.read(got.data(), got.size()).bytes);
    return got;
  }

  void close_one(int which) {
    if (fds[which] >= 0) ::close(fds[which]);
    fds[which] = -1;
  }

  int fds[2] = {-1, -1};  // the accepted one's, the dialled one's
  std::unique_ptr<tls::Stream> accepted;
  std::unique_ptr<tls::Stream> dialled;
};

}  // namespace kv::test
