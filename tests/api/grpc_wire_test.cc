#include "api/net/grpc_wire.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "conformance/grpc/testing.pb.h"

namespace kv::api {
namespace {

std::string framed(std::string_view message, char flag = 0) {
  std::string out{flag, 0, static_cast<char>(message.size() >> 16), static_cast<char>(message.size() >> 8),
                  static_cast<char>(message.size())};
  return out += message;
}

TEST(GrpcTimeout, Units_are_read_and_rounded_up) {
  EXPECT_EQ(parse_timeout_ms("1H"), 3'600'000);
  EXPECT_EQ(parse_timeout_ms("2M"), 120'000);
  EXPECT_EQ(parse_timeout_ms("3S"), 3'000);
  EXPECT_EQ(parse_timeout_ms("99999999m"), 99'999'999);
  EXPECT_EQ(parse_timeout_ms("1001u"), 2);
  EXPECT_EQ(parse_timeout_ms("1n"), 1);
  EXPECT_EQ(parse_timeout_ms("0m"), 0);
  EXPECT_EQ(parse_timeout_ms("99999999H"), 99'999'999 * int64_t{3'600'000});
}

TEST(GrpcTimeout, What_is_malformed_has_no_value) {
  for (const char* text : {"", "S", "1", "1x", "-1S", "1.5S", " 1S", "123456789S", "1 S", "+1S"}) {
    EXPECT_FALSE(parse_timeout_ms(text).has_value()) << text;
  }
}

TEST(GrpcMessage, All_but_printable_ascii_is_percent_encoded) {
  EXPECT_EQ(percent_encode("etcdserver: no leader"), "etcdserver: no leader");
  EXPECT_EQ(percent_encode("100% \t\n"), "100%25 %09%0A");
  EXPECT_EQ(percent_encode("é"), "%C3%A9");
  EXPECT_EQ(percent_encode(std::string("\x7f\0", 2)), "%7F%00");
}

TEST(Base64, Takes_padded_and_unpadded_text_and_nothing_else) {
  EXPECT_EQ(base64_decode("YQ=="), "a");
  EXPECT_EQ(base64_decode("YQ"), "a");
  EXPECT_EQ(base64_decode("YWI="), "ab");
  EXPECT_EQ(base64_decode("YWI"), "ab");
  EXPECT_EQ(base64_decode("YWJj"), "abc");
  EXPECT_EQ(base64_decode(""), "");
  EXPECT_FALSE(base64_decode("Y").has_value());
  EXPECT_FALSE(base64_decode("YQ=").has_value());
  EXPECT_FALSE(base64_decode("Y===").has_value());
  EXPECT_FALSE(base64_decode("YW J").has_value());
  EXPECT_FALSE(base64_decode("-_-_").has_value());
}

TEST(Base64, Gives_back_any_bytes) {
  Random random(7);
  for (size_t size = 0; size < 200; ++size) {
    std::string bytes;
    for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(random.below(256));
    EXPECT_EQ(base64_decode(base64_encode(bytes)), bytes);
  }
}

TEST(Gzip, Gives_back_any_bytes) {
  Random random(7);
  for (const size_t size : {0, 1, 100, 5000, 1 << 20}) {
    std::string bytes;
    for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(random.below(8));
    const auto back = gunzip(gzip(bytes), size);
    ASSERT_TRUE(back.ok()) << back.status().to_string();
    EXPECT_EQ(*back, bytes);
  }
}

TEST(Gzip, A_bomb_is_stopped_at_the_limit) {
  const std::string bomb = gzip(std::string(64 << 20, '\0'));
  EXPECT_LT(bomb.size(), 512U << 10);
  EXPECT_EQ(gunzip(bomb, 1 << 20).status().code(), Code::kResourceExhausted);
  EXPECT_EQ(gunzip(gzip("four"), 3).status().code(), Code::kResourceExhausted);
  EXPECT_TRUE(gunzip(gzip("four"), 4).ok());
}

TEST(Gzip, What_is_cut_short_damaged_or_no_gzip_is_refused) {
  const std::string whole = gzip(std::string(1000, 'a'));
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(gunzip(whole.substr(0, size), 1 << 20).status().code(), Code::kInternal) << size;
  }
  EXPECT_EQ(gunzip(whole + "x", 1 << 20).status().code(), Code::kInternal);
  EXPECT_EQ(gunzip("hello", 1 << 20).status().code(), Code::kInternal);
}

TEST(Frame, Messages_are_framed_and_compressed_only_when_that_makes_them_smaller) {
  grpc::testing::Payload payload;
  payload.set_body(std::string(5000, 'a'));
  const std::string bytes = payload.SerializeAsString();

  const auto plain = make_frame(payload, 1 << 20, false);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(std::string_view(plain.value().data(), plain.value().size()), framed(bytes));

  const auto packed = make_frame(payload, 1 << 20, true);
  ASSERT_TRUE(packed.ok());
  const std::string_view view(packed.value().data(), packed.value().size());
  EXPECT_LT(view.size(), 200U);
  EXPECT_EQ(view[0], 1);
  EXPECT_EQ(*gunzip(view.substr(kFrameHeaderBytes), 1 << 20), bytes);

  payload.set_body("ab");
  EXPECT_EQ(make_frame(payload, 1 << 20, true).value().data()[0], 0);
}

TEST(Frame, A_message_above_the_limit_is_not_framed) {
  grpc::testing::Payload payload;
  payload.set_body(std::string(100, 'a'));
  EXPECT_EQ(make_frame(payload, 101, false).status().code(), Code::kResourceExhausted);
  EXPECT_TRUE(make_frame(payload, 102, false).ok());
}

// Feeds `wire` in pieces of random sizes; returns the messages, or the error's code.
std::vector<std::string> read_all(FrameReader& reader, const std::string& wire, Random& random, Code& error) {
  std::vector<std::string> messages;
  for (size_t at = 0; at < wire.size();) {
    const size_t size = std::min<size_t>(1 + random.below(40), wire.size() - at);
    std::string piece = wire.substr(at, size);  // a copy of exactly that size, so that asan sees reads beyond it
    at += size;
    std::string_view rest = piece;
    while (!rest.empty()) {
      FrameReader::Frame frame;
      const auto got = reader.next(rest, frame);
      if (!got.ok()) {
        error = got.status().code();
        return messages;
      }
      if (!*got) {
        EXPECT_TRUE(rest.empty());
        break;
      }
      messages.push_back((frame.compressed ? "z" : "") + std::string(frame.payload));
    }
  }
  return messages;
}

TEST(FrameReader, Finds_the_messages_however_they_are_cut) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Random random(seed);
    std::string wire;
    std::vector<std::string> sent;
    for (uint64_t n = random.below(10); n > 0; --n) {
      const std::string message(random.below(random.one_in(4) ? 300 : 20), static_cast<char>('a' + n));
      const bool compressed = random.one_in(3);
      wire += framed(message, compressed ? 1 : 0);
      sent.push_back((compressed ? "z" : "") + message);
    }
    FrameReader reader(1000);
    Code error = Code::kOk;
    EXPECT_EQ(read_all(reader, wire, random, error), sent) << "seed " << seed;
    EXPECT_EQ(error, Code::kOk);
    EXPECT_EQ(reader.buffered(), 0U);
  }
}

TEST(FrameReader, A_length_above_the_limit_is_refused_before_the_message_comes) {
  Random random(1);
  Code error = Code::kOk;
  FrameReader reader(1000);
  read_all(reader, framed(std::string(1001, 'a')).substr(0, 5), random, error);
  EXPECT_EQ(error, Code::kResourceExhausted);
}

TEST(FrameReader, An_unknown_flag_is_refused) {
  Random random(1);
  for (const char flag : {'\2', '\x80', '\xff'}) {
    Code error = Code::kOk;
    FrameReader reader(1000);
    read_all(reader, framed("abc", flag), random, error);
    EXPECT_EQ(error, Code::kInternal);
  }
}

TEST(FrameReader, Says_what_waits_for_the_rest_of_its_message) {
  FrameReader reader(1000);
  FrameReader::Frame frame;
  std::string_view bytes("\0\0", 2);
  EXPECT_FALSE(*reader.next(bytes, frame));
  EXPECT_EQ(reader.buffered(), 2U);
  bytes = std::string_view("\0\0\2a", 4);
  EXPECT_FALSE(*reader.next(bytes, frame));
  EXPECT_EQ(reader.buffered(), 6U);
  bytes = "b";
  EXPECT_TRUE(*reader.next(bytes, frame));
  EXPECT_EQ(frame.payload, "ab");
  EXPECT_EQ(reader.buffered(), 0U);
}

}  // namespace
}  // namespace kv::api
