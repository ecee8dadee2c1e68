#include "kvctl/txn_parser.h"

#include <gtest/gtest.h>

#include <sstream>

namespace kv::kvctl {
namespace {

using client::Compare;
using client::CompareTarget;
using client::Comparison;

template <typename T>
const T* get(const std::variant<T, Exit>& parsed) {
  if (const auto* exit = std::get_if<Exit>(&parsed)) ADD_FAILURE() << exit->error;
  return std::get_if<T>(&parsed);
}
template <typename T>
Exit failure(const std::variant<T, Exit>& parsed) {
  const auto* exit = std::get_if<Exit>(&parsed);
  EXPECT_NE(exit, nullptr) << "it was taken";
  return exit != nullptr ? *exit : Exit{};
}

struct GoodCompare {
  const char* line;
  Compare compare;
};
class GoodCompares : public testing::TestWithParam<GoodCompare> {};

TEST_P(GoodCompares, Are_read) {
  const auto parsed = parse_compare(GetParam().line);
  if (const auto* compare = get(parsed)) {
    EXPECT_EQ(*compare, GetParam().compare) << GetParam().line;
  }
}

constexpr auto kVersion = CompareTarget::kVersion;
constexpr auto kCreate = CompareTarget::kCreateRevision;
constexpr auto kMod = CompareTarget::kModRevision;
constexpr auto kValue = CompareTarget::kValue;
constexpr auto kLease = CompareTarget::kLease;
INSTANTIATE_TEST_SUITE_P(
    All, GoodCompares,
    testing::Values(GoodCompare{R"(mod("key1") > "0")", {"key1", "", kMod, Comparison::kGreater, 0}},
                    GoodCompare{R"(m("key1") < "-5")", {"key1", "", kMod, Comparison::kLess, -5}},
                    GoodCompare{R"(create("k") = "+1")", {"k", "", kCreate, Comparison::kEqual, 1}},
                    GoodCompare{R"(c("k") != "1")", {"k", "", kCreate, Comparison::kNotEqual, 1}},
                    GoodCompare{R"(version("k") = "3")", {"k", "", kVersion, Comparison::kEqual, 3}},
                    GoodCompare{R"(ver("k") = "3")", {"k", "", kVersion, Comparison::kEqual, 3}},
                    GoodCompare{R"(value("k") = "v w")", {"k", "", kValue, Comparison::kEqual, "v w"}},
                    GoodCompare{R"(val("k") = "")", {"k", "", kValue, Comparison::kEqual, ""}},
                    GoodCompare{R"(lease("k") = "2d8257079fa1bc0c")",
                                {"k", "", kLease, Comparison::kEqual, 0x2d8257079fa1bc0c}},
                    GoodCompare{R"(lease("k") > "AF")", {"k", "", kLease, Comparison::kGreater, 175}},
                    GoodCompare{R"(mod( "k")   >	"0")", {"k", "", kMod, Comparison::kGreater, 0}},
                    GoodCompare{R"(mod("k") > "0" and more)", {"k", "", kMod, Comparison::kGreater, 0}},
                    GoodCompare{"val(`a\"b`) = `\\n`", {"a\"b", "", kValue, Comparison::kEqual, "\\n"}},
                    GoodCompare{R"(val("a\")\x00\u00e9") = "\\\t")",
                                {std::string("a\")\0é", 6), "", kValue, Comparison::kEqual, "\\\t"}}));

struct BadCompare {
  const char* line;
  const char* error;
};
class BadCompares : public testing::TestWithParam<BadCompare> {};

TEST_P(BadCompares, Are_refused_in_etcdctls_words) {
  const Exit exit = failure(parse_compare(GetParam().line));
  EXPECT_EQ(exit.code, kExitInvalidInput);
  EXPECT_EQ(exit.error, GetParam().error);
  EXPECT_FALSE(exit.hint.empty());
}

INSTANTIATE_TEST_SUITE_P(
    All, BadCompares,
    testing::Values(BadCompare{"nonsense", "malformed comparison: nonsense"},
                    BadCompare{R"(mod(key) > "0")", R"(malformed comparison: mod(key) > "0"; got mod("")  "")"},
                    BadCompare{R"(mod("k" ) > "0")", R"(malformed comparison: mod("k" ) > "0"; got mod("k")  "")"},
                    BadCompare{R"(mod("k")> "0")", R"(malformed comparison: mod("k")> "0"; got mod("k")  "")"},
                    BadCompare{R"(mod("k") >"0")", R"(malformed comparison: mod("k") >"0"; got mod("k") >"0" "")"},
                    BadCompare{R"(mod("k") > 0)", R"(malformed comparison: mod("k") > 0; got mod("k") > "")"},
                    BadCompare{R"(mod("k") > "0)", R"(malformed comparison: mod("k") > "0; got mod("k") > "")"},
                    BadCompare{R"(mod("k") > "\q")", R"(malformed comparison: mod("k") > "\q"; got mod("k") > "")"},
                    BadCompare{R"(mod ("k") > "0")", R"(malformed comparison: mod ("k") > "0" (unknown target mod ))"},
                    BadCompare{R"(size("k") > "0")", R"(malformed comparison: size("k") > "0" (unknown target size))"},
                    BadCompare{R"(mod("k") >= "0")", R"(malformed comparison: mod("k") >= "0" (unknown operator >=))"},
                    BadCompare{R"(mod("k") > "x")", R"(invalid txn compare request: mod("k") > "x")"},
                    BadCompare{R"(lease("k") > "g")", R"(invalid txn compare request: lease("k") > "g")"},
                    BadCompare{R"(lease("k") > "ffffffffffffffff")",
                               R"(invalid txn compare request: lease("k") > "ffffffffffffffff")"}));

TEST(SplitWords, Single_quotes_keep_everything) {
  EXPECT_EQ(*get(split_words(R"(put 'a b' '\n"x' '')")), (std::vector<std::string>{"put", "a b", R"(\n"x)", ""}));
}

TEST(SplitWords, Double_quotes_know_escapes) {
  EXPECT_EQ(*get(split_words(R"(put "a\tb" "\"" "" "it's")")),
            (std::vector<std::string>{"put", "a\tb", "\"", "", "it's"}));
}

TEST(SplitWords, Quotes_inside_a_word_belong_to_it_and_quoted_words_need_no_space_between) {
  EXPECT_EQ(*get(split_words(R"(a"b" "c"d'e')")), (std::vector<std::string>{"a\"b\"", "c", "d'e'"}));
  EXPECT_EQ(*get(split_words(R"('it''s')")), (std::vector<std::string>{"it", "s"}));
}

TEST(SplitWords, Quote_that_is_never_closed_is_left_out) {
  EXPECT_EQ(*get(split_words("put \"a b")), (std::vector<std::string>{"put", "a", "b"}));
  EXPECT_EQ(*get(split_words("put 'a")), (std::vector<std::string>{"put", "a"}));
}

TEST(SplitWords, Unknown_escape_is_an_error) { EXPECT_EQ(failure(split_words(R"(put "\q")")).code, kExitInvalidInput); }

TEST(ParseRequest, Put_takes_its_flags_anywhere) {
  const auto parsed = parse_request(R"(put --lease=1f key "a value" --prev-kv)");
  const auto& put = std::get<client::PutOp>(get(parsed)->request);
  EXPECT_EQ(put, (client::PutOp{"key", "a value", {.lease = 31, .prev_kv = true}}));
}

TEST(ParseRequest, Get_and_del_take_ranges) {
  const auto got = parse_request("get --prefix k --limit 2");
  EXPECT_EQ(std::get<client::GetOp>(get(got)->request), (client::GetOp{"k", {.range_end = "l", .limit = 2}}));
  const auto removed = parse_request("del a c --prev-kv");
  EXPECT_EQ(std::get<client::RemoveOp>(get(removed)->request),
            (client::RemoveOp{"a", {.range_end = "c", .prev_kv = true}}));
  const auto everything = parse_request("get '' --prefix");
  EXPECT_EQ(std::get<client::GetOp>(get(everything)->request),
            (client::GetOp{std::string(1, '\0'), {.range_end = std::string(1, '\0')}}));
}

TEST(ParseRequest, Names_may_be_cut_short) {
  EXPECT_TRUE(std::holds_alternative<client::PutOp>(get(parse_request("p a b"))->request));
}

TEST(ParseRequest, Dashes_behind_a_double_dash_are_no_flags) {
  const auto parsed = parse_request("put -- -k -v");
  EXPECT_EQ(std::get<client::PutOp>(get(parsed)->request), (client::PutOp{"-k", "-v", {}}));
}

TEST(ParseRequest, Errors_are_etcdctls_with_their_exit_codes) {
  EXPECT_EQ(failure(parse_request("put")).error, "invalid txn compare request: put");
  EXPECT_EQ(failure(parse_request("foo a")).error, "invalid txn request: foo a");
  EXPECT_EQ(failure(parse_request("get a --foo")).error, "invalid txn request: get a --foo");
  EXPECT_EQ(failure(parse_request("get a --limit x")).code, kExitInvalidInput);
  EXPECT_EQ(failure(parse_request("put a")).code, kExitBadArgs);
  EXPECT_EQ(failure(parse_request("get a b --prefix")).code, kExitBadArgs);
  EXPECT_EQ(failure(parse_request("get a --order up")).code, kExitBadFeature);
}

TEST(ReadTxn, Three_lists_end_with_a_blank_line_each) {
  std::istringstream in("mod(\"k\") > \"0\"\n  val(\"k\") = \"v\"  \n\nput k 1\n \t\nput k 2\nget k\n\nnot read\n");
  std::vector<std::string> headings;
  const auto parsed = read_txn(in, [&](std::string_view heading) { headings.emplace_back(heading); });
  const auto* txn = get(parsed);
  ASSERT_NE(txn, nullptr);
  EXPECT_EQ(txn->compares().size(), 2u);
  EXPECT_EQ(txn->success().size(), 1u);
  EXPECT_EQ(txn->failure().size(), 2u);
  EXPECT_EQ(headings, (std::vector<std::string>{
                          "compares:", "success requests (get, put, del):", "failure requests (get, put, del):"}));
}

TEST(ReadTxn, Input_that_is_cut_short_is_not_carried_out) {
  for (const char* text : {"", "\n", "\n\n", "\nput a b\n\n", "\n\nput a b\n", "\n\nput a b", "mod(\"k\") > \"0\""}) {
    std::istringstream in(text);
    const Exit exit = failure(read_txn(in, [](std::string_view) {}));
    EXPECT_EQ(exit.code, kExitInvalidInput) << text;
    EXPECT_EQ(exit.error, "EOF") << text;
    EXPECT_NE(exit.hint.find("Nothing was sent"), std::string::npos);
  }
}

TEST(ReadTxn, First_bad_line_ends_it) {
  std::istringstream in("\nput a 1\nfoo b\n\n\n");
  EXPECT_EQ(failure(read_txn(in, [](std::string_view) {})).error, "invalid txn request: foo b");
}

}  // namespace
}  // namespace kv::kvctl
