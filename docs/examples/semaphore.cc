// Reboots a machine when fewer than two others of its fleet are at it.
//   example_semaphore 127.0.0.1:2379 host-17
#include <iostream>

#include <kv/client/semaphore.h>

using namespace kv::client;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto client = Client::create({.endpoints = {argv[1]}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;
  const auto session = Session::create(**client, {.ttl_s = 600});
  if (!session.ok()) return std::cerr << session.status().text() << '\n', 1;

  Semaphore reboots(**session, "/fleet/reboots", 2, argv[2]);
  if (const auto s = reboots.acquire(at_most(std::chrono::minutes(1))); !s.ok()) {
    return std::cerr << s.text() << '\n', 1;
  }
  const auto state = Semaphore::state(**client, "/fleet/reboots");
  if (!state.ok()) return std::cerr << state.status().text() << '\n', 1;
  for (const SemaphorePlace& holder : state->holders) std::cout << "reboots: " << holder.identity << std::endl;
  std::cout << state->permits << " may, " << state->waiters.size() << " wait" << std::endl;

  if (const auto s = reboots.release(); !s.ok()) return std::cerr << s.text() << '\n', 1;
  std::cout << "done" << std::endl;
}
