// Whole command lines, as far as they go without a server.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <sstream>

#include "kvctl/commands.h"

namespace kv::kvctl {
namespace {

struct Ran {
  int code = 0;
  std::string out;
  std::string err;
};

Ran run(const std::vector<std::string>& args, const std::map<std::string, std::string>& environment = {},
        const std::string& input = "") {
  std::istringstream in(input);
  std::ostringstream out;
  std::ostringstream err;
  Context context{.in = in, .out = out, .err = err};
  const int code = run_kvctl(args, context, [&](const char* name) -> const char* {
    const auto at = environment.find(name);
    return at == environment.end() ? nullptr : at->second.c_str();
  });
  return {code, out.str(), err.str()};
}

// 127.0.0.1:1 refuses: nobody but root may listen there, and nobody does.
const std::vector<std::string> kNobody = {"--endpoints=127.0.0.1:1", "--dial-timeout=100ms"};
std::vector<std::string> with_nobody(std::vector<std::string> args) {
  args.insert(args.end(), kNobody.begin(), kNobody.end());
  return args;
}

TEST(Run, Without_a_command_prints_help) {
  const Ran ran = run({});
  EXPECT_EQ(ran.code, 0);
  EXPECT_NE(ran.out.find("kvctl put message hello"), std::string::npos);
}

TEST(Run, Every_command_has_help_and_so_has_help_itself) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"get"},
                                                  {"put"},
                                                  {"del"},
                                                  {"txn"},
                                                  {"compaction"},
                                                  {"endpoint"},
                                                  {"endpoint", "health"},
                                                  {"endpoint", "status"},
                                                  {"endpoint", "hashkv"},
                                                  {"member"},
                                                  {"member", "list"},
                                                  {"snapshot"},
                                                  {"snapshot", "save"},
                                                  {"snapshot", "status"},
                                                  {"snapshot", "restore"},
                                                  {"hashkv"},
                                                  {"defrag"},
                                                  {"version"},
                                                  {"options"}}) {
    auto asked = command;
    asked.push_back("--help");
    const Ran ran = run(asked);
    EXPECT_EQ(ran.code, 0);
    EXPECT_NE(ran.out.find("Usage:\n  kvctl " + command[0]), std::string::npos) << ran.out;
    auto helped = command;
    helped.insert(helped.begin(), "help");
    EXPECT_EQ(run(helped).out, ran.out);
  }
}

TEST(Run, Version_names_both_versions) {
  EXPECT_EQ(run({"version"}).out.find("kvctl version: "), 0u);
  EXPECT_NE(run({"version"}).out.find("\nAPI version: 3."), std::string::npos);
}

TEST(Run, Options_lists_the_flags_of_every_command) {
  const Ran ran = run({"options"});
  EXPECT_NE(ran.out.find("--endpoints"), std::string::npos);
  EXPECT_NE(ran.out.find("-w, --write-out"), std::string::npos);
}

TEST(Run, Unreachable_endpoint_is_named_with_what_to_do) {
  const Ran ran = run(with_nobody({"get", "k"}));
  EXPECT_EQ(ran.code, kExitError);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.err.find("Error: endpoint 127.0.0.1:1 can't be reached (Connection refused)"), 0u) << ran.err;
  EXPECT_NE(ran.err.find("--endpoints or KVCTL_ENDPOINTS"), std::string::npos) << ran.err;
}

TEST(Run, Endpoints_come_from_our_variable_then_from_etcdctls) {
  const std::map<std::string, std::string> both = {
      {"KVCTL_ENDPOINTS", "127.0.0.1:1"}, {"ETCDCTL_ENDPOINTS", "127.0.0.1:2"}, {"KVCTL_DIAL_TIMEOUT", "50ms"}};
  EXPECT_NE(run({"get", "k"}, both).err.find("127.0.0.1:1 "), std::string::npos);
  EXPECT_NE(run({"get", "k"}, {{"ETCDCTL_ENDPOINTS", "127.0.0.1:2"}, {"ETCDCTL_DIAL_TIMEOUT", "50ms"}})
                .err.find("127.0.0.1:2 "),
            std::string::npos);
  EXPECT_NE(run({"get", "k", "--endpoints", "127.0.0.1:3"}, both).err.find("127.0.0.1:3 "), std::string::npos);
}

TEST(Run, Bad_variable_is_named) {
  const Ran ran = run({"get", "k"}, {{"ETCDCTL_COMMAND_TIMEOUT", "soon"}});
  EXPECT_EQ(ran.code, kExitError);
  EXPECT_NE(ran.err.find("ETCDCTL_COMMAND_TIMEOUT"), std::string::npos);
}

TEST(Run, Endpoint_that_cannot_be_read_is_a_bad_argument) {
  const Ran ran = run({"get", "k", "--endpoints", "localhost"});
  EXPECT_EQ(ran.code, kExitBadArgs);
  EXPECT_NE(ran.err.find("the port is missing"), std::string::npos);
}

TEST(Run, User_without_a_password_is_told_how_to_give_one) {
  const Ran ran = run({"get", "k", "--user", "root"});
  EXPECT_EQ(ran.code, kExitBadArgs);
  EXPECT_NE(ran.err.find("KVCTL_PASSWORD"), std::string::npos);
}

TEST(Run, Format_that_cannot_print_is_refused_before_anything_is_sent) {
  EXPECT_EQ(run({"put", "k", "v", "-w", "table"}).code, kExitBadFeature);
  EXPECT_EQ(run({"txn", "-w", "table"}, {}, "\n\n\n").code, kExitBadFeature);
  EXPECT_EQ(run({"endpoint", "status", "-w", "protobuf"}).code, kExitBadFeature);
  EXPECT_EQ(run({"get", "k", "-w", "xml"}).code, kExitBadFeature);
}

TEST(Run, Count_only_and_value_only_need_their_formats) {
  EXPECT_EQ(run({"get", "k", "--count-only"}).code, kExitBadArgs);
  EXPECT_EQ(run({"get", "k", "--print-value-only", "-w", "json"}).code, kExitBadArgs);
}

TEST(Run, Output_that_cannot_be_written_is_an_error) {
  std::istringstream in;
  std::ostringstream out;
  out.setstate(std::ios::badbit);
  std::ostringstream err;
  Context context{.in = in, .out = out, .err = err};
  EXPECT_EQ(run_kvctl({"version"}, context, [](const char*) -> const char* { return nullptr; }), kExitIo);
  EXPECT_NE(err.str().find("could not be written"), std::string::npos);
}

TEST(Run, All_endpoints_of_health_are_reported) {
  const Ran ran = run({"endpoint", "health", "--endpoints=127.0.0.1:1,127.0.0.1:2", "--dial-timeout=100ms"});
  EXPECT_EQ(ran.code, kExitError);
  EXPECT_NE(ran.err.find("127.0.0.1:1 is unhealthy"), std::string::npos);
  EXPECT_NE(ran.err.find("127.0.0.1:2 is unhealthy"), std::string::npos);
  EXPECT_NE(ran.err.find("Error: unhealthy cluster"), std::string::npos);
}

// The words behind "kvctl" in a line of an example, as far as a shell would hand them to kvctl: without what explains
// it, and without what goes to another command, comes from a file or is a variable. Empty when the line has no kvctl.
std::vector<std::string> words_of_example(const std::string& line) {
  static const std::regex begin("(^|[ (])kvctl ");
  static const std::regex end("   +.*| [&|]+ .*| <.*|[)]$| [\\\\]$");
  std::smatch at;
  if (!std::regex_search(line, at, begin)) return {};
  std::istringstream rest(std::regex_replace(at.suffix().str(), end, ""));
  std::vector<std::string> words;
  for (std::string word; rest >> word;) words.push_back(word == "''" ? "" : word);
  return words;
}

TEST(Run, Every_command_has_examples_that_name_it_and_flags_that_exist) {
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  // A tree for each line: reading one sets flags.
  const auto make_tree = [&](Command& root, Context& context) {
    root.name = "kvctl";
    add_commands(root, context, [](const char*) -> const char* { return nullptr; });
  };
  size_t examples = 0;
  const std::function<void(const Command&, const std::string&)> visit = [&](const Command& command,
                                                                            const std::string& name) {
    for (const auto& child : command.children) visit(*child, name + " " + child->name);
    if (name == "kvctl") return;
    EXPECT_NE(command.examples, "") << name;
    std::istringstream lines(command.examples);
    size_t named = 0;
    for (std::string line; std::getline(lines, line);) {
      EXPECT_EQ(line.substr(0, 2), line.empty() ? "" : "  ") << name << ": " << line;
      const std::vector<std::string> words = words_of_example(line);
      if (words.empty()) continue;
      ++examples;
      Context context{.in = in, .out = out, .err = err};
      Command root;
      make_tree(root, context);
      const ReadCommandLine read = read_command_line(root, words);
      EXPECT_FALSE(read.error.has_value()) << line << ": " << (read.error ? read.error->error : "");
      EXPECT_TRUE(read.line.command().run) << line << " runs nothing";
      named += read.line.command_name().starts_with(name) ? 1 : 0;
    }
    EXPECT_GT(named, 0U) << name << " is in none of its examples";
  };
  Context context{.in = in, .out = out, .err = err};
  Command root;
  make_tree(root, context);
  visit(root, "kvctl");
  EXPECT_GT(examples, 80U);
}

TEST(Run, Commands_that_change_who_may_do_what_stand_before_tools_and_help) {
  const std::string help = run({"--help"}).out;
  std::vector<std::string> groups;
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line[0] != ' ' && line.back() == ':') groups.push_back(line);
  }
  EXPECT_EQ(groups, (std::vector<std::string>{"Usage:", "Examples:", "Keys:", "Watching:", "Leases:", "Concurrency:",
                                              "Cluster:", "Maintenance:", "Security:", "Tools:", "Help:"}));
}

}  // namespace
}  // namespace kv::kvctl
