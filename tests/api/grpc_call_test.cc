// gRPC's wire as clients send it, well and badly: frames, encodings, errors, deadlines, cancellation.
#include <gtest/gtest.h>

#include <string>

#include "api/net/grpc_wire.h"
#include "api/net_fixture.h"

namespace kv::test {
namespace {

class GrpcCallTest : public NetTest {};

std::string message_of(const Reply& reply) { return reply.body.substr(5); }

TEST_F(GrpcCallTest, A_unary_call_is_answered_with_headers_a_message_and_trailers) {
  start();
  RawHttp2 client(port());
  const Reply reply = client.call(1, kUnaryCall, simple_request(10));
  EXPECT_EQ(reply.header(":status"), "200");
  EXPECT_EQ(reply.header("content-type"), "application/grpc");
  EXPECT_EQ(reply.grpc_status(), 0);
  EXPECT_FALSE(reply.trailers.empty());
  grpc::testing::SimpleResponse response;
  ASSERT_TRUE(response.ParseFromString(message_of(reply)));
  EXPECT_EQ(response.payload().body().size(), 10U);
}

TEST_F(GrpcCallTest, A_message_may_come_byte_by_byte) {
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kUnaryCall), kEndHeaders);
  for (const char byte : simple_request(10, 300)) client.send_data(1, std::string_view(&byte, 1));
  client.send_data(1, "", kEndStream);
  EXPECT_EQ(client.read_reply(1).grpc_status(), 0);
}

TEST_F(GrpcCallTest, Several_messages_may_come_in_one_frame) {
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kStream), kEndHeaders);
  client.send_data(1, stream_request("a") + stream_request("b") + stream_request("").substr(0, 3));
  client.send_data(1, stream_request("").substr(3), kEndStream);
  const auto open = stream(0);
  ASSERT_TRUE(eventually([&] { return open->half_closed; }));
  locked([&] { EXPECT_EQ(open->requests, std::vector<std::string>({"a", "b", ""})); });
  open->stream->finish(Status::ok_status());
  EXPECT_EQ(client.read_reply(1).grpc_status(), 0);
}

TEST_F(GrpcCallTest, A_response_larger_than_every_window_arrives) {
  start();
  // The smallest stream window that makes sense, and the connection's 64 KiB.
  RawHttp2 client(port(), setting(4, 1000));
  const Reply reply = client.call(1, kUnaryCall, simple_request(4 << 20));
  EXPECT_EQ(reply.grpc_status(), 0);
  EXPECT_EQ(reply.body.size(), 5U + (4U << 20) + 10);
}

TEST_F(GrpcCallTest, A_request_as_large_as_the_limit_is_taken_and_a_larger_one_refused) {
  options_.max_request_bytes = 3 << 20;
  start();
  RawHttp2 client(port());
  const auto send = [&](uint32_t id, size_t payload) {
    const std::string body = simple_request(0, payload);
    client.send_headers(id, grpc_fields(kUnaryCall), kEndHeaders);
    // By the rules of the windows: 1 MiB a stream, more when the server says so.
    int64_t window = 1 << 20;
    for (size_t at = 0; at < body.size();) {
      const auto piece = std::min<int64_t>({window, 16384, static_cast<int64_t>(body.size() - at)});
      if (piece == 0) {
        const auto update = client.next_of(kWindowUpdate);
        if (!update) return;
        if (update->stream == id) window += error_code(*update);
        continue;
      }
      if (!client.send_data(id, body.substr(at, static_cast<size_t>(piece)))) return;
      window -= piece;
      at += static_cast<size_t>(piece);
    }
    client.send_data(id, "", kEndStream);
  };
  send(1, (3 << 20) - 10);  // what protobuf adds
  EXPECT_EQ(client.read_reply(1).grpc_status(), 0);

  client.send_headers(3, grpc_fields(kUnaryCall), kEndHeaders);
  client.send_data(3, simple_request(0, 3 << 20).substr(0, 100));
  const Reply refused = client.read_reply(3);
  EXPECT_EQ(refused.grpc_status(), 8);
  EXPECT_EQ(refused.grpc_message(), "grpc: received message larger than max (3145738 vs. 3145728)");
}

TEST_F(GrpcCallTest, An_error_alone_is_one_headers_frame_that_ends_the_stream) {
  start();
  RawHttp2 client(port());
  grpc::testing::SimpleRequest request;
  request.mutable_response_status()->set_code(9);
  request.mutable_response_status()->set_message("etcdserver: \t100% é");
  const Reply reply = client.call(1, kUnaryCall, grpc_frame(request.SerializeAsString()));
  EXPECT_TRUE(reply.ended);
  EXPECT_TRUE(reply.trailers.empty());
  EXPECT_EQ(reply.header(":status"), "200");
  EXPECT_EQ(reply.grpc_status(), 9);
  EXPECT_EQ(reply.grpc_message(), "etcdserver: %09100%25 %C3%A9");
}

TEST_F(GrpcCallTest, What_is_not_in_the_table_is_unimplemented) {
  start();
  RawHttp2 client(port());
  const Reply method = client.call(1, "/grpc.testing.TestService/None", grpc_frame(""));
  EXPECT_EQ(method.grpc_status(), 12);
  EXPECT_EQ(method.grpc_message(), "unknown method None for service grpc.testing.TestService");
  const Reply service = client.call(3, "/a.B/C", grpc_frame(""));
  EXPECT_EQ(service.grpc_status(), 12);
  EXPECT_EQ(service.grpc_message(), "unknown service a.B");
  EXPECT_EQ(client.call(5, "/nothing", grpc_frame("")).grpc_status(), 12);
  EXPECT_EQ(client.call(7, "nothing", grpc_frame("")).grpc_status(), 12);
}

TEST_F(GrpcCallTest, An_authority_that_is_an_url_is_served) {
  start();
  RawHttp2 client(port());
  Fields fields = grpc_fields(kEmptyCall);
  for (auto& [name, value] : fields) {
    if (name == ":authority") value = "http://127.0.0.1:2379";  // etcdctl 3.4
  }
  client.send_headers(1, fields, kEndHeaders);
  client.send_data(1, grpc_frame(""), kEndStream);
  EXPECT_EQ(client.read_reply(1).grpc_status(), 0);
}

TEST_F(GrpcCallTest, A_wrong_content_type_is_415) {
  start();
  RawHttp2 client(port());
  uint32_t id = 1;
  for (const char* type : {"application/json", "application/grpc-web", "application/grpcx", ""}) {
    Fields fields = grpc_fields(kEmptyCall);
    fields.back().second = type;
    client.send_headers(id, fields, kEndHeaders);
    client.send_data(id, grpc_frame(""), kEndStream);
    EXPECT_EQ(client.read_reply(id).header(":status"), "415") << type;
    id += 2;
  }
  for (const char* type : {"application/grpc+proto", "application/grpc;charset=utf-8"}) {
    Fields fields = grpc_fields(kEmptyCall);
    fields.back().second = type;
    client.send_headers(id, fields, kEndHeaders);
    client.send_data(id, grpc_frame(""), kEndStream);
    EXPECT_EQ(client.read_reply(id).grpc_status(), 0) << type;
    id += 2;
  }
}

TEST_F(GrpcCallTest, A_request_that_is_no_post_is_405) {
  start();
  RawHttp2 client(port());
  Fields fields = grpc_fields(kEmptyCall);
  fields[0].second = "PUT";
  client.send_headers(1, fields, kEndHeaders | kEndStream);
  const Reply reply = client.read_reply(1);
  EXPECT_EQ(reply.header(":status"), "405");
  EXPECT_EQ(reply.grpc_status(), 13);
}

TEST_F(GrpcCallTest, Broken_requests_are_internal_errors) {
  start();
  RawHttp2 client(port());
  const std::string good = simple_request(1);
  EXPECT_EQ(client.call(1, kUnaryCall, "").grpc_status(), 13) << "no message";
  EXPECT_EQ(client.call(3, kUnaryCall, good.substr(0, good.size() - 1)).grpc_status(), 13) << "cut short";
  EXPECT_EQ(client.call(5, kUnaryCall, good + good).grpc_status(), 13) << "two messages";
  EXPECT_EQ(client.call(7, kUnaryCall, grpc_frame("\x0a\xff")).grpc_status(), 13) << "no protobuf";
  EXPECT_EQ(client.call(9, kUnaryCall, grpc_frame(api::gzip("x"), true)).grpc_status(), 13) << "no grpc-encoding";
  EXPECT_EQ(client.call(11, kUnaryCall, "\2" + good.substr(1)).grpc_status(), 13) << "flag 2";
  EXPECT_EQ(client.call(13, kStream, "\2" + good.substr(1)).grpc_status(), 13) << "flag 2 on a stream";
  EXPECT_EQ(client.call(15, kStream, good.substr(0, 4)).grpc_status(), 13) << "a stream cut short";
  EXPECT_EQ(client.call(17, "/grpc.testing.TestService/StreamingOutputCall", "").grpc_status(), 13);
  EXPECT_EQ(client.call(19, kEmptyCall, grpc_frame("")).grpc_status(), 0) << "the connection lives on";
}

TEST_F(GrpcCallTest, Gzip_comes_in_and_goes_out_to_those_who_sent_it) {
  start();
  RawHttp2 client(port());
  const std::string message = simple_request(5000, 5000).substr(5);
  const Reply reply = client.call(1, kUnaryCall, grpc_frame(api::gzip(message), true), {{"grpc-encoding", "gzip"}});
  EXPECT_EQ(reply.grpc_status(), 0);
  EXPECT_EQ(reply.header("grpc-encoding"), "gzip");
  ASSERT_GT(reply.body.size(), 5U);
  EXPECT_EQ(reply.body[0], 1);
  EXPECT_LT(reply.body.size(), 1000U);
  const auto inflated = api::gunzip(message_of(reply), 1 << 20);
  ASSERT_TRUE(inflated.ok());
  grpc::testing::SimpleResponse response;
  EXPECT_TRUE(response.ParseFromString(*inflated));

  // Small answers, plain messages under gzip, and clients that take identity only.
  EXPECT_EQ(client.call(3, kUnaryCall, simple_request(10), {{"grpc-encoding", "gzip"}}).body[0], 0);
  const Reply plain = client.call(5, kUnaryCall, grpc_frame(api::gzip(message), true),
                                  {{"grpc-encoding", "gzip"}, {"grpc-accept-encoding", "identity"}});
  EXPECT_EQ(plain.grpc_status(), 0);
  EXPECT_EQ(plain.body[0], 0);
  EXPECT_EQ(plain.header("grpc-encoding"), "");
}

TEST_F(GrpcCallTest, An_unknown_encoding_is_unimplemented_and_the_known_ones_are_told) {
  start();
  RawHttp2 client(port());
  const Reply reply = client.call(1, kUnaryCall, simple_request(1), {{"grpc-encoding", "snappy"}});
  EXPECT_EQ(reply.grpc_status(), 12);
  EXPECT_EQ(reply.header("grpc-accept-encoding"), "identity,gzip");
  EXPECT_EQ(client.call(3, kUnaryCall, simple_request(1), {{"grpc-encoding", "identity"}}).grpc_status(), 0);
}

TEST_F(GrpcCallTest, A_compressed_bomb_is_refused_at_the_limit) {
  start();
  RawHttp2 client(port());
  const std::string bomb = api::gzip(std::string(64 << 20, '\0'));
  const Reply reply = client.call(1, kUnaryCall, grpc_frame(bomb, true), {{"grpc-encoding", "gzip"}});
  EXPECT_EQ(reply.grpc_status(), 8);
}

TEST_F(GrpcCallTest, Metadata_reaches_the_handler_decoded) {
  start();
  RawHttp2 client(port());
  client.send_headers(1,
                      grpc_fields(kHold, {{"token", "secret"},
                                          {"hasleader", "true"},
                                          {"x-one", "a"},
                                          {"x-one", "b"},
                                          {"x-bin", "AAEC,/w=="},
                                          {"user-agent", "test"}}),
                      kEndHeaders);
  client.send_data(1, simple_request(0), kEndStream);
  HeldCall held = take_held();
  EXPECT_EQ(held.call->token, "secret");
  EXPECT_TRUE(held.call->has_leader);
  EXPECT_EQ(held.call->deadline_ms, CallContext::kNoDeadline);
  EXPECT_EQ(held.call->peer.substr(0, 10), "127.0.0.1:");
  const Fields expected{
      {"token", "secret"}, {"hasleader", "true"}, {"x-one", "a"}, {"x-one", "b"}, {"x-bin", std::string("\0\1\2", 3)},
      {"x-bin", "\xff"}};
  EXPECT_EQ(held.call->metadata, expected);
  held.call->response_headers.emplace_back("h-bin", std::string("\0\xff", 2));
  held.call->response_trailers.emplace_back("grpc-status-details-bin", "abc");
  held.done({Code::kNotFound, "gone"}, {});
  const Reply reply = client.read_reply(1);
  EXPECT_EQ(reply.grpc_status(), 5);
  EXPECT_EQ(reply.header("h-bin"), "AP8");
  EXPECT_EQ(reply.header("grpc-status-details-bin"), "YWJj");
  EXPECT_EQ(client.call(3, kHold, simple_request(0), {{"x-bin", "!"}}).grpc_status(), 13) << "malformed";
}

TEST_F(GrpcCallTest, The_deadline_passes_and_the_work_hears_of_it) {
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kHold, {{"grpc-timeout", "20m"}}), kEndHeaders);
  client.send_data(1, simple_request(0), kEndStream);
  HeldCall held = take_held();
  EXPECT_NE(held.call->deadline_ms, CallContext::kNoDeadline);
  const Reply reply = client.read_reply(1);
  EXPECT_EQ(reply.grpc_status(), 4);
  EXPECT_EQ(reply.grpc_message(), "context deadline exceeded");
  EXPECT_TRUE(held.call->cancelled());
  held.done({}, simple_response(1));  // too late, and dropped
  EXPECT_EQ(client.call(3, kEmptyCall, grpc_frame("")).grpc_status(), 0);
  EXPECT_EQ(client.call(5, kHold, simple_request(0), {{"grpc-timeout", "0n"}}).grpc_status(), 4);
  EXPECT_EQ(client.call(7, kHold, simple_request(0), {{"grpc-timeout", "5"}}).grpc_status(), 13) << "malformed";
}

TEST_F(GrpcCallTest, The_deadline_passes_for_a_request_that_does_not_end) {
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kHold, {{"grpc-timeout", "20m"}}), kEndHeaders);
  client.send_data(1, simple_request(0));
  EXPECT_EQ(client.read_reply(1).grpc_status(), 4);
}

TEST_F(GrpcCallTest, A_reset_cancels_the_call_at_once) {
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kHold), kEndHeaders);
  client.send_data(1, simple_request(0), kEndStream);
  HeldCall held = take_held();
  EXPECT_FALSE(held.call->cancelled());
  client.reset(1);
  EXPECT_TRUE(eventually([&] { return held.call->cancelled(); }));
  held.done({}, simple_response(1));
  EXPECT_EQ(client.call(3, kEmptyCall, grpc_frame("")).grpc_status(), 0);
}

TEST_F(GrpcCallTest, Calls_of_a_connection_that_breaks_are_cancelled) {
  start();
  auto client = std::make_unique<RawHttp2>(port());
  client->send_headers(1, grpc_fields(kHold), kEndHeaders);
  client->send_data(1, simple_request(0), kEndStream);
  HeldCall held = take_held();
  client.reset();
  EXPECT_TRUE(eventually([&] { return held.call->cancelled(); }));
  held.done({}, simple_response(1));
  EXPECT_TRUE(eventually([&] { return server_->connections() == 0; }));
}

TEST_F(GrpcCallTest, A_call_may_end_after_its_server_has_gone) {
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kHold), kEndHeaders);
  client.send_data(1, simple_request(0), kEndStream);
  HeldCall held = take_held();
  HeldCall posted{held.call, nullptr};
  server_.reset();
  EXPECT_TRUE(held.call->cancelled());
  bool ran = false;
  posted.call->post([&] { ran = true; });
  held.done({}, simple_response(1));
  EXPECT_FALSE(ran);
}

TEST_F(GrpcCallTest, Posted_work_runs_on_the_calls_thread_and_may_answer) {
  start();
  RawHttp2 client(port());
  EXPECT_EQ(client.call(1, "/kvd.test.Door/Post", simple_request(0)).grpc_status(), 0);
}

TEST_F(GrpcCallTest, A_call_that_its_handler_drops_is_answered_all_the_same) {
  start();
  RawHttp2 client(port());
  EXPECT_EQ(client.call(1, "/kvd.test.Door/Drop", simple_request(0)).grpc_status(), 13);
}

TEST_F(GrpcCallTest, A_burst_finished_by_another_thread_is_answered_whole) {
  start();
  RawHttp2 client(port());
  constexpr uint32_t kCalls = 1000;
  for (uint32_t i = 0; i < kCalls; ++i) {
    client.send_headers(2 * i + 1, grpc_fields(kHold), kEndHeaders);
    client.send_data(2 * i + 1, simple_request(0), kEndStream);
  }
  std::vector<HeldCall> calls;
  for (uint32_t i = 0; i < kCalls; ++i) calls.push_back(take_held());
  for (HeldCall& call : calls) call.done({}, simple_response(1));
  uint32_t ended = 0;
  while (ended < kCalls) {
    const auto frame = client.next();
    ASSERT_TRUE(frame.has_value()) << ended;
    if (frame->type == kHeaders) client.decode(*frame);
    if (frame->type == kHeaders && (frame->flags & kEndStream) != 0) ++ended;
  }
}

TEST_F(GrpcCallTest, A_response_above_the_limit_is_an_error) {
  options_.max_response_bytes = 1000;
  start();
  RawHttp2 client(port());
  EXPECT_EQ(client.call(1, kUnaryCall, simple_request(2000)).grpc_status(), 8);
  EXPECT_EQ(client.call(3, kUnaryCall, simple_request(900)).grpc_status(), 0);
}

TEST_F(GrpcCallTest, A_client_that_still_sends_when_all_is_said_is_told_to_stop) {
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields("/a.B/C"), kEndHeaders);
  const Reply reply = client.read_reply(1);
  EXPECT_EQ(reply.grpc_status(), 12);
  const auto reset = client.next_of(kRstStream);
  ASSERT_TRUE(reset.has_value());
  EXPECT_EQ(reset->stream, 1U);
  EXPECT_EQ(error_code(*reset), 0U);
  // What was on its way does no harm.
  client.send_data(1, simple_request(0));
  client.send_headers(1, {{"x", "y"}}, kEndHeaders | kEndStream);
  EXPECT_EQ(client.call(3, kEmptyCall, grpc_frame("")).grpc_status(), 0);
}

TEST_F(GrpcCallTest, A_body_unlike_its_content_length_is_malformed) {
  start();
  RawHttp2 client(port());
  EXPECT_EQ(client.call(1, kUnaryCall, simple_request(1), {{"content-length", "7"}}).grpc_status(), 0);
  for (const auto& [id, length] : {std::pair(3, "6"), std::pair(5, "8"), std::pair(7, "0")}) {
    const Reply reply =
        client.call(static_cast<uint32_t>(id), kUnaryCall, simple_request(1), {{"content-length", length}});
    EXPECT_TRUE(reply.reset) << length;
  }
  EXPECT_EQ(client.call(9, kEmptyCall, grpc_frame("")).grpc_status(), 0);
}

TEST_F(GrpcCallTest, Every_call_is_counted_under_its_code) {
  start();
  const auto count = [](const std::string& code) {
    return handled("grpc.testing.TestService", "UnaryCall", "unary", code);
  };
  const uint64_t ok = count("OK");
  const uint64_t internal = count("Internal");
  RawHttp2 client(port());
  client.call(1, kUnaryCall, simple_request(1));
  client.call(3, kUnaryCall, simple_request(1));
  client.call(5, kUnaryCall, "");
  EXPECT_EQ(count("OK"), ok + 2);
  EXPECT_EQ(count("Internal"), internal + 1);

  const uint64_t cancelled = handled("kvd.test.Door", "Hold", "unary", "Canceled");
  client.send_headers(7, grpc_fields(kHold), kEndHeaders);
  client.send_data(7, simple_request(0), kEndStream);
  const HeldCall held = take_held();
  client.reset(7);
  EXPECT_TRUE(eventually([&] { return handled("kvd.test.Door", "Hold", "unary", "Canceled") == cancelled + 1; }));
}

}  // namespace
}  // namespace kv::test
