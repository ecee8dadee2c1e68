// Runs every file of tests/raft/scenarios and compares its trace. After a change of behaviour that is meant,
// KVD_REWRITE=1 raft_core_scenario_test writes the traces anew; then read the difference, every line.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "raft/core_scenario.h"

namespace kv::raft::test {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<std::string> scenario_names() {
  std::vector<std::string> names;
  for (const auto& file : fs::directory_iterator(KVD_SCENARIOS)) {
    if (file.path().extension() == ".txt") names.push_back(file.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class RaftScenario : public testing::TestWithParam<std::string> {};

TEST_P(RaftScenario, Leaves_the_expected_trace) {
  const fs::path path = fs::path(KVD_SCENARIOS) / (GetParam() + ".txt");
  const std::string expected = read(path);
  const std::string happened = Scenario::rerun(expected);
  EXPECT_EQ(happened.find("error:"), std::string::npos) << happened;
  const char* rewrite = std::getenv("KVD_REWRITE");
  if (rewrite && std::string(rewrite) == "1") {
    std::ofstream(path, std::ios::binary) << happened;
  } else {
    EXPECT_EQ(happened, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Files, RaftScenario, testing::ValuesIn(scenario_names()),
                         [](const auto& file) { return file.param; });

TEST(RaftScenarios, Are_many_and_open_with_an_explanation) {
  EXPECT_GE(scenario_names().size(), 40U);
  for (const std::string& name : scenario_names()) {
    std::istringstream in(read(fs::path(KVD_SCENARIOS) / (name + ".txt")));
    std::string first;
    std::string second;
    std::getline(in, first);
    std::getline(in, second);
    EXPECT_TRUE(first.starts_with("# ") && second.starts_with("# ")) << name;
  }
}

}  // namespace
}  // namespace kv::raft::test
