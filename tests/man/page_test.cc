#include "man/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace kv::man {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What `write` adds to a page.
template <typename Write>
std::string written(Write write) {
  Page page("kvctl", 1, "User Commands");
  const size_t before = page.text().size();
  write(page);
  return page.text().substr(before);
}

TEST(ManPage, Begins_with_its_name_and_section) {
  EXPECT_EQ(Page("kv-ctl", 1, "User Commands").text().substr(0, 15), ".TH \"KV\\-CTL\" 1");
}

TEST(ManPage, What_roff_would_read_is_escaped) {
  EXPECT_EQ(Roff("--prefix").text(), "\\-\\-prefix");
  EXPECT_EQ(Roff("a\\nb").text(), "a\\enb");
  EXPECT_EQ(Roff("don't `x` ^~").text(), "don\\(aqt \\(gax\\(ga \\(ha\\(ti");
  EXPECT_EQ(Roff("\xc2\xb5s \xe2\x96\x88 \xf0\x9f\x98\x80").text(), "\\[u00B5]s \\[u2588] \\[u1F600]");
  EXPECT_EQ(Roff("\xff \xc3").text(), "\\[u00FF] \\[u00C3]") << "bytes that begin no character";
  EXPECT_EQ((bold("-w") + " " + italic("string")).text(), "\\fB\\-w\\fR \\fIstring\\fR");
}

TEST(ManPage, A_line_that_begins_with_a_control_character_is_text) {
  EXPECT_EQ(written([](Page& p) { p.paragraph(".TH is a macro"); }), "\\&.TH is a macro\n");
  EXPECT_THAT(written([](Page& p) { p.example("  ./backup.sh\n  'x'"); }),
              HasSubstr("\n\\&./backup.sh\n\\(aqx\\(aq\n"));
  // Also when the line was broken just before it.
  const std::string text = written([](Page& p) { p.paragraph(std::string(70, 'a') + " .bcdefghijklmn o"); });
  EXPECT_EQ(text, std::string(70, 'a') + "\n\\&.bcdefghijklmn o\n");
}

TEST(ManPage, A_title_may_have_quotation_marks) {
  EXPECT_EQ(written([](Page& p) { p.section("THE \"END\""); }), ".SH \"THE \\(dqEND\\(dq\"\n");
}

TEST(ManPage, Lines_are_short_and_no_word_is_lost) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "word" + std::to_string(i) + ' ';
  std::istringstream lines(written([&](Page& p) { p.paragraph(text); }));
  std::string together;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 80u);
    together += line + ' ';
  }
  EXPECT_EQ(together, text);
}

TEST(ManPage, Prose_is_filled_anew_and_an_empty_line_begins_a_paragraph) {
  EXPECT_EQ(written([](Page& p) { p.prose("one\ntwo\n\nthree"); }), "one two\n.PP\nthree\n");
}

TEST(ManPage, Paragraphs_of_an_item_stay_in_it) {
  const std::string text = written([](Page& p) {
    p.section("COMMANDS");
    p.item(bold("get"), "one\n\ntwo");
    p.indent();
    p.item("--rev", "three");
    p.outdent();
    p.paragraph("four");
    p.section("FILES");
    p.prose("five\n\nsix");
  });
  EXPECT_EQ(text,
            ".SH \"COMMANDS\"\n.TP\n\\fBget\\fR\none\n.IP\ntwo\n.RS\n.TP\n\\-\\-rev\nthree\n.RE\n.IP\nfour\n"
            ".SH \"FILES\"\nfive\n.PP\nsix\n");
}

TEST(ManPage, An_example_stays_as_it_is_but_for_what_all_lines_are_indented_by) {
  const std::string text = written([](Page& p) { p.example("  kvctl txn <<EOF\n\n    put a  b\n  EOF"); });
  EXPECT_THAT(text, HasSubstr(".EX\nkvctl txn <<EOF\n\\&\n  put a  b\nEOF\n.EE\n"));
  EXPECT_THAT(text, Not(HasSubstr("\n\n")));
}

}  // namespace
}  // namespace kv::man
