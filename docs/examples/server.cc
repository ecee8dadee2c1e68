// A member inside this process, and a client of it: as a test of your own program would have it.
//   example_server
#include <iostream>

#include <kv/client/client.h>
#include <kv/embed/server.h>

int main() {
  // Free ports, and data in a directory that goes with the object. start_cluster(3) makes a cluster.
  const auto server = kv::Server::start({.name = "m1"});
  if (!server.ok()) return std::cerr << server.status().text() << '\n', 1;

  const auto client = kv::Client::create({.endpoints = {(*server)->endpoint()}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;
  const auto put = (*client)->put("message", "hello");
  if (!put.ok()) return std::cerr << put.status().text() << '\n', 1;
  const auto members = (*client)->member_list();
  if (!members.ok()) return std::cerr << members.status().text() << '\n', 1;

  std::cout << members->members.at(0).name << " has " << (*client)->get("message")->kvs.at(0).value << std::endl;
  (*server)->stop();
  std::cout << "stopped" << std::endl;
}
