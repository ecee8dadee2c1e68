// What reaches standard error: one line an event, whatever a client sent.
#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <thread>
#include <vector>

namespace kv {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

class Log : public testing::Test {
 protected:
  void TearDown() override {
    set_log_level(LogLevel::kInfo);
    set_log_format(LogFormat::kText);
  }

  template <typename Write>
  static std::string captured(Write write) {
    testing::internal::CaptureStderr();
    write();
    return testing::internal::GetCapturedStderr();
  }
};

// Bytes that would forge a line, close a quote or move a terminal's cursor.
const std::string kHostile = "a\n2024-01-01T00:00:00.000Z error forged\r\t\"x\" \\ \x1b[2J" + std::string("\0end", 4);

TEST_F(Log, A_text_line_is_time_level_message_and_fields) {
  const std::string line = captured([] {
    log_info("ready to serve client requests", {{"member", "n1"}, {"port", 2379}, {"leader", true}, {"empty", ""}});
  });
  EXPECT_TRUE(std::regex_match(
      line, std::regex(R"re(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info ready to serve client requests )re"
                       R"re(member=n1 port=2379 leader=true empty=""\n)re")))
      << line;
}

TEST_F(Log, A_json_line_is_an_object_with_numbers_as_numbers) {
  set_log_format(LogFormat::kJson);
  const std::string line = captured([] {
    log_warning("slow sync", {{"ms", 1234}, {"negative", -5}, {"path", "/var/lib/kvd"}});
  });
  const auto object = nlohmann::json::parse(line);
  EXPECT_EQ(object["level"], "warn");
  EXPECT_EQ(object["msg"], "slow sync");
  EXPECT_EQ(object["ms"], 1234);
  EXPECT_EQ(object["negative"], -5);
  EXPECT_EQ(object["path"], "/var/lib/kvd");
  EXPECT_TRUE(std::regex_match(object["ts"].get<std::string>(), std::regex(R"(\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z)")));
}

TEST_F(Log, A_hostile_value_stays_one_line_of_text_without_control_characters) {
  const std::string line = captured([] { log_error("refused", {{"key", kHostile}, {"after", 1}}); });
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_EQ(line.back(), '\n');
  for (const char c : line.substr(0, line.size() - 1)) ASSERT_GE(static_cast<unsigned char>(c), 0x20) << line;
  EXPECT_THAT(line, HasSubstr(R"(\u001b[2J)"));
  EXPECT_THAT(line, HasSubstr(R"(\"x\" \\)"));
  EXPECT_THAT(line, EndsWith("after=1\n"));
}

TEST_F(Log, A_hostile_value_comes_back_whole_out_of_json) {
  set_log_format(LogFormat::kJson);
  const std::string line = captured([] { log_error("refused", {{"key", kHostile}}); });
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_EQ(nlohmann::json::parse(line)["key"].get<std::string>(), kHostile);
}

TEST_F(Log, Levels_below_the_chosen_one_are_silent) {
  set_log_level(LogLevel::kWarning);
  EXPECT_FALSE(log_enabled(LogLevel::kInfo));
  EXPECT_TRUE(log_enabled(LogLevel::kWarning));
  const std::string lines = captured([] {
    log_debug("d");
    log_info("i");
    log_warning("w");
    log_error("e");
  });
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 2) << lines;
  set_log_level(LogLevel::kDebug);
  EXPECT_THAT(captured([] { log_debug("d"); }), HasSubstr(" debug d\n"));
}

TEST_F(Log, Lines_of_many_threads_stay_whole) {
  constexpr int kThreads = 4;
  constexpr int kEach = 200;
  const std::string lines = captured([] {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([t] {
        for (int i = 0; i < kEach; ++i) log_info("event", {{"thread", t}, {"text", "some words"}, {"i", i}});
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  std::istringstream in(lines);
  const std::regex whole(R"re([\dT:.-]+Z info event thread=\d text="some words" i=\d+)re");
  int count = 0;
  for (std::string line; std::getline(in, line); ++count) ASSERT_TRUE(std::regex_match(line, whole)) << line;
  EXPECT_EQ(count, kThreads * kEach);
}

TEST(HexId, Is_written_as_etcd_writes_it) {
  EXPECT_EQ(hex_id(0x8e9e05c52164694dULL), "8e9e05c52164694d");
  EXPECT_EQ(hex_id(0xfULL), "f");
  EXPECT_EQ(hex_id(0), "0");
}

}  // namespace
}  // namespace kv
