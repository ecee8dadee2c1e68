// kvd_load_null: answers every gRPC call at once with an empty message, and looks at nothing. It shows how fast the
// load generator itself is. One thread; 127.0.0.1 only; ends when its standard input does, or on a signal.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "bench/load/h2_frames.h"

namespace kv::load {
namespace {

struct Connection {
  std::string in;
  std::string out;
  bool greeted = false;       // the preface has been read
  bool table_filled = false;  // our headers are in the client's table, and are sent as indexes from now on
};

void answer(Connection& c, uint32_t stream) {
  std::string head = "\x88";  // :status 200
  std::string trailers;
  if (!c.table_filled) {
    head += static_cast<char>(0x40 | 31);  // content-type
    append_hpack_string(head, "application/grpc");
    trailers += static_cast<char>(0x40);
    append_hpack_string(trailers, "grpc-status");
    append_hpack_string(trailers, "0");
    c.table_filled = true;
  } else {
    head += static_cast<char>(0x80 | 63);
    trailers += static_cast<char>(0x80 | 62);
  }
  append_frame_header(c.out, head.size(), kHeaders, kEndHeaders, stream);
  c.out += head;
  append_frame_header(c.out, 5, kData, 0, stream);
  c.out.append(5, '\0');
  append_frame_header(c.out, trailers.size(), kHeaders, kEndHeaders | kEndStream, stream);
  c.out += trailers;
}

// Handles all whole frames; false when this is not HTTP/2.
bool serve(Connection& c) {
  size_t at = 0;
  if (!c.greeted) {
    if (c.in.size() < kPreface.size()) return true;
    if (c.in.compare(0, kPreface.size(), kPreface) != 0) return false;
    at = kPreface.size();
    c.greeted = true;
    append_frame_header(c.out, 0, kSettings, 0, 0);
    append_window_update(c.out, 0, 1U << 30);
  }
  size_t data = 0;
  while (c.in.size() - at >= kFrameHeader) {
    const auto* frame = reinterpret_cast<const uint8_t*>(c.in.data() + at);
    const size_t length = frame_length(frame);
    if (c.in.size() - at < kFrameHeader + length) break;
    if (frame[3] == kSettings && (frame[4] & kAck) == 0) append_frame_header(c.out, 0, kSettings, kAck, 0);
    if (frame[3] == kData) data += length;
    if ((frame[3] == kData || frame[3] == kHeaders) && (frame[4] & kEndStream) != 0) {
      answer(c, read_u32(frame + 5));
    }
    at += kFrameHeader + length;
  }
  if (data > 0) append_window_update(c.out, 0, static_cast<uint32_t>(data));
  c.in.erase(0, at);
  return true;
}

// False when the connection is over.
bool turn(int fd, Connection& c) {
  char buffer[256 << 10];
  const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
  if (n <= 0) return n < 0 && errno == EAGAIN;
  c.in.append(buffer, static_cast<size_t>(n));
  if (!serve(c)) return false;
  // The socket blocks: a client that does not read holds this server up, which is no loss for a null server.
  for (size_t sent = 0; sent < c.out.size();) {
    const ssize_t m = send(fd, c.out.data() + sent, c.out.size() - sent, MSG_NOSIGNAL);
    if (m <= 0) return false;
    sent += static_cast<size_t>(m);
  }
  c.out.clear();
  return true;
}

int run() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener, 1024) != 0) {
    std::perror("kvd_load_null");
    return 1;
  }
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("127.0.0.1:%u\n", ntohs(address.sin_port));
  std::fflush(stdout);

  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const auto watch = [epoll](int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  };
  watch(listener);
  watch(STDIN_FILENO);
  std::unordered_map<int, Connection> connections;
  std::vector<epoll_event> events(256);
  for (;;) {
    const int ready = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < ready; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == STDIN_FILENO) return 0;
      if (fd == listener) {
        const int accepted = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (accepted < 0) continue;
        const int on = 1;
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[accepted];
        watch(accepted);
      } else if (!turn(fd, connections[fd])) {
        connections.erase(fd);
        close(fd);
      }
    }
  }
}

}  // namespace
}  // namespace kv::load

int main() { return kv::load::run(); }
