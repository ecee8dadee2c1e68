// gRPC's interoperability cases with the official C++ client: every kind of call, and what goes wrong in each.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/net/server.h"
#include "conformance/grpc/test_service.h"
#include "conformance/grpc/testing.grpc.pb.h"

namespace kv::test {
namespace {

using grpc::ClientContext;
using grpc::StatusCode;
using grpc::testing::Empty;
using grpc::testing::SimpleRequest;
using grpc::testing::SimpleResponse;
using grpc::testing::StreamingInputCallRequest;
using grpc::testing::StreamingInputCallResponse;
using grpc::testing::StreamingOutputCallRequest;
using grpc::testing::StreamingOutputCallResponse;
using grpc::testing::TestService;

constexpr auto kPatience = std::chrono::seconds(30);

class CppClient : public ::testing::Test {
 protected:
  CppClient() {
    add_test_service(table_, later_);
    api::ServerOptions options;
    options.listen_urls = {"http://127.0.0.1:0"};
    options.io_threads = 2;
    options.max_request_bytes = 8 << 20;
    auto server = api::Server::listen(options, table_, {});
    EXPECT_TRUE(server.ok()) << server.status().to_string();
    server_ = *std::move(server);
    server_->start();
    stub_ = TestService::NewStub(channel());
  }

  // A connection of its own.
  std::shared_ptr<grpc::Channel> channel() {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server_->bound_ports().at(0)),
                                     grpc::InsecureChannelCredentials(), arguments);
  }

  static std::unique_ptr<ClientContext> context() {
    auto made = std::make_unique<ClientContext>();
    made->set_deadline(std::chrono::system_clock::now() + kPatience);
    return made;
  }

  Later later_;
  api::CallTable table_{nullptr};
  std::unique_ptr<api::Server> server_;
  std::unique_ptr<TestService::Stub> stub_;
};

StreamingOutputCallRequest output_request(const std::vector<int>& sizes, int interval_us = 0) {
  StreamingOutputCallRequest request;
  for (const int size : sizes) {
    auto& parameters = *request.add_response_parameters();
    parameters.set_size(size);
    parameters.set_interval_us(interval_us);
  }
  return request;
}

TEST_F(CppClient, Empty_and_large_unary_calls_are_answered) {
  Empty empty;
  EXPECT_TRUE(stub_->EmptyCall(context().get(), {}, &empty).ok());

  SimpleRequest request;
  request.set_response_size(4 << 20);
  request.mutable_payload()->set_body(std::string(4 << 20, 'x'));
  SimpleResponse response;
  const auto status = stub_->UnaryCall(context().get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.payload().body(), std::string(4 << 20, '\0'));
}

TEST_F(CppClient, A_message_above_the_limit_is_refused) {
  SimpleRequest request;
  request.mutable_payload()->set_body(std::string(9 << 20, 'x'));
  SimpleResponse response;
  EXPECT_EQ(stub_->UnaryCall(context().get(), request, &response).error_code(), StatusCode::RESOURCE_EXHAUSTED);
  Empty empty;
  EXPECT_TRUE(stub_->EmptyCall(context().get(), {}, &empty).ok());
}

TEST_F(CppClient, A_client_stream_is_summed_up) {
  const auto ctx = context();
  StreamingInputCallResponse response;
  const auto writer = stub_->StreamingInputCall(ctx.get(), &response);
  for (const size_t size : {27182, 8, 1828, 45904}) {
    StreamingInputCallRequest request;
    request.mutable_payload()->set_body(std::string(size, 'x'));
    ASSERT_TRUE(writer->Write(request));
  }
  writer->WritesDone();
  const auto status = writer->Finish();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.aggregated_payload_size(), 74922);
}

TEST_F(CppClient, A_server_stream_arrives_in_order) {
  const auto ctx = context();
  const std::vector<int> sizes{31415, 9, 2653, 58979, 0, 4 << 20, 1};
  const auto reader = stub_->StreamingOutputCall(ctx.get(), output_request(sizes));
  StreamingOutputCallResponse response;
  for (const int size : sizes) {
    ASSERT_TRUE(reader->Read(&response));
    EXPECT_EQ(response.payload().body().size(), static_cast<size_t>(size));
  }
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(CppClient, Both_ends_talk_in_turn) {
  const auto ctx = context();
  const auto stream = stub_->FullDuplexCall(ctx.get());
  StreamingOutputCallResponse response;
  for (const int size : {31415, 9, 2653, 58979}) {
    ASSERT_TRUE(stream->Write(output_request({size})));
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.payload().body().size(), static_cast<size_t>(size));
  }
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(CppClient, An_empty_stream_and_one_answered_at_its_end_are_served) {
  {
    const auto ctx = context();
    const auto stream = stub_->FullDuplexCall(ctx.get());
    stream->WritesDone();
    StreamingOutputCallResponse response;
    EXPECT_FALSE(stream->Read(&response));
    EXPECT_TRUE(stream->Finish().ok());
  }
  const auto ctx = context();
  const auto stream = stub_->HalfDuplexCall(ctx.get());
  for (int i = 1; i <= 3; ++i) ASSERT_TRUE(stream->Write(output_request({i})));
  stream->WritesDone();
  StreamingOutputCallResponse response;
  for (size_t i = 1; i <= 3; ++i) {
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.payload().body().size(), i);
  }
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(CppClient, Status_codes_and_texts_come_back_as_they_were_sent) {
  for (const std::string& text : {std::string("test status message"),
                                  std::string("\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"),
                                  std::string("100%"), std::string()}) {
    SimpleRequest request;
    request.mutable_response_status()->set_code(2);
    request.mutable_response_status()->set_message(text);
    SimpleResponse response;
    const auto status = stub_->UnaryCall(context().get(), request, &response);
    EXPECT_EQ(status.error_code(), StatusCode::UNKNOWN);
    EXPECT_EQ(status.error_message(), text);

    const auto ctx = context();
    const auto stream = stub_->FullDuplexCall(ctx.get());
    StreamingOutputCallRequest streamed;
    *streamed.mutable_response_status() = request.response_status();
    stream->Write(streamed);
    const auto ended = stream->Finish();
    EXPECT_EQ(ended.error_code(), StatusCode::UNKNOWN);
    EXPECT_EQ(ended.error_message(), text);
  }
}

TEST_F(CppClient, Metadata_is_echoed_text_in_front_and_bytes_behind) {
  const std::string bytes("\xab\xab\0\xab", 4);
  const auto check = [&](const ClientContext& ctx) {
    const auto& initial = ctx.GetServerInitialMetadata();
    const auto first = initial.find("x-grpc-test-echo-initial");
    ASSERT_NE(first, initial.end());
    EXPECT_EQ(std::string(first->second.data(), first->second.size()), "test_initial_metadata_value");
    const auto& trailing = ctx.GetServerTrailingMetadata();
    const auto last = trailing.find("x-grpc-test-echo-trailing-bin");
    ASSERT_NE(last, trailing.end());
    EXPECT_EQ(std::string(last->second.data(), last->second.size()), bytes);
  };
  const auto with_metadata = [&] {
    auto ctx = context();
    ctx->AddMetadata("x-grpc-test-echo-initial", "test_initial_metadata_value");
    ctx->AddMetadata("x-grpc-test-echo-trailing-bin", bytes);
    return ctx;
  };
  {
    const auto ctx = with_metadata();
    SimpleResponse response;
    EXPECT_TRUE(stub_->UnaryCall(ctx.get(), {}, &response).ok());
    check(*ctx);
  }
  const auto ctx = with_metadata();
  const auto stream = stub_->FullDuplexCall(ctx.get());
  ASSERT_TRUE(stream->Write(output_request({1})));
  stream->WritesDone();
  StreamingOutputCallResponse response;
  while (stream->Read(&response)) {
  }
  EXPECT_TRUE(stream->Finish().ok());
  check(*ctx);
}

TEST_F(CppClient, What_is_not_served_is_unimplemented) {
  Empty empty;
  EXPECT_EQ(stub_->UnimplementedCall(context().get(), {}, &empty).error_code(), StatusCode::UNIMPLEMENTED);
  const auto other = grpc::testing::UnimplementedService::NewStub(channel());
  EXPECT_EQ(other->UnimplementedCall(context().get(), {}, &empty).error_code(), StatusCode::UNIMPLEMENTED);
}

TEST_F(CppClient, Gzip_is_understood_and_answered_in_kind) {
  auto ctx = context();
  ctx->set_compression_algorithm(GRPC_COMPRESS_GZIP);
  SimpleRequest request;
  request.set_response_size(300000);
  request.mutable_payload()->set_body(std::string(300000, 'x'));
  SimpleResponse response;
  const auto status = stub_->UnaryCall(ctx.get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.payload().body().size(), 300000U);

  ctx = context();
  ctx->set_compression_algorithm(GRPC_COMPRESS_GZIP);
  const auto stream = stub_->FullDuplexCall(ctx.get());
  StreamingOutputCallResponse streamed;
  for (const int size : {100000, 0, 70}) {
    ASSERT_TRUE(stream->Write(output_request({size})));
    ASSERT_TRUE(stream->Read(&streamed));
    EXPECT_EQ(streamed.payload().body().size(), static_cast<size_t>(size));
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());

  // An algorithm that we don't have.
  ctx = context();
  ctx->set_compression_algorithm(GRPC_COMPRESS_DEFLATE);
  EXPECT_EQ(stub_->UnaryCall(ctx.get(), request, &response).error_code(), StatusCode::UNIMPLEMENTED);
}

TEST_F(CppClient, A_deadline_ends_the_call_on_both_sides) {
  ClientContext ctx;
  ctx.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(20));
  const auto stream = stub_->FullDuplexCall(&ctx);
  stream->Write(output_request({1}, 60'000'000));
  StreamingOutputCallResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), StatusCode::DEADLINE_EXCEEDED);
  Empty empty;
  EXPECT_TRUE(stub_->EmptyCall(context().get(), {}, &empty).ok());
}

TEST_F(CppClient, Cancelling_before_and_after_the_first_answer_works) {
  {
    const auto ctx = context();
    StreamingInputCallResponse response;
    const auto writer = stub_->StreamingInputCall(ctx.get(), &response);
    ctx->TryCancel();
    EXPECT_EQ(writer->Finish().error_code(), StatusCode::CANCELLED);
  }
  const auto ctx = context();
  const auto stream = stub_->FullDuplexCall(ctx.get());
  ASSERT_TRUE(stream->Write(output_request({31415})));
  StreamingOutputCallResponse response;
  ASSERT_TRUE(stream->Read(&response));
  ctx->TryCancel();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), StatusCode::CANCELLED);
  Empty empty;
  EXPECT_TRUE(stub_->EmptyCall(context().get(), {}, &empty).ok());
}

TEST_F(CppClient, A_thousand_streams_share_a_connection) {
  struct Open {
    std::unique_ptr<ClientContext> ctx = context();
    std::unique_ptr<grpc::ClientReaderWriter<StreamingOutputCallRequest, StreamingOutputCallResponse>> stream;
  };
  std::vector<Open> all(1000);
  for (Open& open : all) open.stream = stub_->FullDuplexCall(open.ctx.get());
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_TRUE(all[i].stream->Write(output_request({static_cast<int>(i)})));
  }
  EXPECT_EQ(server_->connections(), 1U);
  for (size_t i = 0; i < all.size(); ++i) {
    StreamingOutputCallResponse response;
    ASSERT_TRUE(all[i].stream->Read(&response)) << i;
    EXPECT_EQ(response.payload().body().size(), i);
    all[i].stream->WritesDone();
    EXPECT_TRUE(all[i].stream->Finish().ok());
  }
}

TEST_F(CppClient, Callers_on_many_threads_and_connections_are_all_answered) {
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t) {
    callers.emplace_back([&, t] {
      const auto stub = t % 2 == 0 ? TestService::NewStub(channel()) : nullptr;
      for (int i = 0; i < 100; ++i) {
        SimpleRequest request;
        request.set_response_size(i * 37);
        SimpleResponse response;
        if ((stub ? *stub : *stub_).UnaryCall(context().get(), request, &response).ok() &&
            response.payload().body().size() == static_cast<size_t>(i) * 37) {
          ++good;
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(good, 800);
}

TEST_F(CppClient, Draining_lets_the_calls_in_flight_end) {
  const auto ctx = context();
  const auto stream = stub_->FullDuplexCall(ctx.get());
  StreamingOutputCallResponse response;
  ASSERT_TRUE(stream->Write(output_request({1})));
  ASSERT_TRUE(stream->Read(&response));
  auto drained = std::async(std::launch::async, [&] { server_->drain(20000); });
  // The stream goes on, until its client ends it; then nothing keeps the server.
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(stream->Write(output_request({i}, 10000)));
    ASSERT_TRUE(stream->Read(&response));
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(drained.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  Empty empty;
  EXPECT_EQ(stub_->EmptyCall(context().get(), {}, &empty).error_code(), StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace kv::test
