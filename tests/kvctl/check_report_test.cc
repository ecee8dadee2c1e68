#include "kvctl/check_report.h"

#include <gtest/gtest.h>

#include <chrono>
#include <sstream>
#include <string>

namespace kv::kvctl {
namespace {

using std::chrono::milliseconds;

LoadReport report_of(double seconds, std::initializer_list<milliseconds> took, int times = 1) {
  LoadReport report{.seconds = seconds};
  for (int i = 0; i < times; ++i) {
    for (const milliseconds each : took) report.latencies.add(each);
  }
  return report;
}

struct Verdict {
  bool passed;
  std::string text;
};
Verdict perf(const LoadReport& report, int64_t puts_per_s) {
  std::ostringstream out;
  const bool passed = judge_perf(report, puts_per_s, out);
  return {passed, out.str()};
}
Verdict datascale(const LoadReport& report, double before, double after) {
  std::ostringstream out;
  const bool passed = judge_datascale(report, before, after, out);
  return {passed, out.str()};
}

// The texts are etcdctl's: etcdctl/ctlv3/command/check.go.

TEST(CheckReport, A_cluster_that_keeps_up_passes) {
  const Verdict verdict = perf(report_of(60, {milliseconds(10), milliseconds(30)}, 4500), 150);
  EXPECT_TRUE(verdict.passed);
  EXPECT_EQ(verdict.text,
            "PASS: Throughput is 151 writes/s\n"
            "PASS: Slowest request took 0.030000s\n"
            "PASS: Stddev is 0.010000s\n"
            "PASS\n");
}

TEST(CheckReport, Nine_tenths_of_the_rate_are_too_few_and_more_are_enough) {
  const Verdict at = perf(report_of(10, {milliseconds(1)}, 1350), 150);
  EXPECT_FALSE(at.passed);
  EXPECT_EQ(at.text,
            "FAIL: Throughput too low: 136 writes/s\n"
            "PASS: Slowest request took 0.001000s\n"
            "PASS: Stddev is 0.000000s\n"
            "FAIL\n");
  EXPECT_TRUE(perf(report_of(10, {milliseconds(1)}, 1351), 150).passed);
}

TEST(CheckReport, One_slow_call_fails) {
  EXPECT_TRUE(perf(report_of(1, {milliseconds(500)}, 150), 150).passed);
  LoadReport report = report_of(1, {milliseconds(2)}, 1000);
  report.latencies.add(milliseconds(501));
  const Verdict verdict = perf(report, 150);
  EXPECT_FALSE(verdict.passed);
  EXPECT_EQ(verdict.text,
            "PASS: Throughput is 1002 writes/s\n"
            "Slowest request took too long: 0.501000s\n"
            "PASS: Stddev is 0.015764s\n"
            "FAIL\n");
}

TEST(CheckReport, Uneven_calls_fail) {
  const Verdict verdict = perf(report_of(1, {milliseconds(100), milliseconds(400)}, 100), 150);
  EXPECT_FALSE(verdict.passed);
  EXPECT_EQ(verdict.text,
            "PASS: Throughput is 201 writes/s\n"
            "PASS: Slowest request took 0.400000s\n"
            "Stddev too high: 0.150000s\n"
            "FAIL\n");
}

TEST(CheckReport, Errors_are_counted_by_their_text) {
  LoadReport report = report_of(1, {milliseconds(1)}, 150);
  report.errors = {{"etcdserver: request timed out", 3}, {"etcdserver: too many requests", 1}};
  const Verdict verdict = perf(report, 150);
  EXPECT_FALSE(verdict.passed);
  const std::string errors =
      "FAIL: too many errors\n"
      "FAIL: ERROR(etcdserver: request timed out) -> 3\n"
      "FAIL: ERROR(etcdserver: too many requests) -> 1\n";
  EXPECT_EQ(verdict.text, errors +
                              "PASS: Throughput is 151 writes/s\n"
                              "PASS: Slowest request took 0.001000s\n"
                              "PASS: Stddev is 0.000000s\n"
                              "FAIL\n");
  const Verdict of_datascale = datascale(report, 1e6, 2e6);
  EXPECT_FALSE(of_datascale.passed);
  EXPECT_EQ(of_datascale.text, errors);
}

TEST(CheckReport, Memory_is_what_came_on_top) {
  const LoadReport report = report_of(1, {milliseconds(1)}, 10);
  const Verdict more = datascale(report, 10.0 * 1024 * 1024, 34.567 * 1024 * 1024);
  EXPECT_TRUE(more.passed);
  EXPECT_EQ(more.text, "PASS: Approximate system memory used : 24.57 MB.\n");
  EXPECT_EQ(datascale(report, 2.0 * 1024 * 1024, 1.5 * 1024 * 1024).text,
            "PASS: Approximate system memory used : -0.50 MB.\n");
  const Verdict none = datascale(report, 1e6, 0);
  EXPECT_FALSE(none.passed);
  EXPECT_EQ(none.text, "FAIL: Could not read process_resident_memory_bytes after the put operations.\n");
}

}  // namespace
}  // namespace kv::kvctl
