// Two texts line by line, as diff -u shows them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kv::kvctl {

struct DiffLine {
  enum class Kind : unsigned char { kSame, kRemoved, kAdded } kind = Kind::kSame;
  std::string_view text{};  // without its newline; lives as long as the text that it is from

  bool operator==(const DiffLine&) const = default;
};

// The fewest removed and added lines that make `after` of `before` (Myers, "An O(ND) difference algorithm", 1986).
// Texts that differ in more than kMaxChanges lines are taken for wholly different.
constexpr size_t kMaxChanges = 1000;
std::vector<DiffLine> line_diff(std::string_view before, std::string_view after);

// Hunks with three lines around each change; empty for equal texts. Lines begin with ' ', '-', '+' or "@@"; a last line
// without a newline is followed by "\ No newline at end of value" where that is the difference.
std::vector<std::string> unified(std::string_view before, std::string_view after);

}  // namespace kv::kvctl
