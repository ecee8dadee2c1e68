#include "kvctl/command_line.h"

#include <gtest/gtest.h>

#include <sstream>

namespace kv::kvctl {
namespace {

// kvctl in small: two commands with the same beginning, one with children.
class CommandLineTest : public testing::Test {
 protected:
  CommandLineTest() {
    root_.name = "kvctl";
    root_.flags.add("write-out,w", format_, "the format");
    root_.flags.add("endpoints", endpoints_, "the endpoints");
    add("get")->flags.add("prefix", prefix_, "by prefix");
    root_.children.back()->flags.add("limit", limit_, "at most");
    root_.children.back()->flags.add("interactive,i", interactive_, "talk");
    add("member");
    add("memory");
    auto endpoint = std::make_unique<Command>();
    endpoint->name = "endpoint";
    endpoint->flags.add("cluster", cluster_, "all");
    endpoint->children.push_back(std::make_unique<Command>());
    endpoint->children.back()->name = "status";
    root_.children.push_back(std::move(endpoint));
  }
  Command* add(std::string name) {
    auto command = std::make_unique<Command>();
    command->name = std::move(name);
    command->summary = "Does " + command->name;
    root_.children.push_back(std::move(command));
    return root_.children.back().get();
  }
  ReadCommandLine read(std::vector<std::string> args) { return read_command_line(root_, args); }
  std::string error(std::vector<std::string> args) {
    const auto line = read(std::move(args));
    return line.error ? line.error->error : "";
  }

  std::string format_ = "simple";
  std::vector<std::string> endpoints_ = {"default"};
  bool prefix_ = false;
  bool interactive_ = false;
  bool cluster_ = false;
  int64_t limit_ = 0;
  Command root_;
};

using Words = std::vector<std::string>;

TEST_F(CommandLineTest, Flags_stand_anywhere) {
  const auto line = read({"-w", "json", "get", "a", "--prefix", "b", "--limit", "5", "c"});
  ASSERT_FALSE(line.error) << line.error->error;
  EXPECT_EQ(line.line.command_name(), "kvctl get");
  EXPECT_EQ(line.line.arguments, (Words{"a", "b", "c"}));
  EXPECT_EQ(format_, "json");
  EXPECT_TRUE(prefix_);
  EXPECT_EQ(limit_, 5);
}

TEST_F(CommandLineTest, Values_follow_behind_equals_or_as_the_next_word) {
  read({"get", "--limit=0x10", "-w=fields"});
  EXPECT_EQ(limit_, 16);
  EXPECT_EQ(format_, "fields");
  read({"get", "-wtable", "--limit", "-3"});
  EXPECT_EQ(format_, "table");
  EXPECT_EQ(limit_, -3);
  read({"get", "-iw", "json"});
  EXPECT_TRUE(interactive_);
  EXPECT_EQ(format_, "json");
}

TEST_F(CommandLineTest, Value_may_be_empty_or_look_like_a_list) {
  read({"get", "-w", ""});
  EXPECT_EQ(format_, "");
  read({"get", "--write-out=[a,b]"});
  EXPECT_EQ(format_, "[a,b]");
  read({"get", "--write-out=a=b"});
  EXPECT_EQ(format_, "a=b");
}

TEST_F(CommandLineTest, Bool_takes_a_value_only_behind_equals) {
  const auto line = read({"get", "--prefix", "false"});
  EXPECT_TRUE(prefix_);
  EXPECT_EQ(line.line.arguments, (Words{"false"}));
  read({"get", "--prefix=false"});
  EXPECT_FALSE(prefix_);
}

TEST_F(CommandLineTest, Last_of_a_flag_wins_and_lists_add_up) {
  read({"get", "--limit=1", "--limit=2", "--endpoints=a,b", "--endpoints", "c"});
  EXPECT_EQ(limit_, 2);
  EXPECT_EQ(endpoints_, (Words{"a", "b", "c"}));
}

TEST_F(CommandLineTest, All_behind_a_double_dash_are_arguments) {
  const auto line = read({"get", "a", "--", "--prefix", "-w", "--"});
  EXPECT_EQ(line.line.arguments, (Words{"a", "--prefix", "-w", "--"}));
  EXPECT_FALSE(prefix_);
}

TEST_F(CommandLineTest, Lone_dash_and_empty_word_are_arguments) {
  EXPECT_EQ(read({"get", "-", ""}).line.arguments, (Words{"-", ""}));
}

TEST_F(CommandLineTest, Command_is_known_by_an_unambiguous_beginning) {
  EXPECT_EQ(read({"g", "k"}).line.command_name(), "kvctl get");
  EXPECT_EQ(read({"end", "st"}).line.command_name(), "kvctl endpoint status");
  EXPECT_EQ(read({"member"}).line.command_name(), "kvctl member");
  EXPECT_EQ(error({"mem"}), "unknown command \"mem\" for \"kvctl\"");
  EXPECT_EQ(error({""}), "unknown command \"\" for \"kvctl\"");
}

TEST_F(CommandLineTest, Parents_flags_hold_for_their_children) {
  read({"endpoint", "status", "--cluster"});
  EXPECT_TRUE(cluster_);
  EXPECT_EQ(error({"get", "--cluster"}), "unknown flag: --cluster");
}

TEST_F(CommandLineTest, Errors_are_pflags) {
  EXPECT_EQ(error({"get", "--foo"}), "unknown flag: --foo");
  EXPECT_EQ(error({"get", "-x1"}), "unknown shorthand flag: 'x' in -x1");
  EXPECT_EQ(error({"get", "--limit"}), "flag needs an argument: --limit");
  EXPECT_EQ(error({"get", "-iw"}), "flag needs an argument: 'w' in -iw");
  EXPECT_EQ(error({"get", "--limit", "x"}),
            R"(invalid argument "x" for "--limit" flag: strconv.ParseInt: parsing "x": invalid syntax)");
  EXPECT_EQ(error({"get", "--interactive=x"}),
            R"(invalid argument "x" for "-i, --interactive" flag: strconv.ParseBool: parsing "x": invalid syntax)");
}

TEST_F(CommandLineTest, Slips_get_a_suggestion) {
  EXPECT_NE(read({"get", "--prefxi"}).error->hint.find("Did you mean --prefix?"), std::string::npos);
  EXPECT_NE(read({"gte"}).error->hint.find("Did you mean 'kvctl get'?"), std::string::npos);
  EXPECT_EQ(read({"xyzzy"}).error->hint, "Run 'kvctl --help' for usage.");
  EXPECT_NE(read({"get", "-5"}).error->hint.find("goes behind '--'"), std::string::npos);
}

TEST_F(CommandLineTest, Help_names_what_there_is) {
  auto line = read({"get", "-h"});
  EXPECT_TRUE(line.line.help);
  std::ostringstream out;
  print_help(line.line, out);
  for (const char* part : {"Does get", "kvctl get", "--limit int", "-i, --interactive", "by prefix"}) {
    EXPECT_NE(out.str().find(part), std::string::npos) << part << " in\n" << out.str();
  }
  std::ostringstream root;
  print_help(read({"--help"}).line, root);
  for (const char* part : {"endpoint", "member", "Does member"}) EXPECT_NE(root.str().find(part), std::string::npos);
}

}  // namespace
}  // namespace kv::kvctl
