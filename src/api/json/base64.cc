#include "api/json/base64.h"

#include <array>
#include <cstdint>

namespace kv::api {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> make_values(char digit62, char digit63) {
  std::array<int8_t, 256> values{};
  for (int8_t& value : values) value = -1;
  for (int i = 0; i < 62; ++i) values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int8_t>(i);
  values[static_cast<unsigned char>(digit62)] = 62;
  values[static_cast<unsigned char>(digit63)] = 63;
  return values;
}
constexpr auto kStandard = make_values('+', '/');
constexpr auto kUrl = make_values('-', '_');

}  // namespace

void append_base64(std::string_view bytes, std::string& out) {
  const auto* in = reinterpret_cast<const unsigned char*>(bytes.data());
  const size_t before = out.size();
  out.resize(before + (bytes.size() + 2) / 3 * 4 + 2);
  char* to = out.data() + before;
  *to++ = '"';
  size_t i = 0;
  for (; i + 3 <= bytes.size(); i += 3) {
    const uint32_t group = static_cast<uint32_t>(in[i]) << 16 | static_cast<uint32_t>(in[i + 1]) << 8 | in[i + 2];
    *to++ = kAlphabet[group >> 18];
    *to++ = kAlphabet[group >> 12 & 63];
    *to++ = kAlphabet[group >> 6 & 63];
    *to++ = kAlphabet[group & 63];
  }
  if (const size_t left = bytes.size() - i; left > 0) {
    const uint32_t group = static_cast<uint32_t>(in[i]) << 16 | (left > 1 ? static_cast<uint32_t>(in[i + 1]) << 8 : 0);
    *to++ = kAlphabet[group >> 18];
    *to++ = kAlphabet[group >> 12 & 63];
    *to++ = left > 1 ? kAlphabet[group >> 6 & 63] : '=';
    *to++ = '=';
  }
  *to = '"';
}

std::optional<std::string> decode_base64(std::string_view text) {
  std::string unbroken;
  if (text.find_first_of("\r\n") != std::string_view::npos) {
    for (const char c : text) {
      if (c != '\r' && c != '\n') unbroken += c;
    }
    text = unbroken;
  }
  const auto& values = text.find_first_of("-_") == std::string_view::npos ? kStandard : kUrl;
  if (text.size() % 4 == 0) {  // padded
    for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3 + 2);
  uint32_t group = 0;
  int bits = 0;
  for (const char c : text) {
    const int value = values[static_cast<unsigned char>(c)];
    if (value < 0) return std::nullopt;
    group = group << 6 | static_cast<uint32_t>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out += static_cast<char>(group >> bits & 0xff);
  }
  return out;
}

}  // namespace kv::api
