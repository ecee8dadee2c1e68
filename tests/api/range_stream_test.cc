// RangeStream from a real member to gRPC's own client: the pieces are one Range though writers and compactions go on,
// and a client that reads slowly or leaves costs little.
#include <google/protobuf/util/message_differencer.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "api/net/server.h"
#include "api/services/services.h"
#include "etcdserverpb/rpc.grpc.pb.h"
#include "server/fixture.h"

namespace kv::test {
namespace {

using namespace etcdserverpb;

class RangeStreamTest : public testing::Test {
 protected:
  void SetUp() override {
    server::MemberOptions options = server::lone_options(directory_.path());
    options.max_request_bytes = 64 << 10;
    auto member = server::Member::start(options, [](Status status) { FAIL() << status.to_string(); });
    ASSERT_TRUE(member.ok()) << member.status().to_string();
    member_ = *std::move(member);
    api::add_kv(table_, *member_);
    auto server = api::Server::listen({.listen_urls = {"http://127.0.0.1:0"}}, table_, {});
    ASSERT_TRUE(server.ok()) << server.status().to_string();
    server_ = *std::move(server);
    server_->start();
    stub_ = KV::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(server_->bound_ports()[0]),
                                            grpc::InsecureChannelCredentials()));
  }
  void TearDown() override {
    server_.reset();
    if (member_) member_->stop(0);
  }

  static std::unique_ptr<grpc::ClientContext> context() {
    auto out = std::make_unique<grpc::ClientContext>();
    out->set_wait_for_ready(true);
    out->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return out;
  }
  int64_t put(const std::string& key, const std::string& value) {
    PutRequest request;
    request.set_key(key);
    request.set_value(value);
    PutResponse response;
    const grpc::Status status = stub_->Put(context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.header().revision();
  }
  void fill(int keys, size_t value_bytes) {
    for (int i = 0; i < keys; ++i) put("k" + std::to_string(100000 + i), std::string(value_bytes, 'v'));
  }
  static RangeRequest all() {
    RangeRequest request;
    request.set_key(std::string(1, '\0'));
    request.set_range_end(std::string(1, '\0'));
    return request;
  }
  grpc::Status read(const RangeRequest& request, RangeResponse* joined, int* pieces = nullptr,
                    size_t* largest = nullptr) {
    const auto call = context();
    const auto reader = stub_->RangeStream(call.get(), request);
    RangeStreamResponse response;
    while (reader->Read(&response)) {
      joined->MergeFrom(response.range_response());
      if (pieces != nullptr) ++*pieces;
      if (largest != nullptr) *largest = std::max(*largest, response.ByteSizeLong());
    }
    return reader->Finish();
  }

  server::TempDirectory directory_;
  std::unique_ptr<server::Member> member_;
  api::CallTable table_{nullptr};
  std::unique_ptr<api::Server> server_;
  std::unique_ptr<KV::Stub> stub_;
};

TEST_F(RangeStreamTest, The_pieces_are_one_range_while_others_write_and_compact) {
  fill(600, 1000);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      const int64_t revision = put("k" + std::to_string(100000 + i * 7 % 700), "new" + std::to_string(i));
      if (i % 50 != 49) continue;
      CompactionRequest request;
      request.set_revision(revision - 20);
      CompactionResponse response;
      stub_->Compact(context().get(), request, &response);
    }
  });
  for (int round = 0; round < 20; ++round) {
    RangeResponse joined;
    int pieces = 0;
    size_t largest = 0;
    RangeRequest request = all();
    if (round % 3 == 1) request.set_limit(100 + round);
    if (round % 5 == 4) request.set_keys_only(true);
    ASSERT_TRUE(read(request, &joined, &pieces, &largest).ok());
    EXPECT_GT(pieces, 3);
    EXPECT_LT(largest, 2 * (64 << 10));
    EXPECT_NE(joined.header().member_id(), 0u);
    request.set_revision(joined.header().revision());
    RangeResponse whole;
    const grpc::Status status = stub_->Range(context().get(), request, &whole);
    if (status.error_code() == grpc::StatusCode::OUT_OF_RANGE) continue;  // compacted since
    ASSERT_TRUE(status.ok()) << status.error_message();
    whole.mutable_header()->set_revision(joined.header().revision());
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(joined, whole)) << round;
  }
  stop = true;
  writer.join();
}

TEST_F(RangeStreamTest, Errors_are_those_of_etcd) {
  fill(3, 10);
  RangeResponse joined;
  RangeRequest request = all();
  request.set_sort_order(RangeRequest::DESCEND);
  grpc::Status status = read(request, &joined);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(status.error_message(), "RangeStream does not support custom sort orders");
  request = all();
  request.set_revision(99);
  EXPECT_EQ(read(request, &joined).error_message(), "etcdserver: mvcc: required revision is a future revision");
  request.clear_key();
  EXPECT_EQ(read(request, &joined).error_message(), "etcdserver: key is not provided");
  request = all();
  request.set_count_only(true);
  request.set_serializable(true);
  ASSERT_TRUE(read(request, &joined).ok());
  EXPECT_EQ(joined.count(), 3);
  EXPECT_EQ(joined.kvs_size(), 0);
}

TEST_F(RangeStreamTest, A_reader_that_pauses_or_leaves_holds_up_nobody) {
  fill(800, 20000);  // 16 MB: more than the windows of a connection and the sockets hold
  const auto slow = context();
  const auto reader = stub_->RangeStream(slow.get(), all());
  RangeStreamResponse response;
  ASSERT_TRUE(reader->Read(&response));
  put("meanwhile", "x");
  int64_t keys = response.range_response().kvs_size();
  while (reader->Read(&response)) keys += response.range_response().kvs_size();
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_EQ(keys, 800) << "the state of its beginning";
  EXPECT_EQ(response.range_response().count(), 800);

  for (int i = 0; i < 20; ++i) {
    const auto leaving = context();
    const auto left = stub_->RangeStream(leaving.get(), all());
    ASSERT_TRUE(left->Read(&response));
    leaving->TryCancel();
    EXPECT_EQ(left->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  put("after", "x");
}

}  // namespace
}  // namespace kv::test
