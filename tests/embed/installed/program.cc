#include <iostream>
#include <string>
#include <vector>

#include <kv/base/log.h>
#include <kv/client/client.h>
#include <kv/embed/server.h>

// A cluster of three in this process: what one is told, each of them has.
int main() {
  kv::set_log_level(kv::LogLevel::kWarning);
  auto servers = kv::Server::start_cluster(3, {.name = "m", .unsafe_no_fsync = true});
  if (!servers.ok()) return std::cerr << servers.status().text() << '\n', 1;
  std::vector<std::string> endpoints;
  for (const auto& server : *servers) endpoints.push_back(server->endpoint());
  constexpr std::chrono::seconds kPatience(60);
  const auto client =
      kv::Client::create({.endpoints = endpoints, .dial_timeout = kPatience, .call_timeout = kPatience});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;
  if (const auto put = (*client)->put("message", "hello"); !put.ok()) {
    return std::cerr << put.status().text() << '\n', 1;
  }
  std::string names;
  for (const auto& server : *servers) {
    const auto one = kv::Client::create(
        {.endpoints = {server->endpoint()}, .dial_timeout = kPatience, .call_timeout = kPatience});
    const auto got = (*one)->get("message");
    if (!got.ok()) return std::cerr << got.status().text() << '\n', 1;
    names += (names.empty() ? "" : server->name() == "m3" ? " and " : ", ") + server->name();
    if (got->kvs.at(0).value != "hello") return 1;
  }
  std::cout << names << " have hello" << std::endl;
  for (const auto& server : *servers) server->stop();
  std::cout << "stopped" << std::endl;
}
