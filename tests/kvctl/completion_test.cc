#include "kvctl/completion.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <sstream>

#include "kvctl/commands.h"

namespace kv::kvctl {
namespace {

// What kvctl itself answers to a shell.
std::vector<std::string> words_for(std::vector<std::string> typed) {
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  Context context{.in = in, .out = out, .err = err};
  typed.insert(typed.begin(), "__complete");
  EXPECT_EQ(run_kvctl(typed, context, [](const char*) -> const char* { return nullptr; }), 0);
  EXPECT_EQ(err.str(), "");
  std::vector<std::string> words;
  std::istringstream lines(out.str());
  for (std::string line; std::getline(lines, line);) words.push_back(line.substr(0, line.find('\t')));
  return words;
}

using Words = std::vector<std::string>;

bool contains(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

TEST(Completion, Offers_commands_by_their_beginning) {
  EXPECT_EQ(words_for({"endp"}), Words{"endpoint"});
  EXPECT_EQ(words_for({"endpoint", ""}), (Words{"health", "status", "hashkv"}));
  EXPECT_EQ(words_for({"endpoint", "h"}), (Words{"health", "hashkv"}));
  EXPECT_EQ(words_for({"nosuch"}), Words{});
  EXPECT_TRUE(contains(words_for({""}), "make-mirror"));
}

TEST(Completion, Offers_the_flags_of_the_command_before_those_of_all) {
  const Words flags = words_for({"get", "--"});
  ASSERT_TRUE(contains(flags, "--prefix"));
  ASSERT_TRUE(contains(flags, "--endpoints"));
  EXPECT_LT(std::find(flags.begin(), flags.end(), "--prefix"), std::find(flags.begin(), flags.end(), "--endpoints"));
  EXPECT_EQ(words_for({"put", "--ignore-v"}), Words{"--ignore-value"});
  EXPECT_FALSE(contains(words_for({"put", "--"}), "--prefix"));
}

TEST(Completion, A_flags_value_is_no_command) {
  EXPECT_EQ(words_for({"--endpoints", "endpoint", "memb"}), Words{"member"});
  EXPECT_EQ(words_for({"-w", "table", "endpoint", "st"}), Words{"status"});
  EXPECT_EQ(words_for({"--hex", "endpoint", "st"}), Words{"status"});  // takes no value
  EXPECT_EQ(words_for({"--endpoints=a", "endpoint", "st"}), Words{"status"});
}

TEST(Completion, Offers_the_values_of_a_flag_however_it_is_written) {
  EXPECT_EQ(words_for({"get", "--write-out", "p"}), Words{"protobuf"});
  EXPECT_EQ(words_for({"get", "-w", "j"}), Words{"json"});
  EXPECT_EQ(words_for({"get", "--write-out=t"}), Words{"--write-out=table"});
  EXPECT_EQ(words_for({"get", "--order", ""}), (Words{"ASCEND", "DESCEND"}));
  EXPECT_EQ(words_for({"put", "--lease", ""}), Words{});
}

TEST(Completion, Offers_nothing_behind_two_dashes) { EXPECT_EQ(words_for({"lock", "name", "--", ""}), Words{}); }

// Every command of the tree is offered where it stands, and so nothing has to be listed a second time.
TEST(Completion, Knows_every_command_and_every_flag_with_values_exists) {
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  Context context{.in = in, .out = out, .err = err};
  Command root;
  add_commands(root, context, [](const char*) -> const char* { return nullptr; });
  size_t commands = 0;
  std::vector<std::string_view> missing = flags_with_values();
  const std::function<void(const Command&, Words)> visit = [&](const Command& command, Words path) {
    std::erase_if(missing, [&](std::string_view flag) { return command.flags.find(flag) != nullptr; });
    path.emplace_back();
    const std::vector<Candidate> offered = complete(root, path);
    EXPECT_EQ(offered.size(), command.children.size());
    for (const auto& child : command.children) {
      EXPECT_TRUE(std::any_of(offered.begin(), offered.end(), [&](const auto& c) { return c.word == child->name; }));
      ++commands;
      path.back() = child->name;
      visit(*child, path);
    }
  };
  visit(root, {});
  EXPECT_GT(commands, 15U);
  EXPECT_TRUE(missing.empty()) << "no command has --" << missing.front();
}

TEST(Completion, Has_a_script_for_three_shells_and_for_no_other) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_NE(completion_script(shell).find("__complete"), std::string_view::npos) << shell;
  }
  EXPECT_EQ(completion_script("tcsh"), "");
}

}  // namespace
}  // namespace kv::kvctl
