// Rows of text as a table for people: columns without lines between them, as wide as the terminal allows.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kvctl/rows.h"
#include "kvctl/terminal.h"

namespace kv::kvctl {

struct TableLook {
  // The headings of columns that may be left out for want of room, the first of them first.
  std::vector<std::string> droppable{};
  // How a cell is painted, by its heading in capitals; none: plainly.
  std::function<Style(std::string_view heading, std::string_view cell)> style{};
};

// What is too wide first loses its empty columns, then those that may be dropped; then long cells are continued in the
// line below. A table that doesn't fit even so becomes a block of "heading  value" lines for each row. Cells are made
// printable.
std::string terminal_table(const Rows& table, const Terminal& terminal, const TableLook& look = {});

}  // namespace kv::kvctl
