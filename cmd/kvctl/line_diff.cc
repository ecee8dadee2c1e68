#include "kvctl/line_diff.h"

#include <algorithm>

namespace kv::kvctl {
namespace {

using Lines = std::vector<std::string_view>;
using Kind = DiffLine::Kind;

constexpr size_t kContext = 3;

Lines lines_of(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const size_t length = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return lines;
}

void push(std::vector<DiffLine>& out, Kind kind, std::string_view line) { out.push_back({kind, line}); }

// The middle of two texts, whose first and last lines differ.
void changed_lines(const Lines& a, const Lines& b, std::vector<DiffLine>& out) {
  const auto n = static_cast<int64_t>(a.size()), m = static_cast<int64_t>(b.size());
  const int64_t most = std::min<int64_t>(n + m, kMaxChanges);
  // furthest[k + most + 1]: how far in `a` the diagonal k = x - y has come; one copy for each number of changes.
  std::vector<int64_t> furthest(static_cast<size_t>(2 * most + 3), 0);
  std::vector<std::vector<int64_t>> history;
  const auto at = [&](std::vector<int64_t>& v, int64_t k) -> int64_t& { return v[static_cast<size_t>(k + most + 1)]; };
  int64_t changes = -1;
  for (int64_t d = 0; d <= most && changes < 0; ++d) {
    history.push_back(furthest);
    for (int64_t k = -d; k <= d; k += 2) {
      int64_t x = k == -d || (k != d && at(furthest, k - 1) < at(furthest, k + 1)) ? at(furthest, k + 1)
                                                                                   : at(furthest, k - 1) + 1;
      while (x < n && x - k < m && x - k >= 0 && a[static_cast<size_t>(x)] == b[static_cast<size_t>(x - k)]) ++x;
      at(furthest, k) = x;
      if (x >= n && x - k >= m) changes = d;
    }
  }
  if (changes < 0) {
    for (const auto line : a) push(out, Kind::kRemoved, line);
    for (const auto line : b) push(out, Kind::kAdded, line);
    return;
  }
  // Back from the end: each step is one change and the equal lines behind it.
  std::vector<DiffLine> reversed;
  int64_t x = n, y = m;
  for (int64_t d = changes; d > 0; --d) {
    auto& v = history[static_cast<size_t>(d)];
    const int64_t k = x - y;
    const bool added = k == -d || (k != d && at(v, k - 1) < at(v, k + 1));
    const int64_t from_x = at(v, added ? k + 1 : k - 1);
    const int64_t from_y = from_x - (added ? k + 1 : k - 1);
    while (x > from_x + (added ? 0 : 1) && y > from_y + (added ? 1 : 0)) {
      push(reversed, Kind::kSame, a[static_cast<size_t>(--x)]);
      --y;
    }
    if (added) {
      push(reversed, Kind::kAdded, b[static_cast<size_t>(--y)]);
    } else {
      push(reversed, Kind::kRemoved, a[static_cast<size_t>(--x)]);
    }
  }
  while (x > 0) push(reversed, Kind::kSame, a[static_cast<size_t>(--x)]);
  out.insert(out.end(), reversed.rbegin(), reversed.rend());
}

std::string_view chomped(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  return line;
}

// Whether one of them ends in a newline and the other does not.
bool ends_differ(std::string_view a, std::string_view b) {
  return !a.empty() && !b.empty() && a.ends_with('\n') != b.ends_with('\n');
}

// With their newlines where a missing one at the end is a difference.
std::vector<DiffLine> whole_lines(std::string_view before, std::string_view after) {
  Lines a = lines_of(before), b = lines_of(after);
  if (!ends_differ(before, after)) {
    for (Lines* lines : {&a, &b}) std::transform(lines->begin(), lines->end(), lines->begin(), chomped);
  }
  const size_t shorter = std::min(a.size(), b.size());
  size_t head = 0, tail = 0;
  while (head < shorter && a[head] == b[head]) ++head;
  while (tail < shorter - head && a[a.size() - 1 - tail] == b[b.size() - 1 - tail]) ++tail;
  std::vector<DiffLine> out;
  for (size_t i = 0; i < head; ++i) push(out, Kind::kSame, a[i]);
  const auto middle = [&](const Lines& lines) {
    return Lines(lines.begin() + static_cast<std::ptrdiff_t>(head), lines.end() - static_cast<std::ptrdiff_t>(tail));
  };
  changed_lines(middle(a), middle(b), out);
  for (size_t i = a.size() - tail; i < a.size(); ++i) push(out, Kind::kSame, a[i]);
  return out;
}

// "-3,7": a hunk's place; an empty one is named by the line before it.
std::string place(char sign, size_t first, size_t count) {
  std::string text = sign + std::to_string(count == 0 ? first : first + 1);
  return count == 1 ? text : text + ',' + std::to_string(count);
}

}  // namespace

std::vector<DiffLine> line_diff(std::string_view before, std::string_view after) {
  auto lines = whole_lines(before, after);
  for (auto& line : lines) line.text = chomped(line.text);
  return lines;
}

std::vector<std::string> unified(std::string_view before, std::string_view after) {
  const auto lines = whole_lines(before, after);
  std::vector<std::string> out;
  size_t a = 0, b = 0;  // lines of each text before `i`
  for (size_t i = 0; i < lines.size();) {
    if (lines[i].kind == Kind::kSame) {
      ++i, ++a, ++b;
      continue;
    }
    // From here to the last change that is not more than twice the context away from the one before.
    const size_t begin = i - std::min(i, kContext);
    size_t end = i, same = 0;
    for (size_t j = i; j < lines.size() && same <= 2 * kContext; ++j) {
      same = lines[j].kind == Kind::kSame ? same + 1 : 0;
      if (same == 0) end = j + 1;
    }
    end = std::min(end + kContext, lines.size());
    size_t removed = 0, added = 0;
    const size_t first_a = a - (i - begin), first_b = b - (i - begin);
    const size_t heading = out.size();
    out.emplace_back();
    for (size_t j = begin; j < end; ++j) {
      const auto& [kind, text] = lines[j];
      removed += kind != Kind::kAdded;
      added += kind != Kind::kRemoved;
      const char sign = kind == Kind::kSame ? ' ' : kind == Kind::kAdded ? '+' : '-';
      out.push_back(sign + std::string(chomped(text)));
      if (ends_differ(before, after) && !text.ends_with('\n') && kind != Kind::kSame)
        out.emplace_back("\\ No newline at end of value");
    }
    out[heading] = "@@ " + place('-', first_a, removed) + ' ' + place('+', first_b, added) + " @@";
    a = first_a + removed;
    b = first_b + added;
    i = end;
  }
  return out;
}

}  // namespace kv::kvctl
