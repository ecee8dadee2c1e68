#include "base/process_metrics.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <limits>
#include <sstream>

namespace kv {
namespace {

// NaN when the metric is not there.
double value_of(const Metrics& metrics, const std::string& name) {
  std::istringstream text(metrics.render());
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with(name + " ")) return std::stod(line.substr(name.size() + 1));
  }
  return std::numeric_limits<double>::quiet_NaN();
}

TEST(ProcessMetrics, Count_an_open_file_while_it_is_open) {
  Metrics metrics;
  const auto handles = serve_process_metrics(metrics);
  const double before = value_of(metrics, "process_open_fds");
  const int file = ::open("/dev/null", O_RDONLY);
  ASSERT_GE(file, 0);
  EXPECT_EQ(value_of(metrics, "process_open_fds"), before + 1);
  EXPECT_EQ(value_of(metrics, "os_fd_used"), before + 1);
  ::close(file);
  EXPECT_EQ(value_of(metrics, "process_open_fds"), before);
  EXPECT_GT(value_of(metrics, "process_max_fds"), before);
}

TEST(ProcessMetrics, The_time_that_is_spent_is_counted) {
  Metrics metrics;
  const auto handles = serve_process_metrics(metrics);
  const double before = value_of(metrics, "process_cpu_seconds_total");
  const std::clock_t until = std::clock() + CLOCKS_PER_SEC / 20;  // of this process's CPU time
  while (std::clock() < until) continue;
  EXPECT_GE(value_of(metrics, "process_cpu_seconds_total"), before + 0.04);
}

TEST(ProcessMetrics, Memory_and_start_are_those_of_this_process) {
  Metrics metrics;
  const auto handles = serve_process_metrics(metrics);
  EXPECT_GT(value_of(metrics, "process_resident_memory_bytes"), 1 << 20);
  EXPECT_GE(value_of(metrics, "process_virtual_memory_bytes"), value_of(metrics, "process_resident_memory_bytes"));
  const double start = value_of(metrics, "process_start_time_seconds");
  EXPECT_NEAR(start, static_cast<double>(std::time(nullptr)), 600);
}

TEST(ProcessMetrics, End_with_their_handles) {
  Metrics metrics;
  { const auto handles = serve_process_metrics(metrics); }
  EXPECT_EQ(metrics.render(), "");
}

}  // namespace
}  // namespace kv
