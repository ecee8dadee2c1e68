// What `top` shows: a sample of each member, and the rates between two of them, as a table or as JSON.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "client/types.h"
#include "kvctl/metrics_reader.h"
#include "kvctl/terminal.h"

namespace kv::kvctl {

struct MemberSample {
  std::string endpoint{};
  std::chrono::steady_clock::time_point taken{};
  std::optional<client::MemberStatus> status{};
  std::string error{};  // why there is no status
  Metrics metrics{};
  std::string metrics_error{};  // why there are none
};

struct ClusterSample {
  std::string time{};  // of day, in UTC, as ISO 8601 writes it
  std::vector<MemberSample> members{};
  std::vector<client::Member> known{};  // empty when nobody told
  std::optional<std::vector<client::Alarm>> alarms{};
};

// What a member's counter grew a second since the sample before; none when either is missing or it began anew.
std::optional<double> rate_of(const MemberSample* before, const MemberSample& now,
                              std::initializer_list<const char*> names);

// `before` is null for the first sample: then there are no rates yet.
std::string top_text(const ClusterSample* before, const ClusterSample& now, const Terminal& terminal);
std::string top_json(const ClusterSample* before, const ClusterSample& now);

}  // namespace kv::kvctl
