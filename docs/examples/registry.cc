// Registers an endpoint of a service, finds it as its clients would, and takes it off again.
//   example_registry 127.0.0.1:2379 services/mail 10.0.0.7:25
#include <future>
#include <iostream>

#include <kv/client/registry.h>

using namespace kv::client;

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string service = argv[2];
  const auto client = Client::create({.endpoints = {argv[1]}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;

  // In the server: kept alive for as long as the object lives, and found no longer than 10 s if the program dies.
  const auto here = Registration::create(**client, service, {.address = argv[3], .metadata = R"({"zone":"a"})"});
  if (!here.ok()) return std::cerr << here.status().text() << '\n', 1;

  // In its clients: endpoints() is in memory and current, on_change tells who is there now.
  std::promise<void> nobody;
  const auto mail = Resolver::create(**client, service, {.on_change = [&](const std::vector<ServiceEndpoint>& now) {
    if (now.empty()) nobody.set_value();
  }});
  if (!mail.ok()) return std::cerr << mail.status().text() << '\n', 1;
  for (const ServiceEndpoint& one : (*mail)->endpoints()) {
    std::cout << "mail is at " << one.address << (one.metadata == R"({"zone":"a"})" ? " (zone a)" : "") << std::endl;
  }
  if (const auto s = (*here)->close(); !s.ok()) return std::cerr << s.text() << '\n', 1;
  nobody.get_future().wait();
  std::cout << "nobody any more" << std::endl;
}
