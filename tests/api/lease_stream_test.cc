// Keep-alive streams from real members to gRPC's own client.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "api/net/server.h"
#include "api/services/services.h"
#include "etcdserverpb/rpc.grpc.pb.h"
#include "server/members_fixture.h"

namespace kv::test {
namespace {

using namespace etcdserverpb;

class LeaseStreamTest : public server::ThreeMembers {
 protected:
  // A door to one of the members.
  struct Door {
    explicit Door(server::Member& member) {
      api::add_lease(table, member);
      auto listened = api::Server::listen({.listen_urls = {"http://127.0.0.1:0"}}, table, {});
      EXPECT_TRUE(listened.ok()) << listened.status().to_string();
      server = *std::move(listened);
      server->start();
      stub = Lease::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(server->bound_ports()[0]),
                                                grpc::InsecureChannelCredentials()));
    }
    api::CallTable table{nullptr};
    std::unique_ptr<api::Server> server;
    std::unique_ptr<Lease::Stub> stub;
  };

  static std::unique_ptr<grpc::ClientContext> context(bool has_leader) {
    auto out = std::make_unique<grpc::ClientContext>();
    out->set_wait_for_ready(true);
    out->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    if (has_leader) out->AddMetadata("hasleader", "true");
    return out;
  }
  static int64_t grant(Door& door) {
    LeaseGrantRequest request;
    request.set_ttl(60);
    LeaseGrantResponse response;
    const grpc::Status status = door.stub->LeaseGrant(context(false).get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.id();
  }
  static int64_t keep_alive(grpc::ClientReaderWriter<LeaseKeepAliveRequest, LeaseKeepAliveResponse>& stream,
                            int64_t id) {
    LeaseKeepAliveRequest request;
    request.set_id(id);
    LeaseKeepAliveResponse response;
    if (!stream.Write(request) || !stream.Read(&response)) return -1;
    EXPECT_EQ(response.id(), id);
    return response.ttl();
  }
};

TEST_F(LeaseStreamTest, Every_member_answers_in_the_order_of_the_requests) {
  const size_t follower = (leader_place() + 1) % members_.size();
  Door door(*members_[follower]);
  const int64_t id = grant(door);
  const auto call = context(false);
  const auto stream = door.stub->LeaseKeepAlive(call.get());
  constexpr int kRequests = 500;  // more than may be under way at a time
  for (int i = 0; i < kRequests; ++i) {
    LeaseKeepAliveRequest request;
    request.set_id(i % 2 == 0 ? id : i);
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  LeaseKeepAliveResponse response;
  for (int i = 0; i < kRequests; ++i) {
    ASSERT_TRUE(stream->Read(&response)) << i;
    EXPECT_EQ(response.id(), i % 2 == 0 ? id : i);
    EXPECT_EQ(response.ttl(), i % 2 == 0 ? 60 : 0) << "0: there is no such lease";
  }
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(LeaseStreamTest, One_that_asks_for_a_leader_ends_without_one) {
  const size_t stays = (leader_place() + 1) % members_.size();
  Door door(*members_[stays]);
  const int64_t id = grant(door);
  const auto call = context(true);
  const auto stream = door.stub->LeaseKeepAlive(call.get());
  EXPECT_EQ(keep_alive(*stream, id), 60);
  for (size_t i = 0; i < members_.size(); ++i) {
    if (i != stays) members_[i].reset();
  }
  LeaseKeepAliveResponse response;
  EXPECT_FALSE(stream->Read(&response)) << "nothing was asked";
  grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "etcdserver: no leader");

  // And when there is none to begin with, at once.
  const auto late_call = context(true);
  status = door.stub->LeaseKeepAlive(late_call.get())->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "etcdserver: no leader");
}

}  // namespace
}  // namespace kv::test
