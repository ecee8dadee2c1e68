// Is listed among the workers for as long as its session lives, and learns when that is over.
//   example_session 127.0.0.1:2379 worker-1
#include <iostream>

#include <kv/client/session.h>

using namespace kv::client;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string key = std::string("/workers/") + argv[2];
  const auto client = Client::create({.endpoints = {argv[1]}});
  if (!client.ok()) return std::cerr << client.status().text() << '\n', 1;

  // A lease that is kept alive. Should this program die, all that hangs on it is gone within 10 s.
  const auto session = Session::create(**client, {.ttl_s = 10});
  if (!session.ok()) return std::cerr << session.status().text() << '\n', 1;
  const auto put = (*client)->put(key, "at work", {.lease = (*session)->lease()});
  if (!put.ok()) return std::cerr << put.status().text() << '\n', 1;
  std::cout << "listed: " << (*client)->get(key)->count << std::endl;

  // Somebody takes us off, as `kvctl lease revoke` would; a cluster that can't be reached for 10 s is the same to us.
  // lost_token() tells it to work that goes on meanwhile.
  const auto revoked = (*client)->lease_revoke((*session)->lease());
  if (!revoked.ok()) return std::cerr << revoked.status().text() << '\n', 1;
  if (const auto s = (*session)->wait_lost(at_most(std::chrono::seconds(30))); !s.ok()) {
    return std::cerr << s.text() << '\n', 1;
  }
  std::cout << "lost: what was ours may be somebody else's now" << std::endl;
  std::cout << "listed: " << (*client)->get(key)->count << std::endl;
}
