#include "kvctl/go_format.h"

#include <gtest/gtest.h>

namespace kv::kvctl {
namespace {

using std::chrono::nanoseconds;

TEST(GoFormat, Quote_leaves_what_is_printable) {
  EXPECT_EQ(go_quote(""), R"("")");
  EXPECT_EQ(go_quote("a b'c"), R"("a b'c")");
  EXPECT_EQ(go_quote("日本 é ❤ \U0001f600"), "\"日本 é ❤ \U0001f600\"");
}

TEST(GoFormat, Quote_escapes_what_is_not_printable) {
  EXPECT_EQ(go_quote("\a\b\f\n\r\t\v\\\""), R"("\a\b\f\n\r\t\v\\\"")");
  EXPECT_EQ(go_quote(std::string("\0\x1b\x7f", 3)), R"("\x00\x1b\x7f")");
  EXPECT_EQ(go_quote("\u00a0\u00ad\u200b\u2028\ue000"), R"("\u00a0\u00ad\u200b\u2028\ue000")");
  EXPECT_EQ(go_quote("\U000e0001\U0010ffff"), R"("\U000e0001\U0010ffff")");
}

TEST(GoFormat, Quote_writes_bytes_that_are_not_utf8_in_hexadecimal) {
  EXPECT_EQ(go_quote("\xff\x80 ab\xc3"), R"("\xff\x80 ab\xc3")");
  EXPECT_EQ(go_quote("\xc0\xaf"), R"("\xc0\xaf")") << "overlong";
  EXPECT_EQ(go_quote("\xed\xa0\x80"), R"("\xed\xa0\x80")") << "surrogate";
  EXPECT_EQ(go_quote("\xf4\x90\x80\x80"), R"("\xf4\x90\x80\x80")") << "past the last character";
}

TEST(GoFormat, Unquote_reads_what_quote_writes) {
  std::string bytes;
  for (int b = 0; b < 256; ++b) bytes.push_back(static_cast<char>(b));
  EXPECT_EQ(go_unquote(go_quote(bytes)), bytes);
  EXPECT_EQ(go_unquote(R"("\101\x42\u0043\U00000044")"), "ABCD");
  EXPECT_EQ(go_unquote(R"("\u00e9\U0001f600")"), "é\U0001f600");
  EXPECT_EQ(go_unquote("`a\\n\"b`"), "a\\n\"b");
}

TEST(GoFormat, Unquote_refuses_what_go_refuses) {
  for (const char* bad : {"", "\"", "a", "\"a", "a\"", "\"a\"b\"", "\"\\q\"", "\"\\'\"", "\"\\x4\"", "\"\\400\"",
                          "\"\\ud800\"", "\"\\U00110000\"", "\"\\\"", "'a'", "\"a\nb\"", "`a`b`", "\"\\18\""}) {
    EXPECT_FALSE(go_unquote(bad).has_value()) << bad;
  }
}

TEST(GoFormat, Parse_int_takes_sign_and_base) {
  EXPECT_EQ(go_parse_int("-9223372036854775808", 10).value, INT64_MIN);
  EXPECT_EQ(go_parse_int("9223372036854775807", 10).value, INT64_MAX);
  EXPECT_EQ(go_parse_int("+7", 10).value, 7);
  EXPECT_EQ(go_parse_int("2d8257079fa1bc0c", 16).value, 0x2d8257079fa1bc0c);
  EXPECT_EQ(go_parse_int("AF", 16).value, 175);
  EXPECT_EQ(go_parse_int("0x1f", 0).value, 31);
  EXPECT_EQ(go_parse_int("0b101", 0).value, 5);
  EXPECT_EQ(go_parse_int("0o17", 0).value, 15);
  EXPECT_EQ(go_parse_int("017", 0).value, 15);
  EXPECT_EQ(go_parse_int("1_000", 0).value, 1000);
}

TEST(GoFormat, Parse_int_says_what_is_wrong_in_gos_words) {
  EXPECT_EQ(go_parse_int("x\n", 10).error, R"(strconv.ParseInt: parsing "x\n": invalid syntax)");
  EXPECT_EQ(go_parse_int("", 10).error, R"(strconv.ParseInt: parsing "": invalid syntax)");
  EXPECT_EQ(go_parse_int("-", 10).error, R"(strconv.ParseInt: parsing "-": invalid syntax)");
  EXPECT_EQ(go_parse_int("9223372036854775808", 10).error,
            R"(strconv.ParseInt: parsing "9223372036854775808": value out of range)");
  EXPECT_EQ(go_parse_int("ffffffffffffffff", 16).error,
            R"(strconv.ParseInt: parsing "ffffffffffffffff": value out of range)");
  EXPECT_EQ(go_parse_int("99999999999999999999x", 10).error,
            R"(strconv.ParseInt: parsing "99999999999999999999x": invalid syntax)");
  EXPECT_FALSE(go_parse_int("0x1f", 10).ok());
  EXPECT_FALSE(go_parse_int("08", 0).ok());
}

TEST(GoFormat, Durations_are_written_as_go_writes_them) {
  EXPECT_EQ(go_duration(nanoseconds(0)), "0s");
  EXPECT_EQ(go_duration(nanoseconds(1)), "1ns");
  EXPECT_EQ(go_duration(nanoseconds(1100)), "1.1µs");
  EXPECT_EQ(go_duration(nanoseconds(2200000)), "2.2ms");
  EXPECT_EQ(go_duration(nanoseconds(1735762)), "1.735762ms");
  EXPECT_EQ(go_duration(nanoseconds(3300000000)), "3.3s");
  EXPECT_EQ(go_duration(std::chrono::seconds(4 * 60 + 5)), "4m5s");
  EXPECT_EQ(go_duration(std::chrono::hours(100) + nanoseconds(1)), "100h0m0.000000001s");
  EXPECT_EQ(go_duration(-std::chrono::minutes(1)), "-1m0s");
}

TEST(GoFormat, Durations_are_read_as_go_reads_them) {
  EXPECT_EQ(go_parse_duration("0").value.count(), 0);
  EXPECT_EQ(go_parse_duration("5s").value, std::chrono::seconds(5));
  EXPECT_EQ(go_parse_duration("1h2m3.5s").value, std::chrono::milliseconds(3723500));
  EXPECT_EQ(go_parse_duration("-1.5ms").value, nanoseconds(-1500000));
  EXPECT_EQ(go_parse_duration("1µs").value, nanoseconds(1000));
  EXPECT_EQ(go_parse_duration(".5s").value, std::chrono::milliseconds(500));
  EXPECT_EQ(go_parse_duration("").error, R"(time: invalid duration "")");
  EXPECT_EQ(go_parse_duration("zz").error, R"(time: invalid duration "zz")");
  EXPECT_EQ(go_parse_duration(".s").error, R"(time: invalid duration ".s")");
  EXPECT_EQ(go_parse_duration("1").error, R"(time: missing unit in duration "1")");
  EXPECT_EQ(go_parse_duration("1x").error, R"(time: unknown unit "x" in duration "1x")");
  EXPECT_EQ(go_parse_duration("1s2").error, R"(time: missing unit in duration "1s2")");
  EXPECT_FALSE(go_parse_duration("9999999h").ok());
}

TEST(GoFormat, Json_strings_are_safe_inside_html) {
  EXPECT_EQ(go_json_string("<a href=\"x\">&</a>"), R"("\u003ca href=\"x\"\u003e\u0026\u003c/a\u003e")");
  EXPECT_EQ(go_json_string("\b\f\n\r\t\x01\x7f"), "\"\\b\\f\\n\\r\\t\\u0001\x7f\"");
  EXPECT_EQ(go_json_string("\u2028é\xff"), R"("\u2028é\ufffd")");
}

TEST(GoFormat, Base64_pads) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("a"), "YQ==");
  EXPECT_EQ(base64("ab"), "YWI=");
  EXPECT_EQ(base64("abc"), "YWJj");
  EXPECT_EQ(base64("\xff\xfe\xfd\xfc"), "//79/A==");
}

TEST(GoFormat, Bytes_are_rounded_for_people) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(9), "9 B");
  EXPECT_EQ(human_bytes(10), "10 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.0 kB");
  EXPECT_EQ(human_bytes(9950), "10 kB");
  EXPECT_EQ(human_bytes(24576), "25 kB");
  EXPECT_EQ(human_bytes(8589934592), "8.6 GB");
  EXPECT_EQ(human_bytes(18446744073709551615u), "18 EB");
}

TEST(GoFormat, Hexadecimal_has_gos_widths) {
  EXPECT_EQ(hex(0xabc), "abc");
  EXPECT_EQ(hex16(0xabc), "0000000000000abc");
  EXPECT_EQ(hex16(-1), "-000000000000001");
  EXPECT_EQ(hex_escaped(std::string("a\0\xff", 3)), R"(\x61\x00\xff)");
}

}  // namespace
}  // namespace kv::kvctl
