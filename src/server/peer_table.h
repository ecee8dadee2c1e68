// Keeps the transport's peers as the member list says. Who is removed keeps its streams for a moment, so that what it
// should still hear, that it was removed and the answer to its own call, can reach it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "etcdserverpb/rpc.pb.h"
#include "raft/transport.h"

namespace kv::server {

class PeerTable {
 public:
  struct Ports {
    std::function<void(const raft::PeerAddress&)> add;  // or change its URLs
    std::function<void(raft::NodeId)> remove;
    int64_t farewell_ms = 1000;
  };
  explicit PeerTable(Ports ports) : ports_(std::move(ports)) {}

  // Whoever is in `members` and not `self` is a peer; whoever is in `removed` is refused. What has not changed since
  // the last call costs nothing. Who was removed before the first call is refused at once. Any thread.
  void follow(uint64_t self, const std::vector<etcdserverpb::Member>& members, const std::set<uint64_t>& removed,
              int64_t now_ms);
  // Refuses those whose time has come. Any thread.
  void expire(int64_t now_ms);

 private:
  const Ports ports_;
  std::mutex mutex_;  // guards all below, and calls of the ports
  std::map<uint64_t, std::vector<std::string>> peers_;
  std::map<uint64_t, int64_t> leaving_;  // until when they keep their streams
  std::set<uint64_t> refused_;
  bool first_ = true;
};

}  // namespace kv::server
