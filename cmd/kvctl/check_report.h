// The verdicts of `check perf` and `check datascale`, in etcdctl's words.
#pragma once

#include <cstdint>
#include <iosfwd>

#include "kvctl/load.h"

namespace kv::kvctl {

// Whether the cluster kept up with `puts_per_s`, and answered fast and evenly. True when it passed.
bool judge_perf(const LoadReport& report, int64_t puts_per_s, std::ostream& out);

// What the first member's memory grew by, from its resident bytes before and after. True when it passed.
bool judge_datascale(const LoadReport& report, double bytes_before, double bytes_after, std::ostream& out);

}  // namespace kv::kvctl
