// The client against a server that fails on demand, to see what is sent, how often, and what is said in the end.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "client/async.h"
#include "client/client.h"
#include "client/stm.h"
#include "etcdserverpb/rpc.grpc.pb.h"

namespace kv::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::AllOf;
using testing::HasSubstr;

// Gives out the token "pass", or does what the test says.
class FakeAuth final : public etcdserverpb::Auth::Service {
 public:
  grpc::Status Authenticate(grpc::ServerContext* context, const etcdserverpb::AuthenticateRequest*,
                            etcdserverpb::AuthenticateResponse* response) override {
    ++logins;
    response->set_token("pass");
    return behaviour ? behaviour(*context) : grpc::Status::OK;
  }

  std::function<grpc::Status(grpc::ServerContext&)> behaviour;  // set before the first call
  std::atomic<int> logins{0};
};

// Answers Range and Put with what the test says and counts the calls. Range answers with the fake's name as value.
class FakeMember final : public etcdserverpb::KV::Service {
 public:
  using Behaviour = std::function<grpc::Status(grpc::ServerContext&)>;

  explicit FakeMember(std::string name) : name_(std::move(name)) { listen("127.0.0.1:0"); }
  ~FakeMember() override { stop(); }

  void listen(const std::string& address) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    builder.RegisterService(&auth);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    endpoint_ = "127.0.0.1:" + std::to_string(port);
  }
  void stop() {
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }

  const std::string& endpoint() const { return endpoint_; }

  grpc::Status Range(grpc::ServerContext* context, const etcdserverpb::RangeRequest* request,
                     etcdserverpb::RangeResponse* response) override {
    ++reads;
    response->mutable_header()->set_revision(7);
    auto* kv = response->add_kvs();
    kv->set_key(request->key());
    kv->set_value(name_);
    return behaviour ? behaviour(*context) : grpc::Status::OK;
  }
  grpc::Status Put(grpc::ServerContext* context, const etcdserverpb::PutRequest*, etcdserverpb::PutResponse*) override {
    ++writes;
    return behaviour ? behaviour(*context) : grpc::Status::OK;
  }
  grpc::Status Txn(grpc::ServerContext* context, const etcdserverpb::TxnRequest*,
                   etcdserverpb::TxnResponse* response) override {
    ++txns;
    response->set_succeeded(succeeds);
    return behaviour ? behaviour(*context) : grpc::Status::OK;
  }

  Behaviour behaviour;  // set before the first call
  std::atomic<bool> succeeds{false};
  std::atomic<int> reads{0};
  std::atomic<int> writes{0};
  std::atomic<int> txns{0};
  FakeAuth auth;

 private:
  const std::string name_;
  std::string endpoint_;
  std::unique_ptr<grpc::Server> server_;
};

// An endpoint where connections open and nothing is ever said.
class SilentListener {
 public:
  SilentListener() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd_, 16), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    endpoint_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~SilentListener() { ::close(fd_); }
  const std::string& endpoint() const { return endpoint_; }

 private:
  int fd_;
  std::string endpoint_;
};

// An endpoint where nothing listens: it did, so the port is nobody else's for now.
std::string dead_endpoint() {
  FakeMember member("gone");
  return member.endpoint();
}

std::unique_ptr<Client> client_for(std::vector<std::string> endpoints, milliseconds dial_timeout = milliseconds(2000),
                                   size_t async_calls_max = 1024) {
  ClientOptions options;
  options.async_calls_max = async_calls_max;
  options.endpoints = std::move(endpoints);
  options.dial_timeout = dial_timeout;
  auto client = Client::create(options);
  EXPECT_TRUE(client.ok()) << client.status().to_string();
  return std::move(client).value();
}

grpc::Status unavailable(const char* text) { return {grpc::StatusCode::UNAVAILABLE, text}; }

TEST(ClientFailure, Read_on_a_dead_endpoint_moves_to_the_next) {
  FakeMember alive("alive");
  auto client = client_for({dead_endpoint(), alive.endpoint()});
  const auto begin = steady_clock::now();
  const auto got = client->get("k");
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_EQ(got->kvs.at(0).value, "alive");
  EXPECT_LT(steady_clock::now() - begin, milliseconds(1500)) << "a refused connection needs no timeout to be seen";
}

TEST(ClientFailure, Write_on_a_dead_endpoint_moves_to_the_next) {
  FakeMember alive("alive");
  auto client = client_for({dead_endpoint(), dead_endpoint(), alive.endpoint()});
  const auto put = client->put("k", "v");
  ASSERT_TRUE(put.ok()) << put.status().to_string();
  EXPECT_EQ(alive.writes, 1);
}

TEST(ClientFailure, Silent_endpoint_holds_a_call_up_for_a_head_start_only) {
  SilentListener silent;
  FakeMember alive("alive");
  auto client = client_for({silent.endpoint(), alive.endpoint()});
  const auto begin = steady_clock::now();
  ASSERT_TRUE(client->get("k").ok());
  EXPECT_LT(steady_clock::now() - begin, milliseconds(1500));
}

TEST(ClientFailure, Endpoint_that_dies_between_calls_is_left) {
  auto first = std::make_unique<FakeMember>("first");
  FakeMember second("second");
  auto client = client_for({first->endpoint(), second.endpoint()});
  EXPECT_EQ(client->get("k")->kvs.at(0).value, "first");
  first.reset();
  const auto put = client->put("k", "v");
  ASSERT_TRUE(put.ok()) << put.status().to_string();
  EXPECT_EQ(second.writes, 1);
  EXPECT_EQ(client->get("k")->kvs.at(0).value, "second");
}

TEST(ClientFailure, Client_stays_with_an_endpoint_that_works) {
  FakeMember first("first");
  FakeMember second("second");
  auto client = client_for({first.endpoint(), second.endpoint()});
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client->get("k")->kvs.at(0).value, "first");
  EXPECT_EQ(second.reads, 0);
}

TEST(ClientFailure, Lone_endpoint_that_comes_back_is_found_again) {
  FakeMember member("m");
  auto client = client_for({member.endpoint()});
  ASSERT_TRUE(client->get("k").ok());
  const std::string address = member.endpoint();
  member.stop();
  std::thread comeback([&] { member.listen(address); });
  const auto got = client->get("k");
  comeback.join();
  ASSERT_TRUE(got.ok()) << got.status().to_string();
}

TEST(ClientFailure, All_dead_names_every_endpoint_and_why) {
  const std::string a = dead_endpoint();
  const std::string b = dead_endpoint();
  SilentListener silent;
  auto client = client_for({a, b, silent.endpoint()}, milliseconds(400));
  const auto begin = steady_clock::now();
  const auto got = client->get("k");
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.status().code(), Code::kUnavailable);
  EXPECT_THAT(got.status().text(),
              AllOf(HasSubstr("no endpoint can be reached"), HasSubstr(a + " (Connection refused)"),
                    HasSubstr(b + " (Connection refused)"), HasSubstr(silent.endpoint() + " (no answer)")));
  EXPECT_LT(steady_clock::now() - begin, milliseconds(3000)) << "the dial timeout ends the wait, not the call's";
}

TEST(ClientFailure, Read_whose_connection_breaks_and_finds_no_other_tells_both) {
  FakeMember member("m");
  SilentListener silent;
  std::atomic<bool> arrived{false};
  std::atomic<bool> over{false};
  member.behaviour = [&](grpc::ServerContext&) {
    arrived = true;
    while (!over) std::this_thread::sleep_for(milliseconds(1));
    return grpc::Status::OK;
  };
  auto client = client_for({member.endpoint(), silent.endpoint()}, milliseconds(1500));
  std::thread breaker([&] {
    while (!arrived && !over) std::this_thread::sleep_for(milliseconds(1));
    member.stop();
  });
  const auto got = client->get("k", {}, {.timeout = milliseconds(60'000)});
  over = true;
  breaker.join();
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.status().code(), Code::kUnavailable);
  EXPECT_THAT(got.status().text(), AllOf(HasSubstr("no endpoint can be reached: "), HasSubstr("tried for"),
                                         HasSubstr("; before that " + member.endpoint() + ": ")));
}

TEST(ClientFailure, Name_that_does_not_resolve_is_named) {
  auto client = client_for({"no-such-host.invalid:2379"}, milliseconds(1500));
  const auto got = client->get("k");
  ASSERT_FALSE(got.ok());
  EXPECT_THAT(got.status().text(), HasSubstr("no-such-host.invalid:2379"));
}

TEST(ClientFailure, Deadline_ends_a_call_that_is_not_answered) {
  FakeMember slow("slow");
  slow.behaviour = [](grpc::ServerContext& context) {
    while (!context.IsCancelled()) std::this_thread::sleep_for(milliseconds(1));
    return grpc::Status::CANCELLED;
  };
  auto client = client_for({slow.endpoint()});
  const auto begin = steady_clock::now();
  const auto put = client->put("k", "v", {}, {.timeout = milliseconds(300)});
  EXPECT_EQ(put.status(), Status(Code::kDeadlineExceeded, "context deadline exceeded"));
  EXPECT_GE(steady_clock::now() - begin, milliseconds(299));
  EXPECT_LT(steady_clock::now() - begin, milliseconds(2000));
  EXPECT_EQ(slow.writes, 1);
}

TEST(ClientFailure, Deadline_shorter_than_the_dial_timeout_wins) {
  SilentListener silent;
  auto client = client_for({silent.endpoint()}, milliseconds(60'000));
  const auto begin = steady_clock::now();
  EXPECT_FALSE(client->get("k", {}, {.timeout = milliseconds(200)}).ok());
  EXPECT_LT(steady_clock::now() - begin, milliseconds(3000));
}

TEST(ClientFailure, Read_is_sent_again_on_another_endpoint_while_unavailable) {
  FakeMember first("first");
  FakeMember second("second");
  first.behaviour = [](grpc::ServerContext&) { return unavailable("etcdserver: no leader"); };
  auto client = client_for({first.endpoint(), second.endpoint()});
  const auto got = client->get("k");
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_EQ(got->kvs.at(0).value, "second");
  EXPECT_EQ(first.reads, 1);
}

TEST(ClientFailure, Read_is_sent_again_on_the_only_endpoint) {
  FakeMember member("m");
  std::atomic<int> left{3};
  member.behaviour = [&](grpc::ServerContext&) {
    return left-- > 0 ? unavailable("etcdserver: leader changed") : grpc::Status::OK;
  };
  auto client = client_for({member.endpoint()});
  ASSERT_TRUE(client->get("k").ok());
  EXPECT_EQ(member.reads, 4);
}

TEST(ClientFailure, Read_that_stays_unavailable_gives_the_servers_words) {
  FakeMember member("m");
  member.behaviour = [](grpc::ServerContext&) { return unavailable("etcdserver: no leader"); };
  auto client = client_for({member.endpoint()});
  const auto got = client->get("k", {}, {.timeout = milliseconds(2000)});
  EXPECT_EQ(got.status(), Status(Code::kUnavailable, "etcdserver: no leader"));
  EXPECT_GT(member.reads, 3);
}

TEST(ClientFailure, Read_whose_repetition_is_cut_off_gives_the_servers_words) {
  FakeMember member("m");
  member.behaviour = [&](grpc::ServerContext& context) {
    if (member.reads == 1) return unavailable("etcdserver: no leader");
    while (!context.IsCancelled()) std::this_thread::sleep_for(milliseconds(1));
    return grpc::Status::OK;
  };
  auto client = client_for({member.endpoint()});
  const auto got = client->get("k", {}, {.timeout = milliseconds(2000)});
  EXPECT_EQ(got.status(), Status(Code::kUnavailable, "etcdserver: no leader"));
  EXPECT_EQ(member.reads, 2);
}

TEST(ClientFailure, Write_that_was_sent_is_never_sent_again) {
  FakeMember first("first");
  FakeMember second("second");
  first.behaviour = [](grpc::ServerContext&) { return unavailable("etcdserver: leader changed"); };
  auto client = client_for({first.endpoint(), second.endpoint()});
  EXPECT_EQ(client->put("k", "v").status(), Status(Code::kUnavailable, "etcdserver: leader changed"));
  EXPECT_EQ(first.writes + second.writes, 1);
}

TEST(ClientFailure, Write_on_a_connection_that_breaks_says_that_it_may_have_happened) {
  FakeMember member("m");
  std::atomic<bool> arrived{false};
  std::atomic<bool> release{false};
  member.behaviour = [&](grpc::ServerContext&) {
    arrived = true;
    while (!release) std::this_thread::sleep_for(milliseconds(1));
    return grpc::Status::OK;
  };
  auto client = client_for({member.endpoint()});
  std::thread breaker([&] {
    while (!arrived) std::this_thread::sleep_for(milliseconds(1));
    std::thread stopper([&] { member.stop(); });  // drops the connection, then waits for the handler
    std::this_thread::sleep_for(milliseconds(100));
    release = true;
    stopper.join();
  });
  const auto put = client->put("k", "v");
  breaker.join();
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.status().code(), Code::kUnavailable);
  EXPECT_THAT(put.status().text(), AllOf(HasSubstr(member.endpoint()), HasSubstr("may or may not")));
  EXPECT_EQ(member.writes, 1);
}

TEST(ClientFailure, Txn_that_only_reads_is_repeated_and_one_that_writes_is_not) {
  FakeMember member("m");
  member.behaviour = [](grpc::ServerContext&) { return unavailable("etcdserver: no leader"); };
  auto client = client_for({member.endpoint()});
  EXPECT_FALSE(client->commit(Txn().then({put_op("k", "v")})).ok());
  EXPECT_EQ(member.txns, 1);
  EXPECT_FALSE(client->commit(Txn().then({get_op("k")}), {.timeout = milliseconds(200)}).ok());
  EXPECT_GT(member.txns, 2);
}

// Loses the answers to the first `lost` transactions.
void lose_answers(FakeMember& member, int lost) {
  member.behaviour = [&member, lost](grpc::ServerContext&) {
    return member.txns > 0 && member.txns <= lost ? unavailable("etcdserver: leader changed") : grpc::Status::OK;
  };
}

Status read_and_write(Stm& stm) {
  const auto got = stm.get("k");
  stm.put("k", "v");
  return got.status();
}

TEST(ClientFailure, Stm_that_has_read_sends_an_unanswered_commit_again) {
  FakeMember member("m");
  lose_answers(member, 2);
  member.succeeds = true;
  auto client = client_for({member.endpoint()});
  const auto done = transact(*client, read_and_write);
  ASSERT_TRUE(done.ok()) << done.status().to_string();
  EXPECT_EQ(done->runs, 1);
  EXPECT_EQ(member.txns, 3);
}

TEST(ClientFailure, Stm_does_not_run_again_when_an_unanswered_commit_may_have_been_what_it_lost_to) {
  FakeMember member("m");
  lose_answers(member, 1);
  auto client = client_for({member.endpoint()});
  EXPECT_EQ(transact(*client, read_and_write).status(), Status(Code::kUnavailable, "etcdserver: leader changed"));
  EXPECT_EQ(member.txns, 2);
}

TEST(ClientFailure, Stm_that_has_read_nothing_sends_its_commit_once) {
  FakeMember member("m");
  lose_answers(member, 1);
  member.succeeds = true;
  auto client = client_for({member.endpoint()});
  const auto done = transact(*client, [](Stm& stm) -> Status {
    stm.put("k", "v");
    return {};
  });
  EXPECT_EQ(done.status(), Status(Code::kUnavailable, "etcdserver: leader changed"));
  EXPECT_EQ(member.txns, 1);
}

TEST(ClientFailure, Server_error_is_handed_on_to_the_letter_and_not_repeated) {
  FakeMember member("m");
  member.behaviour = [](grpc::ServerContext&) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded");
  };
  auto client = client_for({member.endpoint()});
  EXPECT_EQ(client->get("k").status(), Status(Code::kResourceExhausted, "etcdserver: mvcc: database space exceeded"));
  EXPECT_EQ(member.reads, 1);
}

TEST(ClientFailure, Request_above_the_send_limit_stays_here) {
  FakeMember member("m");
  auto client = client_for({member.endpoint()});
  const auto put = client->put("k", std::string(3 * 1024 * 1024, 'x'));
  EXPECT_EQ(put.status().code(), Code::kResourceExhausted);
  EXPECT_EQ(member.writes, 0);
}

TEST(ClientFailure, Async_write_on_a_dead_endpoint_moves_to_the_next) {
  FakeMember alive("alive");
  auto client = client_for({dead_endpoint(), dead_endpoint(), alive.endpoint()});
  Async async(*client);
  const auto put = async.put("k", "v").get();
  ASSERT_TRUE(put.ok()) << put.status().to_string();
  EXPECT_EQ(alive.writes, 1);
}

TEST(ClientFailure, Async_read_is_sent_again_while_unavailable_and_a_write_is_not) {
  FakeMember first("first");
  FakeMember second("second");
  first.behaviour = [](grpc::ServerContext&) { return unavailable("etcdserver: no leader"); };
  auto client = client_for({first.endpoint(), second.endpoint()});
  Async async(*client);
  EXPECT_EQ(async.put("k", "v").get().status(), Status(Code::kUnavailable, "etcdserver: no leader"));
  EXPECT_EQ(first.writes + second.writes, 1);
  const auto got = async.get("k").get();
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_EQ(got->kvs.at(0).value, "second");
  EXPECT_EQ(first.reads, 1);
}

TEST(ClientFailure, Async_calls_with_all_endpoints_dead_say_so_together) {
  const std::string dead = dead_endpoint();
  auto client = client_for({dead}, milliseconds(400));
  Async async(*client);
  std::vector<std::future<Result<GetResponse>>> gets;
  const auto begin = steady_clock::now();
  for (int i = 0; i < 100; ++i) gets.push_back(async.get("k"));
  for (auto& get : gets) {
    const Status status = get.get().status();
    EXPECT_EQ(status.code(), Code::kUnavailable);
    EXPECT_THAT(status.text(), HasSubstr(dead + " can't be reached (Connection refused)"));
  }
  EXPECT_LT(steady_clock::now() - begin, milliseconds(10'000)) << "not one after the other";
}

// Holds calls until it is told to let them go.
class HoldingMember {
 public:
  HoldingMember() {
    member.behaviour = [this](grpc::ServerContext& context) {
      while (!go && !context.IsCancelled()) std::this_thread::sleep_for(milliseconds(1));
      return grpc::Status::OK;
    };
  }
  FakeMember member{"holding"};
  std::atomic<bool> go{false};
};

TEST(ClientFailure, Async_calls_beyond_the_bound_are_refused_until_one_is_answered) {
  HoldingMember holding;
  auto client = client_for({holding.member.endpoint()}, milliseconds(2000), 2);
  Async async(*client);
  auto one = async.put("k", "v", {}, {.timeout = milliseconds(60'000)});
  auto two = async.get("k", {}, {.timeout = milliseconds(60'000)});
  EXPECT_EQ(async.put("k", "v").get().status(), Status(Code::kResourceExhausted, "too many calls are on their way"));
  Code told = Code::kOk;
  async.get("k", {}, {}, [&](Result<GetResponse> got) { told = got.status().code(); });
  EXPECT_EQ(told, Code::kResourceExhausted) << "on this thread";
  holding.go = true;
  EXPECT_TRUE(one.get().ok());
  EXPECT_TRUE(two.get().ok());
  EXPECT_TRUE(async.put("k", "v").get().ok());
}

TEST(ClientFailure, Async_deadline_ends_a_call_that_is_not_answered) {
  HoldingMember holding;
  auto client = client_for({holding.member.endpoint()});
  Async async(*client);
  EXPECT_EQ(async.put("k", "v", {}, {.timeout = milliseconds(1500)}).get().status(),
            Status(Code::kDeadlineExceeded, "context deadline exceeded"));
  EXPECT_EQ(holding.member.writes, 1);
}

TEST(ClientFailure, Async_calls_are_answered_when_their_client_goes) {
  HoldingMember holding;
  auto client = client_for({holding.member.endpoint()});
  auto async = std::make_unique<Async>(*client);
  auto put = async->put("k", "v", {}, {.timeout = milliseconds(60'000)});
  std::atomic<int> told{-1};
  async->get("k", {}, {.timeout = milliseconds(60'000)},
             [&](Result<GetResponse> got) { told = static_cast<int>(got.status().code()); });
  while (holding.member.writes == 0 || holding.member.reads == 0) std::this_thread::sleep_for(milliseconds(1));
  client.reset();
  EXPECT_EQ(told, -1) << "the calls' own object is left";
  async.reset();
  EXPECT_EQ(told, static_cast<int>(Code::kCanceled));
  EXPECT_EQ(put.get().status(), Status(Code::kCanceled, "the client is closed"));
}

std::unique_ptr<Client> alice_for(std::vector<std::string> endpoints) {
  auto client = Client::create({.endpoints = std::move(endpoints), .user = "alice", .password = "secret"});
  EXPECT_TRUE(client.ok()) << client.status().to_string();
  return std::move(client).value();
}

grpc::Status until_cancelled(grpc::ServerContext& context) {
  while (!context.IsCancelled()) std::this_thread::sleep_for(milliseconds(1));
  return grpc::Status::CANCELLED;
}

// As a cluster with authentication.
grpc::Status only_with_token(grpc::ServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto token = metadata.find("token");
  if (token != metadata.end() && token->second == "pass") return grpc::Status::OK;
  return {grpc::StatusCode::INVALID_ARGUMENT, "etcdserver: user name is empty"};
}

// Whether `member` has been asked for more than `before` logins, in good time.
bool sees_login(const FakeMember& member, int before = 0) {
  const auto deadline = steady_clock::now() + std::chrono::seconds(60);
  while (member.auth.logins <= before && steady_clock::now() < deadline) std::this_thread::sleep_for(milliseconds(1));
  return member.auth.logins > before;
}

TEST(ClientFailure, Login_that_fails_on_one_endpoint_is_tried_on_the_next_for_a_write_too) {
  FakeMember first("first");
  FakeMember second("second");
  first.auth.behaviour = [](grpc::ServerContext&) { return unavailable("etcdserver: no leader"); };
  second.behaviour = only_with_token;
  {
    auto client = alice_for({first.endpoint(), second.endpoint()});
    const auto put = client->put("k", "v");
    EXPECT_TRUE(put.ok()) << put.status().to_string();
    EXPECT_EQ(first.auth.logins, 1);
  }
  auto client = alice_for({first.endpoint(), second.endpoint()});
  Async async(*client);
  const auto put = async.put("k", "v").get();
  EXPECT_TRUE(put.ok()) << put.status().to_string();
  EXPECT_EQ(first.auth.logins, 2);
  EXPECT_EQ(first.writes, 0);
  EXPECT_EQ(second.writes, 2);
}

TEST(ClientFailure, Login_that_is_refused_ends_the_call_with_the_servers_words) {
  const grpc::Status wrong(grpc::StatusCode::INVALID_ARGUMENT,
                           "etcdserver: authentication failed, invalid user ID or password");
  FakeMember member("m");
  member.auth.behaviour = [&](grpc::ServerContext&) { return wrong; };
  auto client = alice_for({member.endpoint()});
  EXPECT_EQ(client->get("k").status(), Status(Code::kInvalidArgument, wrong.error_message()));
  EXPECT_EQ(member.auth.logins, 1);
  Async async(*client);
  EXPECT_EQ(async.get("k").get().status(), Status(Code::kInvalidArgument, wrong.error_message()));
  EXPECT_EQ(member.auth.logins, 2);
  EXPECT_EQ(member.reads, 0);
}

TEST(ClientFailure, Async_calls_wait_for_one_login_together) {
  FakeMember member("m");
  std::atomic<bool> go{false};
  member.auth.behaviour = [&](grpc::ServerContext&) {
    while (!go) std::this_thread::sleep_for(milliseconds(1));
    return grpc::Status::OK;
  };
  member.behaviour = only_with_token;
  auto client = alice_for({member.endpoint()});
  Async async(*client);
  std::vector<std::future<Result<PutResponse>>> puts;
  for (int i = 0; i < 100; ++i) puts.push_back(async.put("k", "v", {}, {.timeout = milliseconds(60'000)}));
  EXPECT_TRUE(sees_login(member));
  go = true;
  for (auto& put : puts) {
    const auto done = put.get();
    EXPECT_TRUE(done.ok()) << done.status().to_string();
  }
  EXPECT_EQ(member.auth.logins, 1);
  EXPECT_EQ(member.writes, 100);
}

TEST(ClientFailure, Async_login_that_hangs_holds_no_other_calls_deadline_up) {
  FakeMember member("m");
  member.auth.behaviour = until_cancelled;
  auto client = alice_for({member.endpoint()});
  auto async = std::make_unique<Async>(*client);
  auto patient = async->put("k", "v", {}, {.timeout = milliseconds(600'000)});
  ASSERT_TRUE(sees_login(member));
  auto hasty = async->put("k", "v", {}, {.timeout = milliseconds(300)});
  ASSERT_EQ(hasty.wait_for(std::chrono::seconds(60)), std::future_status::ready);
  EXPECT_EQ(hasty.get().status(), Status(Code::kDeadlineExceeded, "context deadline exceeded"));
  EXPECT_EQ(patient.wait_for(milliseconds(0)), std::future_status::timeout);
  // Nor does it keep the client.
  client.reset();
  async.reset();
  EXPECT_EQ(patient.get().status(), Status(Code::kCanceled, "the client is closed"));
  EXPECT_EQ(member.writes, 0);
}

TEST(ClientFailure, Async_login_whose_call_is_out_of_time_is_done_again_for_the_others) {
  FakeMember first("first");
  FakeMember second("second");
  first.auth.behaviour = until_cancelled;
  second.behaviour = only_with_token;
  auto client = alice_for({first.endpoint(), second.endpoint()});
  Async async(*client);
  auto hasty = async.put("k", "v", {}, {.timeout = milliseconds(3000)});
  ASSERT_TRUE(sees_login(first));
  auto patient = async.put("k", "v", {}, {.timeout = milliseconds(60'000)});
  EXPECT_EQ(hasty.get().status(), Status(Code::kDeadlineExceeded, "context deadline exceeded"));
  const auto done = patient.get();
  EXPECT_TRUE(done.ok()) << done.status().to_string();
  EXPECT_EQ(second.writes, 1);
}

TEST(ClientFailure, Login_that_hangs_keeps_neither_a_lease_nor_the_client) {
  FakeMember member("m");
  member.auth.behaviour = until_cancelled;
  auto client = Client::create({.endpoints = {member.endpoint()},
                                .call_timeout = milliseconds(600'000),
                                .user = "alice",
                                .password = "secret"});
  ASSERT_TRUE(client.ok()) << client.status().to_string();
  const KeepAlive alive = (*client)->keep_alive(7, {.ttl_s = 1});
  EXPECT_EQ(alive.wait_lost(at_most(milliseconds(60'000))), Status()) << "a TTL after the last that was answered";
  const int before = member.auth.logins;
  const Watcher watcher = (*client)->watch("k");
  ASSERT_TRUE(sees_login(member, before));
  const auto begin = steady_clock::now();
  client->reset();
  EXPECT_LT(steady_clock::now() - begin, milliseconds(60'000));
}

TEST(ClientFailure, Options_that_cannot_work_are_refused_before_any_call) {
  EXPECT_EQ(Client::create(ClientOptions{.endpoints = {}}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Client::create(ClientOptions{.endpoints = {"nowhere"}}).status().code(), Code::kInvalidArgument);
  ClientOptions no_file;
  no_file.tls.ca_file = "/no/such/ca.pem";
  EXPECT_THAT(Client::create(no_file).status().text(), HasSubstr("/no/such/ca.pem"));
  ClientOptions half;
  half.tls.cert_file = "/dev/null";
  EXPECT_THAT(Client::create(half).status().text(), HasSubstr("go together"));
}

TEST(ClientFailure, Many_threads_share_one_client_through_a_failover) {
  auto first = std::make_unique<FakeMember>("first");
  FakeMember second("second");
  auto client = client_for({first->endpoint(), second.endpoint()});
  ASSERT_TRUE(client->get("k").ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const auto got = client->get("k");
        EXPECT_TRUE(got.ok()) << got.status().to_string();
      }
    });
  }
  first.reset();
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace kv::client
