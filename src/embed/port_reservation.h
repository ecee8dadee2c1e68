// A free port, chosen before the one who listens on it begins: a member tells the others its address, and so must know
// its port before it listens.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/status.h"

namespace kv::embed {

// Holds a TCP port that nobody listens on. As long as this object lives the kernel gives the port to nobody who asks
// for any; whoever asks for this very one and says SO_REUSEADDR, as our listeners do, gets it (Linux).
class PortReservation {
 public:
  // `host` is a name or an address of this machine. InvalidArgument when it is neither.
  static Result<PortReservation> any(const std::string& host);
  ~PortReservation();
  PortReservation(PortReservation&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), port_(other.port_) {}
  PortReservation& operator=(PortReservation&& other) noexcept;

  uint16_t port() const { return port_; }

 private:
  PortReservation(int socket, uint16_t port) : socket_(socket), port_(port) {}

  int socket_;
  uint16_t port_;
};

}  // namespace kv::embed
