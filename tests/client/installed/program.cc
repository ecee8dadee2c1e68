#include <iostream>

#include <kv/client/async.h>
#include <kv/client/auth.h>
#include <kv/client/cache.h>
#include <kv/client/client.h>
#include <kv/client/election.h>
#include <kv/client/mutex.h>
#include <kv/client/range.h>
#include <kv/client/registry.h>
#include <kv/client/semaphore.h>
#include <kv/client/stm.h>

// Nothing listens at port 1: what counts is that a call gets that far.
int main() {
  const auto client =
      kv::Client::create({.endpoints = {"127.0.0.1:1"}, .dial_timeout = std::chrono::milliseconds(200)});
  if (!client.ok()) return 1;
  const auto done = kv::client::transact(**client, [](kv::client::Stm& stm) { return stm.get("k").status(); });
  std::cout << kv::code_name(done.status().code()) << std::endl;
}
