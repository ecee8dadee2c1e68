// Registers a service for as long as this program lives.
//   example_lease 127.0.0.1:2379
#include <iostream>

#include <kv/client/client.h>

using namespace kv::client;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto client = Client::create({.endpoints = {argv[1]}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;

  const auto lease = (*client)->lease_grant(10);
  if (!lease.ok()) return std::cerr << lease.status().text() << '\n', 1;
  const KeepAlive alive =
      (*client)->keep_alive(lease->id, {.ttl_s = lease->ttl_s, .on_lost = [](const kv::Status& why) {
                                          std::cerr << "no longer registered: " << why.text() << '\n';
                                        }});
  const auto put = (*client)->put("/services/mail/1", "10.0.0.7:25", {.lease = lease->id});
  if (!put.ok()) return std::cerr << put.status().text() << '\n', 1;
  std::cout << "registered for " << lease->ttl_s << " s at a time" << std::endl;

  // Here the service does its work. At the end it takes itself off, which is quicker than to wait for the TTL.
  const auto revoked = (*client)->lease_revoke(lease->id);
  if (!revoked.ok()) return std::cerr << revoked.status().text() << '\n', 1;
  std::cout << "keys left: " << (*client)->get("/services/mail/1")->count << std::endl;
}
