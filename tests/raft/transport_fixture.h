// Transports on 127.0.0.1 that remember what came, and plain sockets that play strangers.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "raft/transport.h"
#include "raft/transport_wire.h"

namespace kv::raft {

constexpr auto kPatience = std::chrono::seconds(20);
constexpr uint64_t kCluster = 0xc0ffee;

// Waits until `condition` holds; what it looks at may change without notice, so it is asked again and again.
inline bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::poll(nullptr, 0, 2);
  }
  return true;
}

// One member's transport with what it received.
class Member {
 public:
  static Transport::Options options(uint64_t id) {
    Transport::Options options;
    options.cluster_id = kCluster;
    options.id = NodeId(id);
    options.listen_urls = {"http://127.0.0.1:0"};
    options.reconnect_min_ms = 5;
    options.reconnect_max_ms = 50;
    return options;
  }

  explicit Member(uint64_t id) : Member(options(id)) {}
  explicit Member(const Transport::Options& o) : id_(o.id) {
    auto started = Transport::start(
        o, [this](std::vector<Message>&& messages) { take(std::move(messages)); },
        [this](NodeId peer) {
          const std::lock_guard lock(mutex_);
          unreachable_.push_back(peer);
        },
        {},
        {.received =
             [this](NodeId from, std::string_view payload) {
               const std::lock_guard lock(mutex_);
               payloads_.emplace_back(from, payload);
               return payload != "nonsense";
             },
         .broken =
             [this](NodeId peer) {
               const std::lock_guard lock(mutex_);
               broken_.push_back(peer);
             }});
    if (started.ok()) {
      transport_ = std::move(*started);
    } else {
      ADD_FAILURE() << started.status().to_string();
    }
  }

  Transport& operator*() { return *transport_; }
  Transport* operator->() { return transport_.get(); }
  NodeId id() const { return id_; }
  uint16_t port() const { return transport_->bound_ports().at(0); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port()); }
  void knows(const Member& other) { transport_->add_peer({other.id(), {other.url()}}); }
  void stop() { transport_.reset(); }

  bool wait_received(size_t count) {
    std::unique_lock lock(mutex_);
    return came_.wait_for(lock, kPatience, [&] { return received_.size() >= count; });
  }
  std::vector<Message> received() const {
    const std::lock_guard lock(mutex_);
    return received_;
  }
  size_t batches() const {
    const std::lock_guard lock(mutex_);
    return batches_;
  }
  size_t unreachable_calls() const {
    const std::lock_guard lock(mutex_);
    return unreachable_.size();
  }
  std::vector<std::pair<NodeId, std::string>> payloads() const {
    const std::lock_guard lock(mutex_);
    return payloads_;
  }
  std::vector<NodeId> broken() const {
    const std::lock_guard lock(mutex_);
    return broken_;
  }
  // The reader stops in the next delivery until released.
  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void release() {
    {
      const std::lock_guard lock(mutex_);
      held_ = false;
    }
    came_.notify_all();
  }

  PeerStats stats_of(NodeId peer) const {
    for (const PeerStats& stats : transport_->stats()) {
      if (stats.id == peer) return stats;
    }
    return {};
  }
  bool wait_connected(NodeId peer) {
    return eventually([&] { return stats_of(peer).connected; });
  }

 private:
  void take(std::vector<Message>&& messages) {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [this] { return !held_; });
    ++batches_;
    for (Message& message : messages) received_.push_back(std::move(message));
    came_.notify_all();
  }

  const NodeId id_;
  mutable std::mutex mutex_;
  std::condition_variable came_;
  std::vector<Message> received_;
  size_t batches_ = 0;
  std::vector<NodeId> unreachable_;
  std::vector<std::pair<NodeId, std::string>> payloads_;
  std::vector<NodeId> broken_;
  bool held_ = false;
  std::unique_ptr<Transport> transport_;  // last: its thread uses all above
};

inline Message heartbeat(NodeId from, NodeId to, uint64_t round) {
  return {from, to, Term(1), Heartbeat{Index(0), round}};
}

inline Message append_of(NodeId from, NodeId to, Index previous, size_t payload) {
  AppendRequest append{previous, Term(1), Index(0), {}};
  append.entries.push_back(
      {previous + 1, Term(1), EntryType::kCommand, std::make_shared<const std::string>(payload, 'p')});
  return {from, to, Term(1), append};
}

// A plain blocking socket.
class Stranger {
 public:
  explicit Stranger(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) ADD_FAILURE() << "connect";
  }
  ~Stranger() { ::close(fd_); }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

  // False when the other side has closed.
  bool say(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // Exactly n bytes, or fewer when the other side closes or stays silent.
  std::string hear(size_t n) {
    std::string bytes;
    while (bytes.size() < n) {
      pollfd waiting{fd_, POLLIN, 0};
      if (::poll(&waiting, 1, 20000) <= 0) break;
      char buffer[4096];
      const ssize_t got = ::recv(fd_, buffer, std::min(n - bytes.size(), sizeof buffer), 0);
      if (got <= 0) break;
      bytes.append(buffer, static_cast<size_t>(got));
    }
    return bytes;
  }
  // The other side closes the connection (by FIN or RST) before patience ends; what it still says is ignored.
  bool is_closed_by_peer() {
    while (true) {
      pollfd waiting{fd_, POLLIN, 0};
      if (::poll(&waiting, 1, 20000) <= 0) return false;
      char buffer[4096];
      if (::recv(fd_, buffer, sizeof buffer, 0) <= 0) return true;
    }
  }
  bool is_open_now() {
    char c;
    return ::recv(fd_, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }

  // Says a good hello as `sender` and returns the answer.
  std::optional<HelloReply> greet(NodeId sender, NodeId receiver, uint64_t instance = 77, uint64_t cluster = kCluster) {
    Hello hello;
    hello.cluster_id = cluster;
    hello.sender = sender;
    hello.receiver = receiver;
    hello.instance = instance;
    return greet(hello);
  }
  std::optional<HelloReply> greet(const Hello& hello) {
    say(encode(hello));
    return decode_hello_reply(hear(kHelloReplyBytes));
  }

 private:
  int fd_;
};

}  // namespace kv::raft
