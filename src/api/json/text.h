// Texts inside JSON: UTF-8, and bytes as base64.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace kv::api {

// The bytes of the character that `text` begins with; 0 when it is no UTF-8 (overlong forms and surrogates neither).
size_t utf8_length(std::string_view text);
// `code` must be a Unicode scalar value.
void append_utf8(char32_t code, std::string& out);

// Standard alphabet, padded, in quotes.
void append_base64(std::string_view bytes, std::string& out);
// As protojson reads bytes: the standard or the URL alphabet, padded or not; line breaks are skipped.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace kv::api
