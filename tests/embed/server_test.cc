// kv::Server, as a program that embeds it sees it.
#include "embed/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <set>

#include "base/log.h"
#include "client/client.h"
#include "tls/authority.h"

namespace kv {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::unique_ptr<Client> client_of(const Server& server) {
  auto client = Client::create({.endpoints = {server.endpoint()}});
  EXPECT_TRUE(client.ok()) << client.status().to_string();
  return *std::move(client);
}

class EmbeddedServer : public testing::Test {
 protected:
  EmbeddedServer() { set_log_level(LogLevel::kWarning); }
};

class Directory {
 public:
  Directory() {
    char name[] = "/tmp/kvd-embed-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST_F(EmbeddedServer, Serves_once_it_is_started_and_takes_its_directory_with_it) {
  std::string directory;
  {
    auto server = Server::start();
    ASSERT_TRUE(server.ok()) << server.status().to_string();
    directory = (*server)->data_dir();
    EXPECT_TRUE(std::filesystem::exists(directory));
    EXPECT_TRUE((*server)->is_leader());
    const auto client = client_of(**server);
    ASSERT_TRUE(client->put("a", "1").ok());
    EXPECT_EQ(client->get("a")->kvs.at(0).value, "1");
    // Others are told the port that was chosen.
    const auto members = client->member_list();
    ASSERT_EQ(members->members.size(), 1u);
    EXPECT_EQ(members->members[0].client_urls, std::vector{(*server)->client_url()});
    EXPECT_EQ(members->members[0].peer_urls, std::vector{(*server)->peer_url()});
    EXPECT_EQ(members->members[0].id, (*server)->id());
  }
  EXPECT_FALSE(std::filesystem::exists(directory));
}

TEST_F(EmbeddedServer, Stopped_server_serves_nobody_and_may_be_stopped_again) {
  auto server = Server::start();
  ASSERT_TRUE(server.ok()) << server.status().to_string();
  auto client = Client::create({.endpoints = {(*server)->endpoint()}, .dial_timeout = 300ms});
  ASSERT_TRUE((*client)->put("a", "1").ok());
  (*server)->stop();
  EXPECT_EQ((*server)->leader(), 0u);
  EXPECT_EQ((*client)->get("a").status().code(), Code::kUnavailable);
  (*server)->stop();
}

TEST_F(EmbeddedServer, Keeps_what_it_was_told_in_a_directory_that_was_named) {
  const Directory directory;
  ServerOptions options{.name = "m1", .data_dir = directory.path() + "/m1"};
  {
    auto server = Server::start(options);
    ASSERT_TRUE(server.ok()) << server.status().to_string();
    ASSERT_TRUE(client_of(**server)->put("a", "1").ok());
    options.client_url = (*server)->client_url();
    options.peer_url = (*server)->peer_url();
  }
  auto server = Server::start(options);
  ASSERT_TRUE(server.ok()) << server.status().to_string();
  EXPECT_EQ((*server)->client_url(), options.client_url);
  EXPECT_EQ(client_of(**server)->get("a")->kvs.at(0).value, "1");

  // One process, one directory: not twice.
  const auto second = Server::start({.name = "m1", .data_dir = options.data_dir});
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.status().text(), HasSubstr(options.data_dir));
}

TEST_F(EmbeddedServer, Three_members_in_one_process_are_a_cluster_that_outlives_one) {
  auto servers = Server::start_cluster(3, {.name = "m", .unsafe_no_fsync = true});
  ASSERT_TRUE(servers.ok()) << servers.status().to_string();
  ASSERT_EQ(servers->size(), 3u);
  std::vector<std::string> endpoints;
  std::set<std::string> names;
  for (const auto& server : *servers) {
    endpoints.push_back(server->endpoint());
    names.insert(server->name());
  }
  EXPECT_EQ(names, (std::set<std::string>{"m1", "m2", "m3"}));
  auto client = Client::create({.endpoints = endpoints, .dial_timeout = 30s, .call_timeout = 30s});
  ASSERT_TRUE((*client)->put("a", "1").ok());
  for (auto& server : *servers) {
    if (server->is_leader()) {
      server->stop();
      break;
    }
  }
  EXPECT_EQ((*client)->get("a")->kvs.at(0).value, "1");
}

TEST_F(EmbeddedServer, Serves_clients_and_other_members_by_tls) {
  const test::ScratchDirectory files;
  test::Authority authority(files.path(), "ca");
  const auto server = authority.issue("server");
  const auto alice = authority.issue("alice", {.cn = "alice"});
  const embed::ServerTls tls{.cert_file = server.cert_file,
                             .key_file = server.key_file,
                             .trusted_ca_file = authority.ca_file(),
                             .client_cert_auth = true};
  auto servers = Server::start_cluster(2, {.name = "m",
                                           .client_url = "https://127.0.0.1:0",
                                           .peer_url = "https://127.0.0.1:0",
                                           .client_tls = tls,
                                           .peer_tls = tls,
                                           .unsafe_no_fsync = true});
  ASSERT_TRUE(servers.ok()) << servers.status().to_string();
  EXPECT_TRUE(servers->front()->endpoint().starts_with("https://"));

  const auto put_as = [&](const client::TlsOptions& who, std::chrono::milliseconds patience = 1s) {
    const auto client = Client::create(
        {.endpoints = {servers->front()->endpoint()}, .dial_timeout = patience, .call_timeout = patience, .tls = who});
    EXPECT_TRUE(client.ok()) << client.status().to_string();
    return (*client)->put("a", "1").status();
  };
  client::TlsOptions known{.ca_file = authority.ca_file(), .cert_file = alice.cert_file, .key_file = alice.key_file};
  EXPECT_EQ(put_as(known, 60s), Status());
  EXPECT_EQ(put_as({.ca_file = authority.ca_file()}).code(), Code::kUnavailable) << "a certificate is asked for";
  known.server_name = "localhost";
  EXPECT_EQ(put_as(known, 60s), Status());
  known.server_name = "elsewhere.example";
  EXPECT_EQ(put_as(known).code(), Code::kUnavailable) << "the certificate is for another name";
}

TEST_F(EmbeddedServer, Member_that_is_removed_from_its_cluster_says_so) {
  std::promise<Status> told;
  auto servers = Server::start_cluster(
      3, {.name = "m", .unsafe_no_fsync = true, .on_failed = [&](const Status& why) { told.set_value(why); }});
  ASSERT_TRUE(servers.ok()) << servers.status().to_string();
  const auto removed = std::find_if(servers->begin(), servers->end(), [](const auto& s) { return !s->is_leader(); });
  const auto other = removed == servers->begin() ? removed + 1 : servers->begin();
  const auto client = Client::create({.endpoints = {(*other)->endpoint()}, .call_timeout = 30s});
  const auto left = (*client)->member_remove((*removed)->id());
  ASSERT_TRUE(left.ok()) << left.status().to_string();

  auto future = told.get_future();
  ASSERT_EQ(future.wait_for(60s), std::future_status::ready);
  const Status why = future.get();
  EXPECT_FALSE(why.ok());
  EXPECT_EQ((*removed)->failure(), why);
  EXPECT_EQ((*other)->failure(), std::nullopt);
  // The others go on; with a new leader, should it have been that one by then.
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  Status put = (*client)->put("a", "1").status();
  while (put.code() == Code::kUnavailable && std::chrono::steady_clock::now() < deadline) {
    put = (*client)->put("a", "1").status();
  }
  EXPECT_EQ(put, Status());
}

TEST_F(EmbeddedServer, Says_what_is_wrong_with_its_options) {
  auto first = Server::start();
  ASSERT_TRUE(first.ok());
  const auto taken = Server::start({.client_url = (*first)->client_url()});
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.status().code(), Code::kUnavailable);
  EXPECT_THAT(taken.status().text(), HasSubstr("in use"));

  EXPECT_EQ(Server::start({.client_url = "127.0.0.1"}).status().code(), Code::kInvalidArgument);
  const auto without = Server::start({.client_url = "https://127.0.0.1:0"});
  EXPECT_EQ(without.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(without.status().text(), HasSubstr("certificate"));
  EXPECT_EQ(Server::start_cluster(0).status().code(), Code::kInvalidArgument);

  // Two of three never come: no leader, and start() says so instead of waiting for ever.
  const auto lonely = Server::start({.name = "m1",
                                     .peer_url = "http://127.0.0.1:1",
                                     .initial_cluster = {{"m1", {"http://127.0.0.1:1"}},
                                                         {"m2", {"http://127.0.0.1:2"}},
                                                         {"m3", {"http://127.0.0.1:3"}}},
                                     .ready_timeout = 200ms});
  ASSERT_FALSE(lonely.ok());
  EXPECT_EQ(lonely.status().code(), Code::kDeadlineExceeded);
  EXPECT_THAT(lonely.status().text(), HasSubstr("m1"));
}

}  // namespace
}  // namespace kv
