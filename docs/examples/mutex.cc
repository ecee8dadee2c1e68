// Does something that only one program may do at a time, and guards its writes besides.
//   example_mutex 127.0.0.1:2379
#include <iostream>

#include <kv/client/mutex.h>

using namespace kv::client;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto client = Client::create({.endpoints = {argv[1]}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;
  const auto session = Session::create(**client, {.ttl_s = 10});
  if (!session.ok()) return std::cerr << session.status().text() << '\n', 1;

  Mutex mutex(**session, "/locks/backup");
  if (const auto s = mutex.lock(at_most(std::chrono::seconds(30))); !s.ok()) {
    return std::cerr << s.text() << '\n', 1;
  }
  std::cout << "locked" << std::endl;

  // In the store: only if the lock is still ours. Elsewhere: hand mutex.revision() over as a fencing token.
  const auto written = (*client)->commit(Txn().when({mutex.is_owner()}).then({put_op("/backup/state", "running")}));
  if (!written.ok()) return std::cerr << written.status().text() << '\n', 1;
  std::cout << (written->succeeded ? "written under the lock" : "the lock was lost, nothing written") << std::endl;

  if (const auto s = mutex.unlock(); !s.ok()) return std::cerr << s.text() << '\n', 1;
  std::cout << "unlocked" << std::endl;
}
