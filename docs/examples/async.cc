// Has several calls on their way at a time, and hears of the answers by futures and by a callback.
//   example_async 127.0.0.1:2379
#include <kv/client/async.h>

#include <iostream>

using namespace kv::client;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto client = Client::create({.endpoints = {argv[1]}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;
  Async async(**client);

  std::vector<std::future<kv::Result<PutResponse>>> puts;
  for (const std::string name : {"apple", "cherry", "plum"}) puts.push_back(async.put("fruit/" + name, "ripe"));
  for (auto& put : puts) {
    if (const auto done = put.get(); !done.ok()) return std::cerr << done.status().text() << '\n', 1;
  }
  std::cout << puts.size() << " puts are done" << std::endl;

  std::promise<void> told;
  async.get("fruit/plum", {}, {}, [&](kv::Result<GetResponse> got) {
    if (got.ok()) std::cout << got->kvs.at(0).key << " = " << got->kvs.at(0).value << std::endl;
    told.set_value();
  });
  told.get_future().wait();
}
