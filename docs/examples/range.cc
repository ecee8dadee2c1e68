// Reads all keys under a prefix, however many, as of one revision; memory holds one page of them.
//   example_range 127.0.0.1:2379 /fruit/
#include <iostream>

#include <kv/client/range.h>

using namespace kv::client;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string prefix = argv[2];
  const auto client = Client::create({.endpoints = {argv[1]}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;

  Txn fill;
  for (const char* name : {"apple", "cherry", "plum"}) fill.then({put_op(prefix + name, "ripe")});
  if (const auto s = (*client)->commit(fill); !s.ok()) return std::cerr << s.status().text() << '\n', 1;

  Range fruit(**client, prefix, {.range_end = prefix_end(prefix), .page_keys = 2});
  for (const KeyValue& kv : fruit) {
    std::cout << kv.key << " = " << kv.value << std::endl;
    (void)(*client)->put(prefix + "zucchini", "is new");  // later than what is read: not seen
  }
  if (!fruit.status().ok()) return std::cerr << fruit.status().text() << '\n', 1;  // the loop ended early
  std::cout << fruit.count() << " keys on " << fruit.pages() << " pages" << std::endl;
}
