// Streaming calls from the handler's side: order, back-pressure both ways, cancellation, the end.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "api/net_fixture.h"

namespace kv::test {
namespace {

class StreamTest : public NetTest {
 protected:
  // Opens stream 1 of kStream.
  std::shared_ptr<OpenStream> open(RawHttp2& client, const Fields& extra = {}) {
    client.send_headers(1, grpc_fields(kStream, extra), kEndHeaders);
    return stream(0);
  }
};

// Counts the messages of a body.
size_t messages_in(std::string_view body) {
  size_t count = 0;
  while (body.size() >= 5) {
    size_t size = 0;
    for (size_t i = 1; i < 5; ++i) size = size << 8 | static_cast<uint8_t>(body[i]);
    if (body.size() < 5 + size) break;
    body.remove_prefix(5 + size);
    ++count;
  }
  EXPECT_TRUE(body.empty());
  return count;
}

TEST_F(StreamTest, Messages_from_many_threads_all_arrive_whole) {
  start();
  RawHttp2 client(port());
  const auto opened = open(client);
  std::vector<std::thread> writers;
  for (size_t t = 0; t < 4; ++t) {
    writers.emplace_back([&, t] {
      for (size_t i = 0; i < 500; ++i) EXPECT_TRUE(opened->stream->write(stream_response(t * 100 + i % 7)));
    });
  }
  for (std::thread& writer : writers) writer.join();
  opened->stream->finish(Status::ok_status());
  EXPECT_FALSE(opened->stream->write(stream_response(1))) << "after the end";
  const Reply reply = client.read_reply(1);
  EXPECT_EQ(reply.grpc_status(), 0);
  EXPECT_EQ(messages_in(reply.body), 2000U);
}

TEST_F(StreamTest, The_status_comes_after_all_messages) {
  start();
  RawHttp2 client(port());
  const auto opened = open(client);
  for (int i = 0; i < 3; ++i) opened->stream->write(stream_response(1));
  opened->stream->finish({Code::kOutOfRange, "etcdserver: mvcc: required revision has been compacted"});
  const Reply reply = client.read_reply(1);
  EXPECT_EQ(messages_in(reply.body), 3U);
  EXPECT_EQ(reply.grpc_status(), 11);
  EXPECT_EQ(reply.grpc_message(), "etcdserver: mvcc: required revision has been compacted");
}

TEST_F(StreamTest, A_message_in_two_pieces_arrives_as_if_it_had_been_written_whole) {
  start();
  RawHttp2 client(port());
  const auto opened = open(client);
  size_t messages = 0;
  std::string expected;
  for (const size_t size : {0, 10, 1000, 5000, 40000}) {
    const auto message = stream_response(size);
    const auto bytes = std::make_shared<const std::string>(message.SerializeAsString());
    for (const size_t own : {size_t{0}, bytes->size() / 3, bytes->size()}) {
      const std::string_view whole = *bytes;
      EXPECT_TRUE(opened->stream->write_encoded(message, whole.substr(0, own), bytes, whole.substr(own)));
      for (const unsigned shift : {32U, 24U, 16U, 8U, 0U}) {
        expected += static_cast<char>(static_cast<uint64_t>(whole.size()) >> shift);
      }
      expected += whole;
      ++messages;
    }
  }
  opened->stream->finish(Status::ok_status());
  EXPECT_FALSE(opened->stream->write_encoded(stream_response(1), "", nullptr, "")) << "after the end";
  const Reply reply = client.read_reply(1);
  EXPECT_EQ(messages_in(reply.body), messages);
  EXPECT_EQ(reply.body, expected);
  EXPECT_EQ(opened->stream->queued_bytes(), 0U);
}

TEST_F(StreamTest, A_writer_sees_what_is_queued_and_goes_on_when_it_has_drained) {
  start();
  RawHttp2 client(port(), setting(4, 0));  // no window: nothing can go out
  const auto opened = open(client);
  for (int i = 0; i < 10; ++i) opened->stream->write(stream_response(1000));
  EXPECT_GE(opened->stream->queued_bytes(), 10000U);
  std::atomic<int> drained{0};
  opened->stream->on_drained(5000, [&] { ++drained; });
  std::atomic<int> at_once{0};
  opened->stream->on_drained(1 << 20, [&] { ++at_once; });
  EXPECT_EQ(at_once, 1);
  client.send_ping();
  EXPECT_TRUE(client.next_of(kPing).has_value());
  EXPECT_EQ(drained, 0);
  client.open_window(1, 3000);
  client.send_ping();
  EXPECT_TRUE(client.next_of(kPing).has_value());
  EXPECT_EQ(drained, 0);
  client.open_window(1, 60000);
  EXPECT_TRUE(eventually([&] { return drained == 1; }));
  EXPECT_TRUE(eventually([&] { return opened->stream->queued_bytes() == 0; }));
  opened->stream->finish(Status::ok_status());
  EXPECT_EQ(messages_in(client.read_reply(1).body), 10U);
  EXPECT_EQ(drained, 1) << "once";
}

TEST_F(StreamTest, One_who_waits_to_drain_is_told_when_the_stream_is_over) {
  start();
  RawHttp2 client(port(), setting(4, 0));
  const auto opened = open(client);
  opened->stream->write(stream_response(1000));
  std::atomic<bool> told{false};
  opened->stream->on_drained(10, [&] { told = true; });
  client.reset(1);
  EXPECT_TRUE(eventually([&] { return told.load(); }));
  EXPECT_FALSE(opened->stream->write(stream_response(1)));
}

TEST_F(StreamTest, A_reader_that_pauses_gets_no_more_and_loses_nothing) {
  start();
  RawHttp2 client(port());
  const auto opened = open(client);
  client.send_data(1, stream_request("a") + stream_request("pause") + stream_request("b"));
  client.send_data(1, stream_request("c") + stream_request("d").substr(0, 2));
  client.send_data(1, stream_request("d").substr(2), kEndStream);
  client.send_ping();
  EXPECT_TRUE(client.next_of(kPing).has_value());
  locked([&] {
    EXPECT_EQ(opened->requests, std::vector<std::string>({"a", "pause"}));
    EXPECT_FALSE(opened->half_closed);
  });
  opened->stream->resume_reading();
  ASSERT_TRUE(eventually([&] { return opened->half_closed; }));
  locked([&] { EXPECT_EQ(opened->requests, std::vector<std::string>({"a", "pause", "b", "c", "d"})); });
}

TEST_F(StreamTest, A_paused_stream_closes_its_own_window_and_nobody_elses) {
  start();
  RawHttp2 client(port());
  const auto opened = open(client);
  client.send_data(1, stream_request("pause"));
  const std::string piece(16384, 'x');
  // All of the stream's window, and more calls than the connection's window would let through if it were kept.
  for (int i = 0; i < 63; ++i) ASSERT_TRUE(client.send_data(1, piece));
  for (uint32_t id = 3; id < 43; id += 2) {
    EXPECT_EQ(client.call(id, kUnaryCall, simple_request(0, 16000)).grpc_status(), 0);
  }
  bool window_of_stream = false;
  client.send_ping();
  while (const auto frame = client.next()) {
    if (frame->type == kWindowUpdate && frame->stream == 1) window_of_stream = true;
    if (frame->type == kPing) break;
  }
  EXPECT_FALSE(window_of_stream);
}

TEST_F(StreamTest, The_handler_hears_of_a_reset_and_of_a_broken_connection) {
  start();
  auto client = std::make_unique<RawHttp2>(port());
  const auto first = open(*client);
  client->send_headers(3, grpc_fields(kStream), kEndHeaders);
  const auto second = stream(1);
  client->reset(1);
  EXPECT_TRUE(eventually([&] { return first->cancelled; }));
  EXPECT_TRUE(first->stream->call()->cancelled());
  locked([&] { EXPECT_FALSE(second->cancelled); });
  client.reset();
  EXPECT_TRUE(eventually([&] { return second->cancelled; }));
  EXPECT_FALSE(second->stream->write(stream_response(1)));
  second->stream->finish(Status::ok_status());
}

TEST_F(StreamTest, The_deadline_ends_a_stream_with_status_4) {
  start();
  RawHttp2 client(port());
  const auto opened = open(client, {{"grpc-timeout", "30m"}});
  opened->stream->write(stream_response(1));
  const Reply reply = client.read_reply(1);
  EXPECT_EQ(reply.grpc_status(), 4);
  EXPECT_TRUE(eventually([&] { return opened->cancelled; }));
}

TEST_F(StreamTest, The_deadline_ends_a_stream_whose_client_does_not_read) {
  start();
  RawHttp2 client(port(), setting(4, 100));
  const auto opened = open(client, {{"grpc-timeout", "30m"}});
  opened->stream->write(stream_response(1000));  // begun, and not to be completed
  const auto reset = client.next_of(kRstStream);
  ASSERT_TRUE(reset.has_value());
  EXPECT_EQ(reset->stream, 1U);
  EXPECT_TRUE(eventually([&] { return opened->cancelled; }));
}

TEST_F(StreamTest, A_handler_that_has_finished_is_not_cancelled_later) {
  start();
  RawHttp2 client(port());
  const auto opened = open(client);
  opened->stream->finish(Status::ok_status());
  EXPECT_EQ(client.read_reply(1).grpc_status(), 0);
  EXPECT_EQ(client.call(3, kEmptyCall, grpc_frame("")).grpc_status(), 0);
  locked([&] { EXPECT_FALSE(opened->cancelled); });
}

TEST_F(StreamTest, Finishing_without_a_message_sends_headers_and_trailers) {
  start();
  RawHttp2 client(port());
  const auto opened = open(client);
  client.send_data(1, "", kEndStream);
  opened->stream->finish(Status::ok_status());
  const Reply reply = client.read_reply(1);
  EXPECT_EQ(reply.grpc_status(), 0);
  EXPECT_TRUE(reply.body.empty());
}

TEST_F(StreamTest, Streams_are_counted) {
  start();
  const uint64_t ok = handled("kvd.test.Door", "Stream", "bidi_stream", "OK");
  RawHttp2 client(port());
  const auto opened = open(client);
  opened->stream->finish(Status::ok_status());
  client.read_reply(1);
  EXPECT_EQ(handled("kvd.test.Door", "Stream", "bidi_stream", "OK"), ok + 1);
}

}  // namespace
}  // namespace kv::test
