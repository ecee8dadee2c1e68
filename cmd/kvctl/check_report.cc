#include "kvctl/check_report.h"

#include <cstdio>
#include <ostream>
#include <string>

namespace kv::kvctl {
namespace {

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%fs", seconds);
  return text;
}

void print_errors(const LoadReport& report, std::ostream& out) {
  out << "FAIL: too many errors\n";
  for (const auto& [text, count] : report.errors) out << "FAIL: ERROR(" << text << ") -> " << count << '\n';
}

}  // namespace

bool judge_perf(const LoadReport& report, int64_t puts_per_s, std::ostream& out) {
  bool pass = report.errors.empty();
  if (!pass) print_errors(report, out);
  const auto per_s = static_cast<int64_t>(report.per_s()) + 1;
  if (report.per_s() / static_cast<double>(puts_per_s) <= 0.9) {
    out << "FAIL: Throughput too low: " << per_s << " writes/s\n";
    pass = false;
  } else {
    out << "PASS: Throughput is " << per_s << " writes/s\n";
  }
  const bool slow = report.latencies.slowest() > 0.5, uneven = report.latencies.stddev() > 0.1;
  out << (slow ? "Slowest request took too long: " : "PASS: Slowest request took ")
      << seconds_text(report.latencies.slowest()) << '\n';
  out << (uneven ? "Stddev too high: " : "PASS: Stddev is ") << seconds_text(report.latencies.stddev()) << '\n';
  pass = pass && !slow && !uneven;
  out << (pass ? "PASS\n" : "FAIL\n");
  return pass;
}

bool judge_datascale(const LoadReport& report, double bytes_before, double bytes_after, std::ostream& out) {
  if (bytes_after == 0) {
    out << "FAIL: Could not read process_resident_memory_bytes after the put operations.\n";
    return false;
  }
  if (!report.errors.empty()) {
    print_errors(report, out);
    return false;
  }
  char megabytes[32];
  std::snprintf(megabytes, sizeof megabytes, "%.2f", (bytes_after - bytes_before) / (1024 * 1024));
  out << "PASS: Approximate system memory used : " << megabytes << " MB.\n";
  return true;
}

}  // namespace kv::kvctl
