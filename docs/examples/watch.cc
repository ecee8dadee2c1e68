// Follows all keys under a prefix: what there is, then every change. Ends with the key "<prefix>end".
//   example_watch 127.0.0.1:2379 /services/
#include <iostream>

#include <kv/client/client.h>

using namespace kv::client;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string prefix = argv[2];
  const auto client = Client::create({.endpoints = {argv[1]}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;

  // The state and the revision that it is of; the watch begins right behind, so nothing falls in between.
  const auto state = (*client)->get(prefix, {.range_end = prefix_end(prefix)});
  if (!state.ok()) return std::cerr << state.status().text() << '\n', 1;
  for (const KeyValue& kv : state->kvs) std::cout << "is " << kv.key << " = " << kv.value << std::endl;

  Watcher watcher =
      (*client)->watch(prefix, {.range_end = prefix_end(prefix), .start_revision = state->header.revision + 1});
  for (;;) {
    const auto next = watcher.next();
    if (!next.ok()) return std::cerr << next.status().text() << '\n', 1;  // compacted: read the state again
    for (const Event& event : next->events) {
      if (event.kv.key == prefix + "end") return 0;
      if (event.type == EventType::kPut) std::cout << "now " << event.kv.key << " = " << event.kv.value << std::endl;
      if (event.type == EventType::kDelete) std::cout << "gone " << event.kv.key << std::endl;
    }
  }
}
