// Writes, reads and deletes keys, and changes two of them at once if one is as expected.
//   example_keys 127.0.0.1:2379
#include <iostream>

#include <kv/client/client.h>

using namespace kv::client;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto client = Client::create({.endpoints = {argv[1]}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;

  const std::string port = "/config/mail/port", tls = "/config/mail/tls";
  const auto put = (*client)->put(port, "25");
  if (!put.ok()) return std::cerr << put.status().text() << '\n', 1;

  // Both or none, at one revision; and if somebody else was here meanwhile, what is there instead.
  const auto done = (*client)->commit(Txn()
                                          .when({compare_value(port, Comparison::kEqual, "25")})
                                          .then({put_op(port, "587"), put_op(tls, "on")})
                                          .otherwise({get_op(port)}));
  if (!done.ok()) return std::cerr << done.status().text() << '\n', 1;
  if (!done->succeeded) {
    const auto& found = std::get<GetResponse>(done->responses.at(0).answer);
    return std::cerr << "the port is " << found.kvs.at(0).value << " by now\n", 1;
  }

  const auto all = (*client)->get("/config/mail/", {.range_end = prefix_end("/config/mail/")});
  if (!all.ok()) return std::cerr << all.status().text() << '\n', 1;
  for (const KeyValue& kv : all->kvs) std::cout << kv.key << " = " << kv.value << std::endl;

  // What was is still there, until that history is compacted.
  const auto before = (*client)->get(port, {.revision = put->header.revision});
  if (!before.ok()) return std::cerr << before.status().text() << '\n', 1;
  std::cout << "the port was " << before->kvs.at(0).value << std::endl;

  const auto removed = (*client)->remove("/config/mail/", {.range_end = prefix_end("/config/mail/")});
  if (!removed.ok()) return std::cerr << removed.status().text() << '\n', 1;
  std::cout << removed->deleted << " keys deleted" << std::endl;
}
