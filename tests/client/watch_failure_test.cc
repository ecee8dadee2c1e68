// Watches against servers that do on demand what real ones do once in a while.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/client.h"
#include "etcdserverpb/rpc.grpc.pb.h"

namespace kv::client {
namespace {

using namespace std::chrono_literals;
namespace pb = etcdserverpb;

constexpr auto kPatience = 30s;

// Gives everybody a token, "t1" to the first who asks.
class FakeAuth final : public pb::Auth::Service {
 public:
  grpc::Status Authenticate(grpc::ServerContext*, const pb::AuthenticateRequest*,
                            pb::AuthenticateResponse* response) override {
    response->set_token("t" + std::to_string(++logins));
    return grpc::Status::OK;
  }
  std::atomic<int> logins{0};
};

// Serves each watch stream with the test's function, and keeps what it was asked.
class FakeMember final : public pb::Watch::Service {
 public:
  using Stream = grpc::ServerReaderWriter<pb::WatchResponse, pb::WatchRequest>;
  using Behaviour = std::function<grpc::Status(FakeMember&, Stream&)>;

  explicit FakeMember(Behaviour behaviour) : behaviour_(std::move(behaviour)) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    builder.RegisterService(&auth);
    server_ = builder.BuildAndStart();
    endpoint = "127.0.0.1:" + std::to_string(port);
  }
  ~FakeMember() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status Watch(grpc::ServerContext* context, Stream* stream) override {
    {
      const std::lock_guard lock(mutex_);
      ++streams_;
      const auto& metadata = context->client_metadata();
      const auto at = metadata.find("hasleader");
      has_leader_ = at != metadata.end() && at->second == "true";
      const auto token = metadata.find("token");
      tokens_.emplace_back(token != metadata.end() ? std::string(token->second.begin(), token->second.end()) : "");
    }
    return behaviour_(*this, *stream);
  }

  // Reads a creation and refuses it.
  static void refuse(Stream& stream, const std::string& reason) {
    pb::WatchRequest request;
    if (!stream.Read(&request)) return;
    pb::WatchResponse response;
    response.set_watch_id(-1);
    response.set_created(true);
    response.set_canceled(true);
    response.set_cancel_reason(reason);
    stream.Write(response);
  }

  // Reads a creation and says that it is done.
  void create(Stream& stream, int64_t id, int64_t revision) {
    pb::WatchRequest request;
    if (!stream.Read(&request)) return;
    {
      const std::lock_guard lock(mutex_);
      created_.push_back(request.create_request());
    }
    pb::WatchResponse response;
    response.set_watch_id(id);
    response.set_created(true);
    response.mutable_header()->set_revision(revision);
    stream.Write(response);
  }
  static void send(Stream& stream, int64_t id, std::vector<int64_t> revisions, bool fragment = false) {
    pb::WatchResponse response;
    response.set_watch_id(id);
    response.set_fragment(fragment);
    for (const int64_t revision : revisions) {
      auto* kv = response.add_events()->mutable_kv();
      kv->set_key("k");
      kv->set_mod_revision(revision);
      response.mutable_header()->set_revision(revision);
    }
    stream.Write(response);
  }
  static void wait_for_the_end(Stream& stream) {
    pb::WatchRequest request;
    while (stream.Read(&request)) {
    }
  }

  std::vector<pb::WatchCreateRequest> created() {
    const std::lock_guard lock(mutex_);
    return created_;
  }
  bool asked_for_a_leader() {
    const std::lock_guard lock(mutex_);
    return has_leader_;
  }
  std::vector<std::string> tokens() {
    const std::lock_guard lock(mutex_);
    return tokens_;
  }
  int streams() {
    const std::lock_guard lock(mutex_);
    return streams_;
  }

  std::string endpoint;
  FakeAuth auth{};

 private:
  const Behaviour behaviour_;
  std::mutex mutex_;                 // guards the four below
  std::vector<std::string> tokens_;  // with which each stream came
  std::vector<pb::WatchCreateRequest> created_;
  bool has_leader_ = false;
  int streams_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

std::unique_ptr<Client> client_for(std::vector<std::string> endpoints) {
  ClientOptions options;
  options.endpoints = std::move(endpoints);
  return *Client::create(options);
}

std::vector<int64_t> take(Watcher& watcher, size_t count) {
  std::vector<int64_t> revisions;
  while (revisions.size() < count) {
    const auto next = watcher.next(at_most(kPatience));
    EXPECT_TRUE(next.ok()) << next.status().to_string();
    if (!next.ok()) break;
    for (const auto& event : next->events) revisions.push_back(event.kv.mod_revision);
  }
  return revisions;
}

TEST(WatchFailure, Member_without_a_leader_is_left_and_the_next_begins_behind_the_last_event) {
  FakeMember cut_off([](FakeMember& self, FakeMember::Stream& stream) {
    self.create(stream, 0, 10);
    FakeMember::send(stream, 0, {11, 11, 12});
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "etcdserver: no leader");
  });
  FakeMember other([](FakeMember& self, FakeMember::Stream& stream) {
    self.create(stream, 5, 12);
    FakeMember::send(stream, 5, {13});
    FakeMember::wait_for_the_end(stream);
    return grpc::Status::OK;
  });
  const auto client = client_for({cut_off.endpoint, other.endpoint});
  Watcher watcher = client->watch("k");
  EXPECT_THAT(take(watcher, 4), testing::ElementsAre(11, 11, 12, 13));
  EXPECT_TRUE(cut_off.asked_for_a_leader());
  ASSERT_EQ(other.created().size(), 1u);
  EXPECT_EQ(other.created()[0].start_revision(), 13);
}

// What etcd 3.4 says, which names no reason, and what later ones say.
class WatchToken : public testing::TestWithParam<const char*> {};

TEST_P(WatchToken, That_has_expired_is_replaced_and_no_watch_misses_anything) {
  FakeMember member([reason = std::string(GetParam())](FakeMember& self, FakeMember::Stream& stream) {
    if (self.streams() == 1) {
      self.create(stream, 0, 10);
      FakeMember::send(stream, 0, {11});
      FakeMember::refuse(stream, reason);
    } else {
      self.create(stream, 0, 20);
      self.create(stream, 1, 20);
      FakeMember::send(stream, 0, {21});
      FakeMember::send(stream, 1, {21});
    }
    FakeMember::wait_for_the_end(stream);
    return grpc::Status::OK;
  });
  ClientOptions options;
  options.endpoints = {member.endpoint};
  options.user = "alice";
  options.password = "secret";
  const auto client = *Client::create(options);
  Watcher first = client->watch("a");
  EXPECT_THAT(take(first, 1), testing::ElementsAre(11));
  Watcher second = client->watch("b");
  EXPECT_THAT(take(second, 1), testing::ElementsAre(21));
  EXPECT_THAT(take(first, 1), testing::ElementsAre(21));
  EXPECT_THAT(member.tokens(), testing::ElementsAre("t1", "t2"));
  for (const auto& created : member.created()) {
    EXPECT_TRUE(created.key() == "b" || created.start_revision() == 0 || created.start_revision() == 12);
  }
}

INSTANTIATE_TEST_SUITE_P(Reasons, WatchToken,
                         testing::Values("etcdserver: invalid auth token",
                                         "rpc error: code = PermissionDenied desc = etcdserver: permission denied"));

TEST(WatchFailure, Watch_that_is_denied_with_a_new_token_too_is_over) {
  FakeMember member([](FakeMember&, FakeMember::Stream& stream) {
    FakeMember::refuse(stream, "rpc error: code = PermissionDenied desc = etcdserver: permission denied");
    FakeMember::wait_for_the_end(stream);
    return grpc::Status::OK;
  });
  ClientOptions options;
  options.endpoints = {member.endpoint};
  options.user = "alice";
  options.password = "secret";
  const auto client = *Client::create(options);
  Watcher watcher = client->watch("a");
  EXPECT_EQ(watcher.next(at_most(kPatience)).status().code(), Code::kPermissionDenied);
}

TEST(WatchFailure, Watch_from_now_on_that_saw_nothing_resumes_behind_its_creation) {
  FakeMember first([](FakeMember& self, FakeMember::Stream& stream) {
    self.create(stream, 0, 10);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone");
  });
  FakeMember second([](FakeMember& self, FakeMember::Stream& stream) {
    self.create(stream, 0, 20);
    FakeMember::send(stream, 0, {11, 20});
    FakeMember::wait_for_the_end(stream);
    return grpc::Status::OK;
  });
  const auto client = client_for({first.endpoint, second.endpoint});
  Watcher watcher = client->watch("k");
  EXPECT_THAT(take(watcher, 2), testing::ElementsAre(11, 20));
  EXPECT_EQ(second.created().at(0).start_revision(), 11);
}

TEST(WatchFailure, Half_of_a_fragmented_answer_is_forgotten_with_its_stream) {
  FakeMember first([](FakeMember& self, FakeMember::Stream& stream) {
    self.create(stream, 0, 10);
    FakeMember::send(stream, 0, {11});
    FakeMember::send(stream, 0, {12, 12}, true);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone");
  });
  FakeMember second([](FakeMember& self, FakeMember::Stream& stream) {
    self.create(stream, 0, 12);
    FakeMember::send(stream, 0, {12, 12}, true);
    FakeMember::send(stream, 0, {12, 13});
    FakeMember::wait_for_the_end(stream);
    return grpc::Status::OK;
  });
  const auto client = client_for({first.endpoint, second.endpoint});
  Watcher watcher = client->watch("k");
  EXPECT_THAT(take(watcher, 1), testing::ElementsAre(11));
  const auto joined = watcher.next(at_most(kPatience));
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(joined->events.size(), 4u) << "all events of a revision come in one response";
  EXPECT_EQ(second.created().at(0).start_revision(), 12);
}

TEST(WatchFailure, What_a_member_sends_twice_is_seen_once) {
  FakeMember member([](FakeMember& self, FakeMember::Stream& stream) {
    self.create(stream, 0, 10);
    FakeMember::send(stream, 0, {11, 12});
    FakeMember::send(stream, 0, {12, 13});
    FakeMember::wait_for_the_end(stream);
    return grpc::Status::OK;
  });
  const auto client = client_for({member.endpoint});
  Watcher watcher = client->watch("k");
  EXPECT_THAT(take(watcher, 3), testing::ElementsAre(11, 12, 13));
}

TEST(WatchFailure, Watches_of_a_client_share_one_stream) {
  FakeMember member([](FakeMember& self, FakeMember::Stream& stream) {
    for (int id = 0; id < 3; ++id) self.create(stream, id, 10);
    for (int id = 2; id >= 0; --id) FakeMember::send(stream, id, {11 + id});
    FakeMember::wait_for_the_end(stream);
    return grpc::Status::OK;
  });
  const auto client = client_for({member.endpoint});
  std::vector<Watcher> watchers;
  for (int i = 0; i < 3; ++i) watchers.push_back(client->watch("k" + std::to_string(i)));
  for (size_t i = 0; i < 3; ++i) EXPECT_THAT(take(watchers[i], 1), testing::ElementsAre(11 + static_cast<int>(i)));
  EXPECT_EQ(member.streams(), 1);
}

TEST(WatchFailure, Refusal_ends_the_watch_and_is_not_asked_again) {
  FakeMember member([](FakeMember&, FakeMember::Stream&) {
    return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "unknown service etcdserverpb.Watch");
  });
  const auto client = client_for({member.endpoint});
  Watcher watcher = client->watch("k");
  EXPECT_EQ(watcher.next(at_most(kPatience)).status().code(), Code::kUnimplemented);
  EXPECT_EQ(member.streams(), 1);
}

TEST(WatchFailure, Lost_permission_ends_one_watch) {
  FakeMember member([](FakeMember& self, FakeMember::Stream& stream) {
    self.create(stream, 0, 10);
    self.create(stream, 1, 10);
    pb::WatchResponse response;
    response.set_watch_id(0);
    response.set_canceled(true);
    response.set_cancel_reason("rpc error: code = PermissionDenied desc = etcdserver: permission denied");
    stream.Write(response);
    FakeMember::send(stream, 1, {11});
    FakeMember::wait_for_the_end(stream);
    return grpc::Status::OK;
  });
  const auto client = client_for({member.endpoint});
  Watcher denied = client->watch("a");
  Watcher allowed = client->watch("b");
  EXPECT_EQ(denied.next(at_most(kPatience)).status(), Status(Code::kPermissionDenied, "etcdserver: permission denied"));
  EXPECT_THAT(take(allowed, 1), testing::ElementsAre(11));
}

}  // namespace
}  // namespace kv::client
