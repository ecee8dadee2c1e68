// A kvd inside the test's process (kv::Server): one for all tests of a binary, since it costs half a second to start.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "client/client.h"
#include "client/session.h"
#include "embed/server.h"

namespace kv::client {

// Each test has keys of its own, under prefix_.
class Embedded : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_level(LogLevel::kError);
    auto server = Server::start({.unsafe_no_fsync = true});
    ASSERT_TRUE(server.ok()) << server.status().to_string();
    server_ = *std::move(server);
  }
  static void TearDownTestSuite() { server_.reset(); }
  void SetUp() override {
    client_ = connect();
    prefix_ = std::string("/") + testing::UnitTest::GetInstance()->current_test_info()->name() + "/";
  }

  static std::unique_ptr<Client> connect(ClientOptions options = {}) {
    options.endpoints = {server_->endpoint()};
    auto client = Client::create(std::move(options));
    EXPECT_TRUE(client.ok()) << client.status().to_string();
    return *std::move(client);
  }
  static std::unique_ptr<Session> session(Client& client, int64_t ttl_s = 60) {
    auto made = Session::create(client, {.ttl_s = ttl_s});
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    return *std::move(made);
  }
  std::string key(std::string_view name) const { return prefix_ + std::string(name); }
  std::string value_of(std::string_view name) const {
    const auto got = client_->get(key(name));
    EXPECT_TRUE(got.ok()) << got.status().to_string();
    return got.ok() && !got->kvs.empty() ? got->kvs[0].value : "(none)";
  }

  static inline std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
  std::string prefix_;
};

}  // namespace kv::client
