// Real servers for the client's tests: Debian's etcd, and kvd where it is built.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "harness/cluster.h"

namespace kv::client {

inline std::string binary_of(const std::string& kind) { return kind == "kvd" ? KVD_BINARY : "etcd"; }

inline auto kinds() {
  std::vector<std::string> kinds = {"etcd"};
  if (!std::string(KVD_BINARY).empty()) kinds.push_back("kvd");
  return testing::ValuesIn(kinds);
}

inline std::unique_ptr<Client> connect(std::vector<std::string> endpoints) {
  ClientOptions options;
  options.endpoints = std::move(endpoints);
  auto client = Client::create(std::move(options));
  EXPECT_TRUE(client.ok()) << client.status().to_string();
  return std::move(client).value();
}

// A cluster per test, so that tests may kill its members.
class Servers {
 public:
  Servers(const std::string& kind, int members, std::vector<std::string> flags = {})
      : cluster({.binary = binary_of(kind), .members = members, .extra_flags = std::move(flags)}) {
    cluster.start_all();
    EXPECT_TRUE(cluster.wait_ready()) << cluster.last_words(0);
  }

  std::unique_ptr<Client> client() const {
    std::vector<std::string> endpoints;
    for (int i = 0; i < cluster.size(); ++i) endpoints.push_back(cluster.endpoint(i));
    return connect(std::move(endpoints));
  }
  void restart(int member) {
    cluster.process(member).kill();
    cluster.start(member);
  }
  void kill_leader_and_restart() {
    const auto leader = cluster.wait_leader();
    ASSERT_TRUE(leader.has_value());
    cluster.process(*leader).kill();
    ASSERT_TRUE(cluster.wait_leader().has_value());
    cluster.start(*leader);
  }

  harness::Cluster cluster;
};

}  // namespace kv::client
