// The JSON codec: what it writes and reads, letter by letter, and against protobuf's own JSON on random messages.
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>

#include "api/json/base64.h"
#include "api/json/json_reader.h"
#include "api/json/json_writer.h"
#include "base/random.h"
#include "base/utf8.h"
#include "etcdserverpb/rpc.pb.h"

namespace kv::api {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;

std::string json(const Message& message) {
  std::string out;
  append_json(message, out);
  return out;
}

template <typename T>
T read(std::string_view text) {
  T message;
  const Status status = read_json(text, message);
  EXPECT_TRUE(status.ok()) << status.text() << "\n" << text;
  return message;
}

template <typename T>
std::string refusal(std::string_view text) {
  T message;
  const Status status = read_json(text, message);
  EXPECT_EQ(status.code(), Code::kInvalidArgument) << text << "\n" << message.DebugString();
  return status.text();
}

using Range = etcdserverpb::RangeRequest;

TEST(JsonWriterTest, Writes_as_etcds_gateway_does) {
  etcdserverpb::RangeResponse response;
  EXPECT_EQ(json(response), "{}");
  response.mutable_header()->set_cluster_id(18446744073709551615u);
  response.mutable_header()->set_revision(-2);
  auto& kv = *response.add_kvs();
  kv.set_key("foo");
  kv.set_value(std::string("\0\xff\xfe?", 4));
  kv.set_version(1);
  response.add_kvs();
  response.set_more(true);
  response.set_count(2);
  EXPECT_EQ(json(response),
            R"({"header":{"cluster_id":"18446744073709551615","revision":"-2"},"kvs":[{"key":"Zm9v","version":"1",)"
            R"("value":"AP/+Pw=="},{}],"more":true,"count":"2"})");
}

TEST(JsonWriterTest, A_member_of_a_oneof_is_written_though_it_has_its_default) {
  etcdserverpb::Compare compare;
  compare.set_version(0);
  EXPECT_EQ(json(compare), R"({"version":"0"})");
  compare.set_value("");
  EXPECT_EQ(json(compare), R"({"value":""})");
  etcdserverpb::RequestOp op;
  op.mutable_request_range();
  EXPECT_EQ(json(op), R"({"request_range":{}})");
}

TEST(JsonWriterTest, Enumerators_go_by_name_and_unknown_ones_by_number) {
  Range request;
  request.set_sort_order(Range::DESCEND);
  request.set_sort_target(static_cast<Range::SortTarget>(77));
  EXPECT_EQ(json(request), R"({"sort_order":"DESCEND","sort_target":77})");
}

TEST(JsonWriterTest, Strings_are_escaped_and_always_utf8) {
  std::string out;
  append_json_string("a\"\\/<>&\b\f\n\r\t\x01\x1f\x7f \xc3\xa4\xf0\x9f\x98\x80", out);
  EXPECT_EQ(out, "\"a\\\"\\\\/<>&\\b\\f\\n\\r\\t\\u0001\\u001f\x7f \xc3\xa4\xf0\x9f\x98\x80\"");
  out.clear();
  append_json_string("x\xff\xc0\x80y\xed\xa0\x80", out);
  EXPECT_EQ(out, "\"x\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdy\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

TEST(JsonReaderTest, Names_may_be_in_either_case_and_unknown_ones_are_ignored) {
  const auto request = read<Range>(
      R"( {"key":"Zm9v","range_end":"Zm9w","keysOnly":true,"nope":{"a":[1,-2.5e3,"x",null,{"b":false}]},"limit":5} )");
  EXPECT_EQ(request.key(), "foo");
  EXPECT_EQ(request.range_end(), "fop");
  EXPECT_TRUE(request.keys_only());
  EXPECT_EQ(request.limit(), 5);
  EXPECT_EQ(read<Range>(R"({"rangeEnd":"AA=="})").range_end(), std::string(1, '\0'));
  EXPECT_EQ(read<etcdserverpb::LeaseGrantRequest>(R"({"TTL":"10","ID":7})").ttl(), 10);
}

TEST(JsonReaderTest, Integers_may_be_numbers_or_strings) {
  for (const char* text : {"12", "\"12\"", "12.0", "1.2e1", "120E-1", "\"1.2e1\"", "0.0012e4", "12.000"}) {
    EXPECT_EQ(read<Range>(std::string("{\"limit\":") + text + "}").limit(), 12) << text;
  }
  EXPECT_EQ(read<Range>(R"({"limit":"-9223372036854775808"})").limit(), INT64_MIN);
  EXPECT_EQ(read<Range>(R"({"limit":9223372036854775807})").limit(), INT64_MAX);
  EXPECT_EQ(read<Range>(R"({"limit":-0})").limit(), 0);
  EXPECT_EQ(read<Range>(R"({"limit":0e99999999999999999999})").limit(), 0);
  for (const char* text : {"1.5",
                           "9223372036854775808",
                           "-9223372036854775809",
                           "1e19",
                           "1e99999999999999999999",
                           "1e-1",
                           "01",
                           "+1",
                           ".5",
                           "1.",
                           "1e",
                           "-",
                           "\"\"",
                           "\" 12\"",
                           "\"12 \"",
                           "\"x\"",
                           "\"0x12\"",
                           "true",
                           "[]",
                           "{}",
                           "NaN",
                           "1_000"}) {
    refusal<Range>(std::string("{\"limit\":") + text + "}");
  }
  refusal<etcdserverpb::MoveLeaderRequest>(R"({"targetID":-1})");
}

TEST(JsonReaderTest, Enumerators_may_be_names_or_numbers) {
  EXPECT_EQ(read<Range>(R"({"sort_order":"DESCEND"})").sort_order(), Range::DESCEND);
  EXPECT_EQ(read<Range>(R"({"sortOrder":2})").sort_order(), Range::DESCEND);
  EXPECT_EQ(static_cast<int>(read<Range>(R"({"sort_order":77})").sort_order()), 77);
  EXPECT_EQ(read<Range>(R"({"sort_order":"UPWARDS"})").sort_order(), Range::NONE) << "ignored as unknown fields are";
  refusal<Range>(R"({"sort_order":true})");
  refusal<Range>(R"({"sort_order":4294967296})");
}

TEST(JsonReaderTest, Bytes_may_be_of_either_alphabet_padded_or_not) {
  for (const char* text : {"+/8=", "-_8=", "+/8", "-_8", "+/\\n8="}) {
    EXPECT_EQ(read<Range>(std::string("{\"key\":\"") + text + "\"}").key(), "\xfb\xff") << text;
  }
  EXPECT_EQ(read<Range>(R"({"key":""})").key(), "");
  for (const char* text : {"x!", "=", "====", "A", "AAAAA", "AA=", "+_8=", "AA==AA==", "A=AA", "\xc3\xa4\xc3\xa4"}) {
    EXPECT_NE(refusal<Range>(std::string("{\"key\":\"") + text + "\"}").find("invalid value for bytes field key"),
              std::string::npos);
  }
}

TEST(JsonReaderTest, Null_means_not_set) {
  const auto txn = read<etcdserverpb::TxnRequest>(R"({"compare":null,"success":[{"requestRange":null}]})");
  EXPECT_EQ(txn.success_size(), 1);
  EXPECT_EQ(txn.success(0).request_case(), etcdserverpb::RequestOp::REQUEST_NOT_SET);
  EXPECT_EQ(read<Range>(R"({"key":null,"limit":null,"serializable":null,"sort_order":null})").ByteSizeLong(), 0u);
  refusal<etcdserverpb::MemberAddRequest>(R"({"peerURLs":[null]})");
}

TEST(JsonReaderTest, What_comes_twice_is_refused) {
  EXPECT_NE(refusal<Range>(R"({"limit":1,"limit":1})").find("duplicate field \"limit\""), std::string::npos);
  refusal<Range>(R"({"range_end":"","rangeEnd":""})");
  EXPECT_NE(refusal<etcdserverpb::RequestOp>(R"({"requestRange":{},"request_put":{}})").find("is already set"),
            std::string::npos);
}

TEST(JsonReaderTest, Text_that_is_no_json_is_refused_with_its_place) {
  EXPECT_EQ(refusal<Range>(R"({"key":)"), "unexpected EOF");
  EXPECT_EQ(refusal<Range>("{\n \"key\" 1}"), "proto: syntax error (line 2:8): unexpected token 1");
  for (const char* text : {"",
                           "null",
                           "[]",
                           "1",
                           "\"x\"",
                           "{",
                           "{]",
                           "{}}",
                           "{} {}",
                           "{,}",
                           "{\"key\"}",
                           "{\"key\":}",
                           "{\"a\":1,}",
                           "{key:1}",
                           "{'key':1}",
                           "{\"a\":tru}",
                           "{\"a\":[1,]}",
                           "{\"a\":{\"b\"}}",
                           "{\"key\":\"\\x\"}",
                           "{\"key\":\"\\u12\"}",
                           "{\"a\":\"\\ud800\"}",
                           "{\"a\":\"\\udc00\"}",
                           "{\"a\":\"\\ud800\\u0041\"}",
                           "{\"a\":\"\n\"}",
                           "{\"a\":\"\xff\"}",
                           "{\"a\":\"\xc0\xaf\"}",
                           "{\"a\":\"",
                           "{\"a\":\"\\",
                           "\xef\xbb\xbf{}",
                           "{\"a\":1//x\n}"}) {
    refusal<Range>(text);
  }
  refusal<Range>(std::string_view("{\"a\0\":1}", 8));
}

TEST(JsonReaderTest, Escapes_are_read) {
  etcdserverpb::AuthUserAddRequest request;
  const Status status = read_json(R"({"name":"\"\\\/\b\f\n\r\tA\u00e4\u20AC\ud83d\ude00"})", request);
  ASSERT_TRUE(status.ok()) << status.text();
  EXPECT_EQ(request.name(), "\"\\/\b\f\n\r\tA\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
}

std::string nested_txn(int depth) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += R"({"success":[{"requestTxn":)";
  text += "{}";
  for (int i = 0; i < depth; ++i) text += "}]}";
  return text;
}

TEST(JsonReaderTest, Depth_is_bounded_as_it_is_on_the_wire) {
  // A level is two messages: the transaction and the operation.
  const auto deep = read<etcdserverpb::TxnRequest>(nested_txn(kMaxJsonDepth / 2 - 1));
  etcdserverpb::TxnRequest parsed;
  EXPECT_TRUE(parsed.ParseFromString(deep.SerializeAsString())) << "what is read can be sent";
  EXPECT_NE(refusal<etcdserverpb::TxnRequest>(nested_txn(kMaxJsonDepth)).find("max recursion depth"),
            std::string::npos);
  refusal<etcdserverpb::TxnRequest>(nested_txn(100000));
  refusal<Range>("{\"x\":" + std::string(1000000, '[') + "}");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  refusal<Range>(objects);
}

// Fills a message at random: all types of fields that the wire knows.
void randomize(Message& message, Random& random, int depth) {
  const auto* reflection = message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    if (random.below(3) == 0) continue;
    const int times = field.is_repeated() ? static_cast<int>(random.below(4)) : 1;
    for (int n = 0; n < times; ++n) {
      const bool one = !field.is_repeated();
      const uint64_t number = random.below(2) == 0 ? random.below(100) : ~random.below(UINT64_MAX);
      switch (field.cpp_type()) {
        case FieldDescriptor::CPPTYPE_INT32: {
          const auto value = static_cast<int32_t>(number);
          one ? reflection->SetInt32(&message, &field, value) : reflection->AddInt32(&message, &field, value);
          break;
        }
        case FieldDescriptor::CPPTYPE_UINT32: {
          const auto value = static_cast<uint32_t>(number);
          one ? reflection->SetUInt32(&message, &field, value) : reflection->AddUInt32(&message, &field, value);
          break;
        }
        case FieldDescriptor::CPPTYPE_INT64: {
          const auto value = static_cast<int64_t>(number);
          one ? reflection->SetInt64(&message, &field, value) : reflection->AddInt64(&message, &field, value);
          break;
        }
        case FieldDescriptor::CPPTYPE_UINT64:
          one ? reflection->SetUInt64(&message, &field, number) : reflection->AddUInt64(&message, &field, number);
          break;
        case FieldDescriptor::CPPTYPE_BOOL:
          one ? reflection->SetBool(&message, &field, number % 2 == 0)
              : reflection->AddBool(&message, &field, number % 2 == 0);
          break;
        case FieldDescriptor::CPPTYPE_ENUM: {
          const auto value = static_cast<int>(random.below(8));
          one ? reflection->SetEnumValue(&message, &field, value) : reflection->AddEnumValue(&message, &field, value);
          break;
        }
        case FieldDescriptor::CPPTYPE_STRING: {
          std::string text;
          for (uint64_t size = random.below(12); size > 0; --size) {
            if (field.type() == FieldDescriptor::TYPE_BYTES) {
              text += static_cast<char>(random.below(256));
            } else {
              const char32_t code =
                  static_cast<char32_t>(random.below(4) == 0 ? 0x10ffff - random.below(0x1000) : random.below(0xd800));
              append_utf8(code, text);
            }
          }
          one ? reflection->SetString(&message, &field, text) : reflection->AddString(&message, &field, text);
          break;
        }
        case FieldDescriptor::CPPTYPE_MESSAGE:
          if (depth == 0) break;
          randomize(one ? *reflection->MutableMessage(&message, &field) : *reflection->AddMessage(&message, &field),
                    random, depth - 1);
          break;
        default: FAIL() << field.full_name();
      }
    }
  }
}

TEST(JsonCodecTest, Agrees_with_protobufs_own_json_on_random_messages) {
  Random random(20);
  const Message* const prototypes[] = {
      &etcdserverpb::TxnRequest::default_instance(),         &etcdserverpb::RangeResponse::default_instance(),
      &etcdserverpb::WatchRequest::default_instance(),       &etcdserverpb::WatchResponse::default_instance(),
      &etcdserverpb::MemberListResponse::default_instance(), &etcdserverpb::StatusResponse::default_instance(),
      &etcdserverpb::AlarmResponse::default_instance(),      &etcdserverpb::AuthRoleGetResponse::default_instance(),
      &etcdserverpb::TxnResponse::default_instance(),        &etcdserverpb::SnapshotResponse::default_instance()};
  google::protobuf::util::JsonPrintOptions print;
  print.preserve_proto_field_names = true;
  for (int round = 0; round < 300; ++round) {
    for (const Message* prototype : prototypes) {
      const std::unique_ptr<Message> message(prototype->New());
      randomize(*message, random, 4);

      const std::string ours = json(*message);
      const std::unique_ptr<Message> theirs_of_ours(prototype->New());
      const auto parsed = google::protobuf::util::JsonStringToMessage(ours, theirs_of_ours.get());
      ASSERT_TRUE(parsed.ok()) << parsed.ToString() << "\n" << ours;
      ASSERT_TRUE(MessageDifferencer::Equals(*message, *theirs_of_ours)) << ours;

      for (const bool camel_case : {false, true}) {
        print.preserve_proto_field_names = !camel_case;
        std::string theirs;
        ASSERT_TRUE(google::protobuf::util::MessageToJsonString(*message, &theirs, print).ok());
        const std::unique_ptr<Message> ours_of_theirs(prototype->New());
        const Status status = read_json(theirs, *ours_of_theirs);
        ASSERT_TRUE(status.ok()) << status.text() << "\n" << theirs;
        ASSERT_TRUE(MessageDifferencer::Equals(*message, *ours_of_theirs)) << theirs;
      }
      const std::unique_ptr<Message> back(prototype->New());
      ASSERT_TRUE(read_json(ours, *back).ok());
      ASSERT_TRUE(MessageDifferencer::Equals(*message, *back)) << ours;
    }
  }
}

TEST(JsonReaderTest, Damaged_json_never_does_harm) {
  Random random(7);
  for (int round = 0; round < 3000; ++round) {
    etcdserverpb::TxnRequest message;
    randomize(message, random, 3);
    std::string text = json(message);
    for (uint64_t n = 1 + random.below(3); n > 0; --n) {
      const size_t at = random.below(text.size());
      switch (random.below(3)) {
        case 0: text.resize(at); break;
        case 1: text.erase(at, 1 + random.below(5)); break;
        default: text[at] = static_cast<char>(random.below(256));
      }
      if (text.empty()) text = "{";
    }
    etcdserverpb::TxnRequest damaged;
    const Status status = read_json(text, damaged);
    if (status.ok()) {
      etcdserverpb::TxnRequest again;
      ASSERT_TRUE(read_json(json(damaged), again).ok()) << text;
      ASSERT_TRUE(MessageDifferencer::Equals(damaged, again)) << text;
    }
  }
}

TEST(JsonSplitterTest, Finds_values_wherever_the_pieces_are_cut) {
  const std::string body = " {\"a\":\"}\\\"{\"}\n{}[1,{\"x\":[]}]  17 true{\"b\":{}} \"q\\\"q\" {\"last\":";
  const std::vector<std::string> expected = {"{\"a\":\"}\\\"{\"}", "{}",         "[1,{\"x\":[]}]", "17", "true",
                                             "{\"b\":{}}",         "\"q\\\"q\"", "{\"last\":"};
  for (size_t size = 1; size <= body.size(); ++size) {
    JsonSplitter splitter;
    std::vector<std::string> found;
    std::string_view value;
    for (size_t at = 0; at < body.size(); at += size) {
      splitter.feed(std::string_view(body).substr(at, size));
      while (splitter.next(value)) found.emplace_back(value);
    }
    while (splitter.last(value)) found.emplace_back(value);
    EXPECT_EQ(found, expected) << size;
    EXPECT_EQ(splitter.buffered(), 0u);
  }
}

TEST(JsonSplitterTest, Many_small_values_cost_no_more_than_their_bytes) {
  JsonSplitter splitter;
  std::string body;
  for (int i = 0; i < 500000; ++i) body += "{}";
  splitter.feed(body);
  size_t found = 0;
  std::string_view value;
  while (splitter.next(value)) ++found;
  EXPECT_EQ(found, 500000u);
}

}  // namespace
}  // namespace kv::api
