#include "embed/port_reservation.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>
#include <vector>

namespace kv::embed {
namespace {

// Whether a socket with SO_REUSEADDR can listen on the port.
bool can_listen(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool can = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && listen(fd, 1) == 0;
  close(fd);
  return can;
}

TEST(PortReservation, Is_given_to_nobody_else_and_can_be_listened_on) {
  std::vector<PortReservation> held;
  std::set<uint16_t> ports;
  for (int i = 0; i < 200; ++i) {
    auto port = PortReservation::any("127.0.0.1");
    ASSERT_TRUE(port.ok()) << port.status().to_string();
    EXPECT_TRUE(ports.insert(port->port()).second) << "given twice: " << port->port();
    held.push_back(*std::move(port));
  }
  for (const uint16_t port : ports) EXPECT_TRUE(can_listen(port)) << port;
}

TEST(PortReservation, Names_what_is_no_address_of_this_machine) {
  EXPECT_EQ(PortReservation::any("no such host").status().code(), Code::kInvalidArgument);
  // Of a network that is for documentation only (RFC 5737).
  EXPECT_EQ(PortReservation::any("192.0.2.1").status().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace kv::embed
