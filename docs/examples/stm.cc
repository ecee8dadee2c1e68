// Moves money between two accounts: both change or none, whoever else is at it.
//   example_stm 127.0.0.1:2379 alice bob 10
#include <iostream>

#include <kv/client/stm.h>

using namespace kv::client;

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const std::string from = std::string("/accounts/") + argv[2], to = std::string("/accounts/") + argv[3];
  const int amount = std::stoi(argv[4]);
  const auto client = Client::create({.endpoints = {argv[1]}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;

  // Runs again when somebody else has changed an account meanwhile: so it has no effect but by `stm`.
  const auto moved = transact(**client, [&](Stm& stm) -> kv::Status {
    const auto source = stm.get(from), target = stm.get(to);
    if (!source.ok()) return source.status();
    if (!target.ok()) return target.status();
    const int has = std::stoi(source->value_or("100"));  // a new account begins with 100
    if (has < amount) return kv::Status(kv::Code::kFailedPrecondition, "too little money");
    stm.put(from, std::to_string(has - amount));
    stm.put(to, std::to_string(std::stoi(target->value_or("100")) + amount));
    return {};
  });
  if (!moved.ok()) return std::cerr << moved.status().text() << '\n', 1;
  std::cout << argv[2] << ' ' << (*client)->get(from)->kvs.at(0).value << std::endl;
  std::cout << argv[3] << ' ' << (*client)->get(to)->kvs.at(0).value << std::endl;
}
