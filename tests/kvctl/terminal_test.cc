#include "kvctl/terminal.h"

#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "kvctl/printer.h"
#include "kvctl/terminal_table.h"

namespace kv::kvctl {
namespace {

VariableReader reading(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) -> const char* {
    const auto at = variables.find(name);
    return at == variables.end() ? nullptr : at->second.c_str();
  };
}

TEST(Terminal, Colour_is_for_terminals_unless_somebody_says_otherwise) {
  Terminal terminal{.is_terminal = true};
  EXPECT_TRUE(decide_colour("auto", reading({{"TERM", "xterm"}}), terminal));
  EXPECT_TRUE(terminal.colour);
  EXPECT_TRUE(decide_colour("auto", reading({{"NO_COLOR", "1"}}), terminal));
  EXPECT_FALSE(terminal.colour);
  EXPECT_TRUE(decide_colour("auto", reading({{"NO_COLOR", ""}}), terminal));
  EXPECT_TRUE(terminal.colour) << "an empty NO_COLOR says nothing";
  EXPECT_TRUE(decide_colour("auto", reading({{"TERM", "dumb"}}), terminal));
  EXPECT_FALSE(terminal.colour);
  EXPECT_TRUE(decide_colour("always", reading({{"NO_COLOR", "1"}}), terminal));
  EXPECT_TRUE(terminal.colour);
  EXPECT_TRUE(decide_colour("never", reading({}), terminal));
  EXPECT_FALSE(terminal.colour);
  EXPECT_FALSE(decide_colour("sometimes", reading({}), terminal));
  Terminal pipe{.is_terminal = false};
  EXPECT_TRUE(decide_colour("auto", reading({{"TERM", "xterm"}}), pipe));
  EXPECT_FALSE(pipe.colour);
}

TEST(Terminal, Locale_says_whether_there_are_box_characters) {
  EXPECT_TRUE(terminal_of(-1, reading({{"LANG", "de_DE.UTF-8"}})).utf8);
  EXPECT_TRUE(terminal_of(-1, reading({{"LC_ALL", "C.utf8"}, {"LANG", "C"}})).utf8);
  EXPECT_FALSE(terminal_of(-1, reading({{"LC_ALL", "C"}, {"LANG", "de_DE.UTF-8"}})).utf8);
  EXPECT_FALSE(terminal_of(-1, reading({})).utf8);
  EXPECT_FALSE(terminal_of(-1, reading({})).is_terminal);
}

TEST(Terminal, Printable_escapes_what_would_move_the_cursor_or_is_no_text) {
  EXPECT_EQ(printable("plain é 日本 ❤"), "plain é 日本 ❤");
  EXPECT_EQ(printable("a\nb\tc\rd\\"), "a\\nb\\tc\\rd\\\\");
  EXPECT_EQ(printable("\x1b[31m"), "\\x1b[31m");
  EXPECT_EQ(printable(std::string("\0\x7f", 2)), "\\x00\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J"),
            "\\xc2\\x9b2J")
      << "a control character in two bytes";
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "half of a pair";
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf") << "a longer form";
}

TEST(Terminal, Cut_keeps_characters_whole) {
  EXPECT_EQ(cut_to("日本語です", 5), "日本語です");
  EXPECT_EQ(cut_to("日本語です", 4), "日...");
  EXPECT_EQ(cut_to("abc", 2), "..");
}

TEST(TerminalTable, Numbers_stand_at_the_right_and_lines_end_without_blanks) {
  const Rows table{{"name", "size", "note"}, {{"a", "7 kB", "x"}, {"bcd", "120 MB", ""}}};
  EXPECT_EQ(terminal_table(table, {.columns = 80}),
            "NAME    SIZE  NOTE\n"
            "a       7 kB  x\n"
            "bcd   120 MB\n");
}

TEST(TerminalTable, What_is_too_wide_loses_empty_columns_first_then_droppable_ones) {
  const Rows table{{"one", "two", "three", "four"}, {{"11111", "", "33333", "44444"}}};
  EXPECT_EQ(terminal_table(table, {.columns = 24}), "  ONE  TWO  THREE   FOUR\n11111       33333  44444\n");
  EXPECT_EQ(terminal_table(table, {.columns = 20}), "  ONE  THREE   FOUR\n11111  33333  44444\n");
  EXPECT_EQ(terminal_table(table, {.columns = 15}, {.droppable = {"three"}}), "  ONE   FOUR\n11111  44444\n");
}

TEST(TerminalTable, Long_cells_go_on_in_the_line_below_and_never_past_the_edge) {
  const Rows table{{"id", "urls"}, {{"a", "http://h1:1,http://h2:2,http://h3:3"}, {"b", "x"}}};
  EXPECT_EQ(terminal_table(table, {.columns = 20}),
            "ID  URLS\n"
            "a   http://h1:1,\n"
            "    http://h2:2,\n"
            "    http://h3:3\n"
            "b   x\n");
}

TEST(TerminalTable, Too_narrow_for_columns_becomes_a_block_for_each_row) {
  const Rows table{{"first", "second", "third"}, {{"1234567890ab", "1234567890ab", ""}, {"x", "y", "z"}}};
  EXPECT_EQ(terminal_table(table, {.columns = 20}),
            "FIRST   1234567890ab\n"
            "SECOND  1234567890ab\n"
            "\n"
            "FIRST   x\n"
            "SECOND  y\n"
            "THIRD   z\n");
}

TEST(TerminalTable, Cells_cannot_write_escape_sequences_of_their_own) {
  const Rows table{{"name"}, {{"\x1b[2Jevil"}}};
  EXPECT_EQ(terminal_table(table, {.columns = 80}), "NAME\n\\x1b[2Jevil\n");
}

TEST(TerminalPrinter, Keys_are_coloured_and_lists_are_tables) {
  std::ostringstream out, err;
  const auto printer =
      make_terminal_printer(false, out, err, {.is_terminal = true, .colour = true, .utf8 = true, .columns = 80});
  printer->get({.kvs = {{.key = "k", .value = "v"}}});
  EXPECT_EQ(out.str(), "\x1b[36mk\x1b[0m\nv\n");
  out.str("");
  printer->health({{.endpoint = "h:1", .health = true, .took = std::chrono::milliseconds(2)},
                   {.endpoint = "h:2", .health = false, .took = std::chrono::seconds(1), .error = "dead"}});
  EXPECT_EQ(out.str(),
            "\x1b[1mENDPOINT\x1b[0m  \x1b[1mHEALTH\x1b[0m  \x1b[1mTOOK\x1b[0m  \x1b[1mERROR\x1b[0m\n"
            "h:1       \x1b[32mtrue\x1b[0m     2ms\n"
            "h:2       \x1b[31mfalse\x1b[0m     1s  \x1b[31mdead\x1b[0m\n");
  EXPECT_EQ(err.str(), "");
}

}  // namespace
}  // namespace kv::kvctl
