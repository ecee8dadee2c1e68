#include "base/utf8.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace kv {

void PrintTo(const CodePoint& c, std::ostream* out) {
  *out << "U+" << std::hex << static_cast<uint32_t>(c.value) << std::dec << " in " << c.length;
}
bool operator==(const CodePoint& a, const CodePoint& b) { return a.value == b.value && a.length == b.length; }

namespace {

constexpr CodePoint kInvalid{0xfffd, 1};

// The definition of UTF-8 turned round: the bits of a scalar value, from its last, in as few bytes as hold them.
std::string encoding_of(uint32_t scalar) {
  if (scalar < 0x80) return std::string(1, static_cast<char>(scalar));
  std::string bytes;
  uint32_t mark = 0x80;  // of the lead: as many ones as there are bytes
  for (uint32_t room = 0x20;; room /= 2) {
    bytes.insert(bytes.begin(), static_cast<char>(0x80 + scalar % 64));
    scalar /= 64;
    mark = 0x80 | mark >> 1;
    if (scalar < room) break;
  }
  bytes.insert(bytes.begin(), static_cast<char>((mark & 0xff) + scalar));
  return bytes;
}

template <typename See>
void for_each_scalar(See see) {
  for (uint32_t scalar = 0; scalar <= 0x10ffff; ++scalar) {
    if (scalar < 0xd800 || scalar > 0xdfff) see(scalar);
  }
}

TEST(Utf8, First_and_last_characters_of_each_length_are_decoded) {
  const struct {
    const char* bytes;
    CodePoint expected;
  } kTable[] = {
      {"\x01", {0x1, 1}},
      {"\x7f", {0x7f, 1}},
      {"\xc2\x80", {0x80, 2}},
      {"\xdf\xbf", {0x7ff, 2}},
      {"\xe0\xa0\x80", {0x800, 3}},
      {"\xed\x9f\xbf", {0xd7ff, 3}},
      {"\xee\x80\x80", {0xe000, 3}},
      {"\xef\xbf\xbd", {0xfffd, 3}},
      {"\xef\xbf\xbf", {0xffff, 3}},
      {"\xf0\x90\x80\x80", {0x10000, 4}},
      {"\xf4\x8f\xbf\xbf", {0x10ffff, 4}},
  };
  for (const auto& row : kTable) {
    EXPECT_EQ(decode_utf8(row.bytes), row.expected);
    EXPECT_TRUE(decode_utf8(row.bytes).valid());
    EXPECT_EQ(utf8_length(row.bytes), row.expected.length);
    EXPECT_EQ(decode_utf8(std::string(row.bytes) + "\xff"), row.expected) << "whatever follows";
  }
  EXPECT_EQ(decode_utf8(std::string(1, '\0')), (CodePoint{0, 1}));
}

TEST(Utf8, Hostile_sequences_are_no_character_but_one_byte) {
  for (const char* bytes : {
           "\x80",
           "\xbf",
           "\x80\x80\x80",  // what follows, with nothing before it
           "\xc0\x80",
           "\xc0\xaf",
           "\xc1\xbf",  // longer forms of ASCII
           "\xe0\x80\x80",
           "\xe0\x80\xaf",
           "\xe0\x9f\xbf",  // ... of up to U+07FF
           "\xf0\x80\x80\x80",
           "\xf0\x80\x80\xaf",
           "\xf0\x8f\xbf\xbf",  // ... of up to U+FFFF
           "\xed\xa0\x80",
           "\xed\xaf\xbf",
           "\xed\xb0\x80",
           "\xed\xbf\xbf",              // halves of pairs
           "\xed\xa0\xbd\xed\xb8\x80",  // a pair, as CESU-8 has it
           "\xf4\x90\x80\x80",
           "\xf4\xbf\xbf\xbf",
           "\xf5\x80\x80\x80",
           "\xf7\xbf\xbf\xbf",  // past U+10FFFF
           "\xf8\x88\x80\x80\x80",
           "\xfc\x84\x80\x80\x80\x80",
           "\xfe",
           "\xff",  // leads of five and more, and none
           "\xc2",
           "\xdf",
           "\xe0\xa0",
           "\xe1",
           "\xe1\x80",
           "\xef\xbf",
           "\xf0",
           "\xf0\x90",
           "\xf0\x90\x80",
           "\xf4\x8f\xbf",
           "\xc2z",
           "\xc2\xc2",
           "\xe1z\x80",
           "\xe1\x80z",
           "\xf1z\x80\x80",
           "\xf1\x80z\x80",
           "\xf1\x80\x80z",
           "\xe1\x80\xc0",
           "\xf1\x80\x80\xff",
       }) {
    EXPECT_EQ(decode_utf8(bytes), kInvalid) << testing::PrintToString(std::string(bytes));
    EXPECT_FALSE(decode_utf8(bytes).valid());
    EXPECT_EQ(utf8_length(bytes), 0U);
    EXPECT_FALSE(is_utf8(bytes));
    EXPECT_FALSE(is_utf8("before " + std::string(bytes)));
    EXPECT_FALSE(is_utf8(std::string(bytes) + " behind"));
  }
}

TEST(Utf8, An_empty_text_has_no_character_and_is_valid) {
  EXPECT_EQ(decode_utf8(""), (CodePoint{0xfffd, 0}));
  EXPECT_FALSE(decode_utf8("").valid());
  EXPECT_EQ(utf8_length(""), 0U);
  EXPECT_TRUE(is_utf8(""));
}

TEST(Utf8, Every_character_comes_back_as_it_was_written) {
  std::string all;
  size_t wrong = 0;
  for_each_scalar([&](uint32_t scalar) {
    std::string bytes;
    append_utf8(scalar, bytes);
    const CodePoint decoded = decode_utf8(bytes);
    wrong += bytes == encoding_of(scalar) && decoded == CodePoint{scalar, bytes.size()} && decoded.valid() ? 0 : 1;
    all += bytes;
  });
  EXPECT_EQ(wrong, 0U);
  EXPECT_TRUE(is_utf8(all));
}

// What decodes is what encodes a character, and nothing else: checked over every text of up to three bytes.
TEST(Utf8, No_other_sequence_of_up_to_three_bytes_is_a_character) {
  std::vector<uint32_t> characters[3];  // by the number that the bytes make; 0 for those of none
  for (size_t length = 1; length <= 3; ++length) characters[length - 1].resize(size_t{1} << 8 * length);
  const auto number_of = [](std::string_view bytes) {
    size_t number = 0;
    for (const char c : bytes) number = number << 8 | static_cast<unsigned char>(c);
    return number;
  };
  for_each_scalar([&](uint32_t scalar) {
    const std::string bytes = encoding_of(scalar);
    if (bytes.size() <= 3) characters[bytes.size() - 1][number_of(bytes)] = scalar;
  });
  const auto expected = [&](std::string_view text) {
    if (text[0] == '\0') return CodePoint{0, 1};
    for (size_t length = 1; length <= text.size(); ++length) {
      const uint32_t scalar = characters[length - 1][number_of(text.substr(0, length))];
      if (scalar != 0) return CodePoint{scalar, length};
    }
    return kInvalid;
  };
  for (size_t length = 1; length <= 3; ++length) {
    std::string text(length, '\0');
    for (size_t number = 0; number < size_t{1} << 8 * length; ++number) {
      for (size_t i = 0; i < length; ++i) text[i] = static_cast<char>(number >> 8 * (length - 1 - i));
      const CodePoint right = expected(text);
      const CodePoint decoded = decode_utf8(text);
      ASSERT_EQ(decoded, right) << testing::PrintToString(text);
      ASSERT_EQ(decoded.valid(), right.length > 1 || right.value != 0xfffd) << testing::PrintToString(text);
    }
  }
}

// ... and of four, over every lead and what stands at the borders of what may follow it.
TEST(Utf8, No_other_sequence_of_four_bytes_is_a_character) {
  std::map<std::string, uint32_t> characters;
  for (uint32_t scalar = 0x10000; scalar <= 0x10ffff; ++scalar) {
    // Of those with borders alone in them.
    const uint32_t last = scalar % 64, third = scalar / 64 % 64;
    if ((last == 0 || last == 63) && (third == 0 || third == 63)) characters[encoding_of(scalar)] = scalar;
  }
  size_t found = 0;
  for (uint32_t lead = 0xe0; lead <= 0xff; ++lead) {
    for (uint32_t second = 0; second <= 0xff; ++second) {
      for (const char third : {'\x7f', '\x80', '\xbf', '\xc0'}) {
        for (const char last : {'\x7f', '\x80', '\xbf', '\xc0'}) {
          const std::string text{static_cast<char>(lead), static_cast<char>(second), third, last};
          const CodePoint decoded = decode_utf8(text);
          const auto character = characters.find(text);
          if (character != characters.end()) {
            ++found;
            ASSERT_EQ(decoded, (CodePoint{character->second, 4})) << testing::PrintToString(text);
          } else {
            ASSERT_EQ(decoded, decode_utf8(text.substr(0, 3))) << testing::PrintToString(text);
          }
        }
      }
    }
  }
  EXPECT_EQ(found, characters.size());
}

}  // namespace
}  // namespace kv
