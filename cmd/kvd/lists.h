// Lists as flags have them.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace kvd {

// "a,b" -> {"a", "b"}, without the blanks around them and empty ones.
inline std::vector<std::string> comma_list(const std::string& text) {
  std::vector<std::string> out;
  size_t at = 0;
  while (at <= text.size()) {
    const size_t end = std::min(text.find(',', at), text.size());
    std::string item = text.substr(at, end - at);
    item.erase(0, item.find_first_not_of(" \t"));
    item.erase(item.find_last_not_of(" \t") + 1);
    if (!item.empty()) out.push_back(std::move(item));
    at = end + 1;
  }
  return out;
}

}  // namespace kvd
