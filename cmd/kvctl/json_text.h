// Keys and values in the JSON of kvctl's own commands: text as text, and what is no UTF-8 in base64 under another name.
#pragma once

#include <string>
#include <string_view>

namespace kv::kvctl {

// `text`, which is UTF-8, as a JSON string with its quotes; nothing is escaped that need not be.
std::string json_string(std::string_view text);

// "name":"text", or "name_base64":"..." for bytes that are no UTF-8.
std::string json_bytes(std::string_view name, std::string_view bytes);

}  // namespace kv::kvctl
