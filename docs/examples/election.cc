// Stands for leader, leads for a moment, and resigns.
//   example_election 127.0.0.1:2379 10.0.0.7:8080
#include <iostream>

#include <kv/client/election.h>

using namespace kv::client;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto client = Client::create({.endpoints = {argv[1]}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;
  const auto session = Session::create(**client, {.ttl_s = 10});
  if (!session.ok()) return std::cerr << session.status().text() << '\n', 1;

  Election election(**session, "/services/scheduler");
  ElectionObserver observer = election.observe();
  if (const auto s = election.campaign(argv[2]); !s.ok()) return std::cerr << s.text() << '\n', 1;

  // What everybody sees who observes the election.
  const auto leader = observer.next(at_most(std::chrono::seconds(5)));
  if (!leader.ok()) return std::cerr << leader.status().text() << '\n', 1;
  std::cout << "leader: " << leader->kv.value << std::endl;

  if (const auto s = election.resign(); !s.ok()) return std::cerr << s.text() << '\n', 1;
  std::cout << "resigned" << std::endl;
}
