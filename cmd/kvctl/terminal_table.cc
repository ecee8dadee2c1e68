#include "kvctl/terminal_table.h"

#include <algorithm>
#include <cctype>

#include "base/utf8.h"

namespace kv::kvctl {
namespace {

constexpr size_t kGap = 2;
constexpr size_t kNarrowest = 12;  // a column whose cells go on in the line below

std::string capitals(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(c == '_' ? ' ' : std::toupper(c)); });
  return text;
}

// 12, 1.5, 31 kB, 40%, 1.2ms: what is easier to compare from its right end.
bool is_number(std::string_view text) {
  const size_t digits = text.find_first_not_of("0123456789.,");
  if (text.empty() || digits == 0) return text == "-";
  if (digits == text.npos) return true;
  const std::string_view unit = text.substr(digits);
  return unit == "%" || unit.ends_with("B") || unit.ends_with("/s") || unit == "s" || unit == "ms" || unit == "µs";
}

struct Columns {
  Row heading;
  std::vector<Row> rows;
  std::vector<size_t> widths;

  explicit Columns(const Rows& table) {
    for (const auto& title : table.heading) heading.push_back(capitals(title));
    for (const auto& row : table.rows) {
      Row cells;
      for (const auto& cell : row) cells.push_back(printable(cell));
      rows.push_back(std::move(cells));
    }
    for (size_t i = 0; i < heading.size(); ++i) {
      widths.push_back(width_of(heading[i]));
      for (const auto& row : rows) widths[i] = std::max(widths[i], width_of(row[i]));
    }
  }

  size_t total() const {
    size_t sum = widths.empty() ? 0 : (widths.size() - 1) * kGap;
    for (const size_t width : widths) sum += width;
    return sum;
  }
  bool is_empty(size_t i) const {
    return std::all_of(rows.begin(), rows.end(), [&](const Row& row) { return row[i].empty(); });
  }
  void drop(size_t i) {
    const auto at = static_cast<std::ptrdiff_t>(i);
    heading.erase(heading.begin() + at);
    widths.erase(widths.begin() + at);
    for (auto& row : rows) row.erase(row.begin() + at);
  }
};

void make_room(Columns& columns, size_t room, const std::vector<std::string>& droppable) {
  for (size_t i = columns.heading.size(); i-- > 0 && columns.total() > room && !columns.rows.empty();) {
    if (columns.is_empty(i)) columns.drop(i);
  }
  for (const auto& title : droppable) {
    if (columns.total() <= room) return;
    const auto at = std::find(columns.heading.begin(), columns.heading.end(), capitals(title));
    if (at != columns.heading.end()) columns.drop(static_cast<size_t>(at - columns.heading.begin()));
  }
  while (columns.total() > room) {
    const auto widest = std::max_element(columns.widths.begin(), columns.widths.end());
    if (widest == columns.widths.end() || *widest <= kNarrowest) return;
    *widest = std::max(kNarrowest, *widest - std::min(*widest, columns.total() - room));
  }
}

// A cell in pieces of at most `width` columns, behind a comma where there is one.
std::vector<std::string> pieces(std::string_view text, size_t width) {
  std::vector<std::string> out;
  while (width_of(text) > width) {
    size_t end = 0, comma = 0;
    for (size_t shown = 0; shown < width; ++shown) {
      end += decode_utf8(text.substr(end)).length;
      if (text[end - 1] == ',' || text[end - 1] == ' ') comma = end;
    }
    const size_t cut = comma > 0 ? comma : end;
    out.emplace_back(text.substr(0, cut));
    text.remove_prefix(cut);
  }
  out.emplace_back(text);
  return out;
}

std::string blocks(const Rows& table, const Terminal& terminal, const TableLook& look) {
  const Paint paint(terminal);
  size_t width = 0;
  for (const auto& title : table.heading) width = std::max(width, width_of(title));
  std::string out;
  for (const auto& row : table.rows) {
    if (!out.empty()) out += '\n';
    for (size_t i = 0; i < row.size(); ++i) {
      if (row[i].empty()) continue;
      const std::string title = capitals(table.heading[i]);
      out += paint(Style::kHeading, title) + std::string(width - width_of(title) + kGap, ' ');
      out += paint(look.style ? look.style(title, row[i]) : Style::kNone, printable(row[i])) + '\n';
    }
  }
  return out;
}

}  // namespace

std::string terminal_table(const Rows& table, const Terminal& terminal, const TableLook& look) {
  const Paint paint(terminal);
  Columns columns(table);
  make_room(columns, terminal.columns, look.droppable);
  if (columns.total() > terminal.columns && !table.rows.empty()) return blocks(table, terminal, look);

  std::vector<bool> to_the_right;
  for (size_t i = 0; i < columns.heading.size(); ++i) {
    to_the_right.push_back(!columns.rows.empty() &&
                           std::all_of(columns.rows.begin(), columns.rows.end(),
                                       [&](const Row& row) { return row[i].empty() || is_number(row[i]); }) &&
                           !columns.is_empty(i));
  }
  std::string out;
  const auto line = [&](const Row& cells, const auto& style) {
    std::vector<std::vector<std::string>> parts;
    size_t height = 1;
    for (size_t i = 0; i < cells.size(); ++i) {
      parts.push_back(pieces(cells[i], columns.widths[i]));
      height = std::max(height, parts.back().size());
    }
    for (size_t n = 0; n < height; ++n) {
      std::string text;
      size_t blanks = 0;  // not written until something follows them
      for (size_t i = 0; i < cells.size(); ++i) {
        const std::string part = n < parts[i].size() ? parts[i][n] : "";
        const size_t free = columns.widths[i] - width_of(part);
        if (i > 0) blanks += kGap;
        if (!part.empty()) {
          text += std::string(blanks + (to_the_right[i] ? free : 0), ' ') + paint(style(i), part);
          blanks = to_the_right[i] ? 0 : free;
        } else {
          blanks += columns.widths[i];
        }
      }
      out += text + '\n';
    }
  };
  line(columns.heading, [](size_t) { return Style::kHeading; });
  for (const auto& row : columns.rows) {
    line(row, [&](size_t i) { return look.style ? look.style(columns.heading[i], row[i]) : Style::kNone; });
  }
  return out;
}

}  // namespace kv::kvctl
