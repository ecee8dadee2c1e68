// Keeps a service's configuration in memory, where reading it costs nothing.
//   example_cache 127.0.0.1:2379 /config/web/
#include <iostream>

#include <kv/client/cache.h>

using namespace kv::client;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string prefix = argv[2];
  const auto client = Client::create({.endpoints = {argv[1]}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;
  const auto put = (*client)->put(prefix + "log_level", "info");
  if (!put.ok()) return std::cerr << put.status().text() << '\n', 1;

  const auto config = Cache::create(**client, prefix);
  if (!config.ok()) return std::cerr << config.status().text() << '\n', 1;
  std::cout << "log_level is " << (*config)->get(prefix + "log_level")->value << std::endl;

  // Whoever changes it, the cache follows by itself. To read a certain write, wait for its revision.
  const auto changed = (*client)->put(prefix + "log_level", "debug");
  if (!changed.ok()) return std::cerr << changed.status().text() << '\n', 1;
  const auto s = (*config)->wait_revision(changed->header.revision, at_most(std::chrono::seconds(5)));
  if (!s.ok()) return std::cerr << s.text() << '\n', 1;
  for (const KeyValue& kv : (*config)->list()) {
    std::cout << kv.key.substr(prefix.size()) << " is " << kv.value << std::endl;
  }
}
