#include "raft/transport_lookup.h"

#include <netdb.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/thread.h"

namespace kv::raft {
namespace asio = boost::asio;

struct NameLookup::Mailbox {
  std::mutex mutex;
  asio::io_context* io;  // null once nobody reads any more
};

NameLookup::NameLookup(asio::io_context& io) : mailbox_(std::make_shared<Mailbox>()) { mailbox_->io = &io; }

NameLookup::~NameLookup() {
  const std::lock_guard lock(mailbox_->mutex);
  mailbox_->io = nullptr;
}

void NameLookup::start(const HostPort& place, std::function<void(Endpoints)> done) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(place.host, error);
  if (!error) {
    asio::post(*mailbox_->io, [done = std::move(done), found = Endpoints{{address, place.port}}] { done(found); });
    return;
  }
  std::thread([mailbox = mailbox_, place, done = std::move(done)]() mutable {
    name_this_thread("kvd-lookup");
    Endpoints found = resolve(place);
    const std::lock_guard lock(mailbox->mutex);
    if (mailbox->io == nullptr) return;
    asio::post(*mailbox->io, [done = std::move(done), found = std::move(found)] { done(found); });
  }).detach();
}

NameLookup::Endpoints NameLookup::resolve(const HostPort& place) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  Endpoints found;
  if (getaddrinfo(place.host.c_str(), std::to_string(place.port).c_str(), &hints, &list) != 0) return found;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    asio::ip::tcp::endpoint endpoint;
    if (at->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), at->ai_addr, at->ai_addrlen);
    endpoint.resize(at->ai_addrlen);
    found.push_back(endpoint);
  }
  freeaddrinfo(list);
  return found;
}

}  // namespace kv::raft
