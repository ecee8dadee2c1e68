// The load that bench and check make, and what is counted and drawn of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "kvctl/bench_report.h"

namespace kv::kvctl {
namespace {

using std::chrono::microseconds;

TEST(Latencies, Percentiles_are_within_a_step) {
  Latencies latencies, other;
  for (int i = 1; i <= 1000; ++i) (i % 2 == 0 ? latencies : other).add(microseconds(i * 10));
  latencies.add(other);
  EXPECT_EQ(latencies.count(), 1000);
  EXPECT_DOUBLE_EQ(latencies.fastest(), 10e-6);
  EXPECT_DOUBLE_EQ(latencies.slowest(), 10e-3);
  EXPECT_NEAR(latencies.mean(), 5.005e-3, 1e-9);
  EXPECT_NEAR(latencies.stddev(), 2.887e-3, 1e-6);
  for (const double part : {0.01, 0.5, 0.9, 0.99}) {
    EXPECT_GE(latencies.percentile(part), part * 10e-3);
    EXPECT_LE(latencies.percentile(part), part * 10e-3 * 1.04 + 2e-6);
  }
  EXPECT_DOUBLE_EQ(latencies.percentile(1), 10e-3);
}

TEST(Latencies, Nothing_and_the_outermost_times_are_counted) {
  Latencies latencies;
  EXPECT_EQ(latencies.percentile(0.5), 0);
  EXPECT_TRUE(latencies.steps().empty());
  latencies.add(std::chrono::nanoseconds(-5));  // clocks of two threads
  latencies.add(std::chrono::hours(100));
  EXPECT_EQ(latencies.count(), 2);
  EXPECT_EQ(latencies.percentile(0), 1e-6);
  EXPECT_EQ(latencies.percentile(1), 360'000);
  int64_t counted = 0;
  for (const LatencyStep& step : latencies.steps()) counted += step.count;
  EXPECT_EQ(counted, 2);
}

TEST(Latencies, Are_written_with_three_digits) {
  EXPECT_EQ(latency_text(0.0000414), "41 us");
  EXPECT_EQ(latency_text(0.00123456), "1.23 ms");
  EXPECT_EQ(latency_text(0.0123456), "12.3 ms");
  EXPECT_EQ(latency_text(0.9), "900 ms");
  EXPECT_EQ(latency_text(1.05), "1.05 s");
}

TEST(Latencies, The_histogram_has_a_bar_for_each_step_and_fits) {
  Latencies latencies;
  for (int i = 0; i < 80; ++i) latencies.add(microseconds(400));
  for (int i = 0; i < 20; ++i) latencies.add(microseconds(800));
  Terminal terminal{.is_terminal = true, .utf8 = false, .columns = 56};
  EXPECT_EQ(histogram(latencies, terminal),
            "  <= 500 us          80  80.0%  ####################\n"
            "  <= 700 us           0   0.0%\n"
            "  <= 1 ms            20  20.0%  #####\n");
  terminal.utf8 = true;
  for (const size_t columns : {20u, 40u, 80u, 500u}) {
    terminal.columns = columns;
    const std::string drawn = histogram(latencies, terminal);
    EXPECT_LE(width_of(drawn.substr(0, drawn.find('\n'))), std::max<size_t>(columns, 46)) << drawn;
  }
}

TEST(Load, Makes_each_call_once_and_counts_failures_by_text) {
  std::vector<std::atomic<int>> made(1000);
  const LoadReport report = run_load(
      {.threads = 8, .calls = 1000},
      [&](int, int64_t turn) {
        ++made[static_cast<size_t>(turn)];
        return turn % 10 == 0 ? Status(Code::kNotFound, "number " + std::to_string(turn)) : Status();
      },
      {}, [](int64_t, double) {});
  for (const auto& count : made) EXPECT_EQ(count, 1);
  EXPECT_EQ(report.done(), 900);
  EXPECT_EQ(report.failed(), 100);
  EXPECT_LE(report.errors.size(), 21u) << "the texts are bounded";
  EXPECT_GE(report.errors.at("other errors"), 80);
}

TEST(Load, A_stop_ends_the_wait_for_the_next_call) {
  std::stop_source stop;
  const LoadReport report = run_load(
      {.threads = 2, .calls_per_s = 1},
      [&](int, int64_t) {
        stop.request_stop();
        return Status();
      },
      stop.get_token(), [](int64_t, double) {});
  EXPECT_LE(report.done(), 2);
  EXPECT_LT(report.seconds, 60);
}

TEST(Load, A_rate_times_calls_from_when_they_were_due) {
  // One thread for two calls a millisecond apart, the first of which takes fifty: the second waits for it.
  const LoadReport report = run_load(
      {.threads = 1, .calls = 2, .calls_per_s = 1000, .from_due = true},
      [](int, int64_t turn) {
        if (turn == 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
        return Status();
      },
      {}, [](int64_t, double) {});
  EXPECT_GE(report.latencies.fastest(), 0.049);
}

TEST(BenchReport, Json_can_be_read) {
  BenchReport report{.name = "watch", .calls = "puts", .watched = true, .events_missing = 3};
  report.load.latencies.add(microseconds(300));
  report.load.errors["say \"no\"\xff\n"] = 2;
  const auto json = nlohmann::json::parse(bench_json(report));
  EXPECT_EQ(json["bench"], "watch");
  EXPECT_EQ(json["done"], 1);
  EXPECT_EQ(json["failed"], 2);
  EXPECT_EQ(json["events"]["missing"], 3);
  EXPECT_EQ(json["latency"]["histogram"][0]["count"], 1);
  EXPECT_EQ(json["latency"]["percentiles_s"]["99"], 0.0003);
}

}  // namespace
}  // namespace kv::kvctl
