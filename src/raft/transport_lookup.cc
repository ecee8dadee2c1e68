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
  const uint64_t number = next_++;
  waiting_.emplace(number, std::move(done));
  boost::system::error_code error;
  const auto address = asio::ip::make_address(place.host, error);
  if (!error) {
    asio::post(*mailbox_->io, [this, number, found = Endpoints{{address, place.port}}] { deliver(number, found); });
    return;
  }
  std::thread([this, mailbox = mailbox_, place, number] {
    name_this_thread("kvd-lookup");
    Endpoints found = resolve(place);
    const std::lock_guard lock(mailbox->mutex);
    if (mailbox->io == nullptr) return;  // and `this` is gone
    asio::post(*mailbox->io, [this, number, found = std::move(found)] { deliver(number, found); });
  }).detach();
}

void NameLookup::deliver(uint64_t number, const Endpoints& found) {
  const auto done = waiting_.extract(number);
  done.mapped()(found);
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
