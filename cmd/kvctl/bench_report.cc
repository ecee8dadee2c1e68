#include "kvctl/bench_report.h"

#include <cstdio>
#include <sstream>
#include <utility>

#include "kvctl/json_text.h"

namespace kv::kvctl {
namespace {

constexpr std::pair<const char*, double> kPercentiles[] = {
    {"50%", 0.5}, {"75%", 0.75}, {"90%", 0.9}, {"95%", 0.95}, {"99%", 0.99}, {"99.9%", 0.999}, {"99.99%", 0.9999}};

std::string number(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string rate(double per_s) { return number(per_s < 10 ? "%.1f" : "%.0f", per_s); }

void write_latencies(std::ostream& out, const std::string& heading, const Latencies& latencies,
                     const Terminal& terminal) {
  if (latencies.count() == 0) return;
  const Paint paint(terminal);
  out << '\n' << paint(Style::kHeading, heading) << '\n';
  const auto line = [&out](const std::string& name, double seconds) {
    out << "  " << name << std::string(name.size() < 8 ? 8 - name.size() : 1, ' ') << "  " << latency_text(seconds)
        << '\n';
  };
  line("fastest", latencies.fastest());
  line("mean", latencies.mean());
  line("stddev", latencies.stddev());
  for (const auto& [name, part] : kPercentiles) line(name, latencies.percentile(part));
  line("slowest", latencies.slowest());
  out << '\n' << histogram(latencies, terminal);
}

std::string latencies_json(const Latencies& latencies) {
  std::ostringstream out;
  out << "{\"count\":" << latencies.count() << ",\"fastest_s\":" << number("%.9f", latencies.fastest())
      << ",\"mean_s\":" << number("%.9f", latencies.mean()) << ",\"stddev_s\":" << number("%.9f", latencies.stddev())
      << ",\"slowest_s\":" << number("%.9f", latencies.slowest()) << ",\"percentiles_s\":{";
  const char* comma = "";
  for (const auto& [name, part] : kPercentiles) {
    out << std::exchange(comma, ",") << json_string(std::string(name, std::string(name).size() - 1)) << ':'
        << number("%.6f", latencies.percentile(part));
  }
  out << "},\"histogram\":[";
  comma = "";
  for (const LatencyStep& step : latencies.steps()) {
    out << std::exchange(comma, ",") << "{\"at_most_s\":" << number("%g", step.end_s) << ",\"count\":" << step.count
        << '}';
  }
  out << "]}";
  return out.str();
}

}  // namespace

std::string bench_text(const BenchReport& report, const Terminal& terminal) {
  const Paint paint(terminal);
  const LoadReport& load = report.load;
  std::ostringstream out;
  out << load.done() << ' ' << report.calls << " in " << number("%.2f", load.seconds) << " s, "
      << paint(Style::kGood, rate(load.per_s()) + "/s") << '\n';
  if (report.watched) {
    const double per_s =
        report.events_seconds > 0 ? static_cast<double>(report.events.count()) / report.events_seconds : 0;
    out << report.events.count() << " events in " << number("%.2f", report.events_seconds) << " s, "
        << paint(Style::kGood, rate(per_s) + "/s") << '\n';
    if (report.events_missing > 0) {
      out << paint(Style::kBad, std::to_string(report.events_missing) + " events did not arrive") << '\n';
    }
  }
  for (const auto& [text, count] : load.errors) {
    out << paint(Style::kBad, std::to_string(count) + " failed:") << ' ' << printable(text) << '\n';
  }
  write_latencies(out, "Time of the " + report.calls, load.latencies, terminal);
  if (report.watched) write_latencies(out, "Time from a put to its event", report.events, terminal);
  return out.str();
}

std::string bench_json(const BenchReport& report) {
  const LoadReport& load = report.load;
  std::ostringstream out;
  out << "{\"bench\":" << json_string(report.name) << ",\"seconds\":" << number("%.6f", load.seconds)
      << ",\"done\":" << load.done() << ",\"failed\":" << load.failed() << ",\"per_s\":" << number("%.3f", load.per_s())
      << ",\"errors\":{";
  const char* comma = "";
  for (const auto& [text, count] : load.errors) {
    out << std::exchange(comma, ",") << json_string(printable(text)) << ':' << count;
  }
  out << "},\"latency\":" << latencies_json(load.latencies);
  if (report.watched) {
    out << ",\"events\":{\"seconds\":" << number("%.6f", report.events_seconds)
        << ",\"missing\":" << report.events_missing << ",\"latency\":" << latencies_json(report.events) << '}';
  }
  out << "}\n";
  return out.str();
}

}  // namespace kv::kvctl
