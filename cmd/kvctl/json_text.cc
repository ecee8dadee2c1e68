#include "kvctl/json_text.h"

#include "base/utf8.h"
#include "kvctl/go_format.h"

namespace kv::kvctl {

std::string json_string(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string json_bytes(std::string_view name, std::string_view bytes) {
  if (is_utf8(bytes)) return json_string(name) + ':' + json_string(bytes);
  return json_string(std::string(name) + "_base64") + ":\"" + base64(bytes) + '"';
}

}  // namespace kv::kvctl
