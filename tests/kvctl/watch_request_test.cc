#include "kvctl/watch_request.h"

#include <gtest/gtest.h>

namespace kv::kvctl {
namespace {

using Words = std::vector<std::string>;

WatchRequest accepted(const std::variant<WatchRequest, Exit>& request) {
  const auto* exit = std::get_if<Exit>(&request);
  EXPECT_EQ(exit, nullptr) << exit->error;
  return exit == nullptr ? std::get<WatchRequest>(request) : WatchRequest{};
}
std::string refused(const std::variant<WatchRequest, Exit>& request) {
  const auto* exit = std::get_if<Exit>(&request);
  return exit == nullptr ? "nothing" : std::to_string(exit->code) + ": " + exit->error;
}

TEST(WatchRequest, Key_range_and_command_are_told_apart_at_the_dashes) {
  const auto request = accepted(watch_request({.rev = 5}, {"a", "b", "echo", "a"}, 2, {}));
  EXPECT_EQ(request.key, "a");
  EXPECT_EQ(request.options.range_end, "b");
  EXPECT_EQ(request.options.start_revision, 5);
  EXPECT_EQ(request.command, (Words{"echo", "a"}));
}

TEST(WatchRequest, Prefix_of_the_empty_key_is_every_key) {
  const auto all = accepted(watch_request({.prefix = true}, {""}, {}, {}));
  EXPECT_EQ(all.key, std::string(1, '\0'));
  EXPECT_EQ(all.options.range_end, std::string(1, '\0'));
  EXPECT_EQ(accepted(watch_request({.prefix = true}, {"k"}, {}, {})).options.range_end, "l");
}

TEST(WatchRequest, Key_may_come_from_the_environment_and_then_from_nowhere_else) {
  const WatchVariables variables{"k", "z"};
  const auto request = accepted(watch_request({}, {"echo"}, 0, variables));
  EXPECT_EQ(request.key, "k");
  EXPECT_EQ(request.options.range_end, "z");
  EXPECT_EQ(request.command, Words{"echo"});
  EXPECT_EQ(refused(watch_request({}, {"a"}, {}, variables)),
            "128: bad number of arguments (found conflicting environment key)");
  EXPECT_EQ(refused(watch_request({}, {"a", "echo"}, 1, variables)),
            "128: bad number of arguments (found conflicting environment key)");
}

TEST(WatchRequest, What_does_not_go_together_is_refused) {
  EXPECT_EQ(refused(watch_request({}, {}, {}, {})), "128: bad number of arguments");
  EXPECT_EQ(refused(watch_request({}, {"a", "b", "c"}, {}, {})), "128: bad number of arguments");
  EXPECT_EQ(refused(watch_request({}, {"a"}, 1, {})),
            "128: bad number of arguments (found separator --, but no commands)");
  EXPECT_EQ(refused(watch_request({.prefix = true}, {"a", "b"}, {}, {})),
            "128: `range_end` and `--prefix` are mutually exclusive");
}

TEST(WatchLine, Flags_and_command_are_the_lines_own) {
  const auto read = read_watch_line("watch --prefix \"a b\" --rev=3 --prev-kv -- sh -c 'echo hi'", {});
  ASSERT_TRUE(std::holds_alternative<WatchLine>(read));
  const auto& line = std::get<WatchLine>(read);
  EXPECT_EQ(line.kind, WatchLine::Kind::kWatch);
  EXPECT_EQ(line.request.key, "a b");
  EXPECT_EQ(line.request.options.range_end, "a c");
  EXPECT_EQ(line.request.options.start_revision, 3);
  EXPECT_TRUE(line.request.options.prev_kv);
  EXPECT_EQ(line.request.command, (Words{"sh", "-c", "echo hi"}));
}

TEST(WatchLine, Nonsense_is_complained_about_and_a_bad_flag_ends_the_mode) {
  const auto complaint = [](const std::string& text) {
    const auto read = read_watch_line(text, {});
    const auto* exit = std::get_if<Exit>(&read);
    return exit != nullptr ? std::to_string(exit->code) + ": " + exit->error : std::get<WatchLine>(read).complaint;
  };
  EXPECT_EQ(complaint(""), "Invalid command:  (watch and progress supported)");
  EXPECT_EQ(complaint("get a"), "Invalid command get a (only support watch)");
  EXPECT_EQ(complaint("watch"), "Invalid command watch (command type or key is not provided)");
  EXPECT_EQ(complaint("watch a --what"), "128: unknown flag: --what");
  EXPECT_EQ(complaint("watch a --"), "128: bad number of arguments (found separator --, but no commands)");
  EXPECT_EQ(std::get<WatchLine>(read_watch_line("progress", {})).kind, WatchLine::Kind::kProgress);
}

}  // namespace
}  // namespace kv::kvctl
