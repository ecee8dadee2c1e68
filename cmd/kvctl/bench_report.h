// What `bench` measured, as text with a histogram for people, or as a JSON object.
#pragma once

#include <string>

#include "kvctl/load.h"
#include "kvctl/terminal.h"

namespace kv::kvctl {

struct BenchReport {
  std::string name{};   // "put"
  std::string calls{};  // what was counted: "puts"
  LoadReport load{};
  // `bench watch`: from the begin of a put to the arrival of its event, for each event.
  bool watched = false;
  Latencies events{};
  double events_seconds = 0;  // from the first put to the last event
  int64_t events_missing = 0;
};

// A rate has one digit below ten.
std::string bench_text(const BenchReport& report, const Terminal& terminal);
// In seconds, with the counts of the histogram's steps.
std::string bench_json(const BenchReport& report);

}  // namespace kv::kvctl
