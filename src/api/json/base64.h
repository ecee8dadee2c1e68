// Bytes inside JSON: base64.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace kv::api {

// Standard alphabet, padded, in quotes.
void append_base64(std::string_view bytes, std::string& out);
// As protojson reads bytes: the standard or the URL alphabet, padded or not; line breaks are skipped.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace kv::api
