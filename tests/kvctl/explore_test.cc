// What tree and diff draw.
#include <gtest/gtest.h>

#include "kvctl/json_text.h"
#include "kvctl/key_pages.h"
#include "kvctl/key_tree.h"
#include "kvctl/line_diff.h"

namespace kv::kvctl {
namespace {

const Terminal kPipe{};

TEST(KeyTree, Keys_are_split_at_slashes_and_folders_count_them) {
  KeyTree tree(0);
  for (const char* key : {"/a", "/b/", "/b/c", "/b/d/e", "plain", "//"}) tree.add(key, "");
  EXPECT_EQ(tree.keys(), 6u);
  EXPECT_EQ(tree.draw(".", false, kPipe),
            ".\n"
            "├── /  (5 keys)\n"
            "│   ├── /\n"
            "│   ├── a\n"
            "│   └── b/  (3 keys)\n"
            "│       ├── c\n"
            "│       └── d/  (1 key)\n"
            "│           └── e\n"
            "└── plain\n");
}

TEST(KeyTree, Values_stand_behind_their_keys_in_one_line) {
  KeyTree tree(0);
  tree.add("a", "one\ntwo");
  tree.add("d/", "of a folder");
  tree.add("d/x", std::string(100, 'v'));
  EXPECT_EQ(tree.draw(".", true, {.is_terminal = true, .columns = 40}),
            ".\n"
            "├── a = one\\ntwo\n"
            "└── d/  (2 keys) = of a folder\n"
            "    └── x = vvvvvvvvvvvvvvvvvvvvvvvvv...\n");
}

TEST(KeyTree, Below_the_depth_keys_are_only_counted) {
  KeyTree tree(2);
  for (const char* key : {"a/b/c", "a/b/d", "a/x", "y"}) tree.add(key, "");
  EXPECT_EQ(tree.draw(".", false, {.utf8 = false}),
            ".\n"
            "|-- a/  (3 keys)\n"
            "|   |-- b/  (2 keys)\n"
            "|   `-- x\n"
            "`-- y\n");
}

TEST(KeyTree, A_key_of_slashes_alone_is_no_endless_ladder) {
  KeyTree tree(0);
  tree.add(std::string(1 << 20, '/'), "");
  const std::string drawn = tree.draw(".", false, kPipe);
  EXPECT_EQ(static_cast<size_t>(std::count(drawn.begin(), drawn.end(), '\n')), KeyTree::kMaxDepth + 1);
}

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const auto& line : lines) out += line + "|";
  return out;
}

TEST(LineDiff, Equal_texts_have_no_hunk) {
  EXPECT_EQ(joined(unified("a\nb\n", "a\nb\n")), "");
  EXPECT_EQ(joined(unified("", "")), "");
}

TEST(LineDiff, One_line_values_are_one_removed_and_one_added_line) {
  EXPECT_EQ(joined(unified("hello", "world")), "@@ -1 +1 @@|-hello|+world|");
  EXPECT_EQ(joined(unified("", "new")), "@@ -0,0 +1 @@|+new|");
  EXPECT_EQ(joined(unified("old", "")), "@@ -1 +0,0 @@|-old|");
}

TEST(LineDiff, Three_lines_stand_around_a_change_and_far_changes_are_two_hunks) {
  std::string before, after;
  for (int i = 1; i <= 20; ++i) {
    before += std::to_string(i) + "\n";
    after += (i == 3 ? "three" : i == 17 ? "seventeen" : std::to_string(i)) + "\n";
  }
  EXPECT_EQ(joined(unified(before, after)),
            "@@ -1,6 +1,6 @@| 1| 2|-3|+three| 4| 5| 6|"
            "@@ -14,7 +14,7 @@| 14| 15| 16|-17|+seventeen| 18| 19| 20|");
}

TEST(LineDiff, Near_changes_are_one_hunk_and_insertions_move_the_numbers) {
  EXPECT_EQ(joined(unified("a\nb\nc\nd\n", "a\nx\nb\nc\ny\nd\n")), "@@ -1,4 +1,6 @@| a|+x| b| c|+y| d|");
}

TEST(LineDiff, A_newline_at_the_end_is_a_difference) {
  EXPECT_EQ(joined(unified("a\nb", "a\nb\n")), "@@ -1,2 +1,2 @@| a|-b|\\ No newline at end of value|+b|");
  EXPECT_EQ(joined(unified("a\nb", "a\nb\nc")), "@@ -1,2 +1,3 @@| a| b|+c|");
}

// Every pair of texts of up to five lines of two letters: the diff makes the one of the other, in the fewest changes.
TEST(LineDiff, Is_right_and_shortest_for_all_small_texts) {
  std::vector<std::string> texts;
  for (size_t length = 0; length <= 5; ++length) {
    for (unsigned bits = 0; bits < 1u << length; ++bits) {
      std::string text;
      for (size_t i = 0; i < length; ++i) text += (bits >> i & 1) != 0 ? "a\n" : "b\n";
      texts.push_back(text);
    }
  }
  for (const auto& before : texts) {
    for (const auto& after : texts) {
      std::string a, b;
      size_t same = 0;
      for (const auto& line : line_diff(before, after)) {
        if (line.kind != DiffLine::Kind::kAdded) a += std::string(line.text) + "\n";
        if (line.kind != DiffLine::Kind::kRemoved) b += std::string(line.text) + "\n";
        same += line.kind == DiffLine::Kind::kSame;
      }
      ASSERT_EQ(a, before);
      ASSERT_EQ(b, after);
      // The longest common subsequence, the simple way.
      const size_t n = before.size() / 2, m = after.size() / 2;
      std::vector<std::vector<size_t>> longest(n + 1, std::vector<size_t>(m + 1));
      for (size_t i = 1; i <= n; ++i) {
        for (size_t j = 1; j <= m; ++j) {
          longest[i][j] = before[2 * i - 2] == after[2 * j - 2] ? longest[i - 1][j - 1] + 1
                                                                : std::max(longest[i - 1][j], longest[i][j - 1]);
        }
      }
      ASSERT_EQ(same, longest[n][m]) << before << "and\n" << after;
    }
  }
}

TEST(LineDiff, Texts_with_nothing_in_common_cost_little) {
  std::string before, after;
  for (int i = 0; i < 100000; ++i) {
    before += "a" + std::to_string(i) + "\n";
    after += "b" + std::to_string(i) + "\n";
  }
  EXPECT_EQ(line_diff(before, after).size(), 200000u);
}

TEST(JsonText, Bytes_that_are_no_text_are_marked) {
  EXPECT_EQ(json_bytes("value", "a\"\n<é>\x7f"), "\"value\":\"a\\\"\\n<é>\\u007f\"");
  EXPECT_EQ(json_bytes("value", "\xff\x01"), "\"value_base64\":\"/wE=\"");
}

TEST(KeyPages, Empty_prefix_is_every_key) {
  EXPECT_EQ(prefix_range(""), (KeyRange{std::string(1, '\0'), std::string(1, '\0')}));
  EXPECT_EQ(prefix_range("a"), (KeyRange{"a", "b"}));
}

}  // namespace
}  // namespace kv::kvctl
