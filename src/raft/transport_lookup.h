// Names to addresses. getaddrinfo() can't be cancelled and may take many seconds when a name server is away, so
// it runs on a thread that nobody waits for: stopping the transport stays quick.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "raft/transport_wire.h"

namespace kv::raft {

class NameLookup {
 public:
  using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;
  // `io` must outlive this object, which belongs to the thread that runs `io`.
  explicit NameLookup(boost::asio::io_context& io);
  ~NameLookup();
  NameLookup(const NameLookup&) = delete;
  NameLookup& operator=(const NameLookup&) = delete;

  // Calls `done` on the io_context, later, with what was found (nothing: not found); never after this object is gone.
  void start(const HostPort& place, std::function<void(Endpoints)> done);

  // Now, on the calling thread.
  static Endpoints resolve(const HostPort& place);

 private:
  struct Mailbox;
  void deliver(uint64_t number, const Endpoints& found);

  std::shared_ptr<Mailbox> mailbox_;
  // The callbacks stay here, so that a lookup thread that outlives this object holds nothing of its user's.
  std::map<uint64_t, std::function<void(Endpoints)>> waiting_;
  uint64_t next_ = 0;
};

}  // namespace kv::raft
