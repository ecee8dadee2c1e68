// Gives a part of the key space to code that doesn't know of it.
//   example_namespace 127.0.0.1:2379
#include <iostream>

#include <kv/client/client.h>

using namespace kv::client;

// Knows nothing of tenants.
kv::Status remember(Client& client, const std::string& who) {
  if (const auto s = client.put("owner", who); !s.ok()) return s.status();
  return client.put("theme", "dark").status();
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto client = Client::create({.endpoints = {argv[1]}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;

  for (const std::string tenant : {"acme", "umbrella"}) {
    const auto view = (*client)->in_namespace("/tenants/" + tenant + "/");
    if (const auto s = remember(*view, tenant); !s.ok()) return std::cerr << s.text() << '\n', 1;
    std::cout << "owner is " << view->get("owner")->kvs.at(0).value << std::endl;
  }
  const auto all = (*client)->get("/tenants/", {.range_end = prefix_end("/tenants/"), .keys_only = true});
  if (!all.ok()) return std::cerr << all.status().text() << '\n', 1;
  for (const KeyValue& kv : all->kvs) std::cout << kv.key << std::endl;
}
