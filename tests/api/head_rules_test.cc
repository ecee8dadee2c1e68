#include "api/net/head_rules.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace kv::api {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

const Fields kGood{{":method", "POST"}, {":scheme", "http"}, {":path", "/a/b"}, {":authority", "h"}};

bool well_formed(const Fields& fields, bool ends_stream = false, HeadRules::Block block = HeadRules::Block::kHead) {
  HeadRules rules;
  rules.begin(block);
  bool good = true;
  for (const auto& [name, value] : fields) good = rules.field(name, value) && good;
  EXPECT_TRUE(good || !rules.end(ends_stream)) << "a bad field is forgotten at the end";
  return rules.end(ends_stream);
}

Fields with(Fields more, Fields fields = kGood) {
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

TEST(HeadRules, A_grpc_request_is_well_formed) {
  EXPECT_TRUE(well_formed(with({{"te", "trailers"}, {"content-type", "application/grpc"}, {"grpc-timeout", "1S"}})));
}

TEST(HeadRules, Any_authority_is_well_formed) {
  for (const char* authority : {"", "127.0.0.1:2379", "http://127.0.0.1:2379", "passthrough:///x", "a b", "%2Fsock"}) {
    EXPECT_TRUE(well_formed({{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", authority}}))
        << authority;
  }
  EXPECT_TRUE(well_formed({{":method", "POST"}, {":scheme", "http"}, {":path", "/"}}));
}

TEST(HeadRules, Each_required_pseudo_field_must_be_there_once_and_not_empty) {
  for (size_t i = 0; i < 3; ++i) {
    Fields without = kGood;
    without.erase(without.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_FALSE(well_formed(without)) << kGood[i].first;
    Fields empty = kGood;
    empty[i].second = "";
    EXPECT_FALSE(well_formed(empty)) << kGood[i].first;
  }
  for (const auto& field : kGood) EXPECT_FALSE(well_formed(with({field}))) << field.first << " twice";
}

TEST(HeadRules, Pseudo_fields_of_responses_unknown_ones_and_late_ones_are_malformed) {
  EXPECT_FALSE(well_formed(with({{":status", "200"}})));
  EXPECT_FALSE(well_formed(with({{":protocol", "websocket"}})));
  EXPECT_FALSE(well_formed(with({{":", "x"}})));
  EXPECT_FALSE(well_formed({{":method", "GET"}, {":scheme", "http"}, {"a", "b"}, {":path", "/"}}));
}

TEST(HeadRules, Names_are_lower_case_tokens) {
  for (const std::string& name : std::vector<std::string>{"", "Upper", "sp ace", "new\nline", std::string("nul\0l", 5),
                                                          "caf\xc3\xa9", "co:lon"}) {
    EXPECT_FALSE(well_formed(with({{name, "x"}}))) << name;
  }
  EXPECT_TRUE(well_formed(with({{"x-trace_id.1", "x"}})));
}

TEST(HeadRules, Values_have_no_control_characters_and_no_blanks_around) {
  for (const std::string& value : {std::string("a\rb"), std::string("a\nb"), std::string("a\0b", 3), std::string(" a"),
                                   std::string("a "), std::string("\ta"), std::string("a\x7f")}) {
    EXPECT_FALSE(well_formed(with({{"x", value}}))) << value;
  }
  EXPECT_TRUE(well_formed(with({{"x", ""}, {"y", "a b\tc"}, {"z", "\xc3\xa9"}})));
}

TEST(HeadRules, Fields_of_the_connection_are_malformed) {
  for (const char* name : {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}) {
    EXPECT_FALSE(well_formed(with({{name, "x"}}))) << name;
  }
  EXPECT_FALSE(well_formed(with({{"te", "gzip"}})));
  EXPECT_FALSE(well_formed(with({{"te", "trailers, deflate;q=0.5"}})));
  EXPECT_TRUE(well_formed(with({{"te", "trailers"}})));
}

TEST(HeadRules, Content_length_is_one_number) {
  for (const char* value : {"", "x", "1x", "-1", "-0", "+1", " 1", "1,1", "99999999999999999999"}) {
    EXPECT_FALSE(well_formed(with({{"content-length", value}}))) << value;
  }
  EXPECT_FALSE(well_formed(with({{"content-length", "1"}, {"content-length", "1"}})));
  EXPECT_TRUE(well_formed(with({{"content-length", "17"}})));
  EXPECT_FALSE(well_formed(with({{"content-length", "17"}}), /*ends_stream=*/true));
  EXPECT_TRUE(well_formed(with({{"content-length", "0"}}), /*ends_stream=*/true));

  HeadRules rules;
  rules.begin(HeadRules::Block::kHead);
  EXPECT_EQ(rules.content_length(), -1);
  EXPECT_TRUE(rules.field("content-length", "17"));
  EXPECT_EQ(rules.content_length(), 17);
  rules.begin(HeadRules::Block::kHead);
  EXPECT_EQ(rules.content_length(), -1) << "of the block before";
}

TEST(HeadRules, Connect_has_an_authority_and_no_path) {
  EXPECT_TRUE(well_formed({{":method", "CONNECT"}, {":authority", "h:1"}}));
  EXPECT_FALSE(well_formed({{":method", "CONNECT"}}));
  EXPECT_FALSE(well_formed({{":method", "CONNECT"}, {":authority", "h:1"}, {":path", "/"}}));
}

TEST(HeadRules, Trailers_end_the_stream_and_have_no_pseudo_fields) {
  constexpr auto kTrailers = HeadRules::Block::kTrailers;
  EXPECT_TRUE(well_formed({{"x", "y"}}, true, kTrailers));
  EXPECT_FALSE(well_formed({{"x", "y"}}, false, kTrailers));
  EXPECT_FALSE(well_formed({{":path", "/"}}, true, kTrailers));
}

}  // namespace
}  // namespace kv::api
