// Runs seeds, each in a process of its own, so that a failed assertion in the core is a finding like any other
// and not the end of the search; and says in words what went wrong and how to see it again.
#pragma once

#include <string>

#include "cluster.h"
#include "options.h"

namespace kv::sim {

struct Finding {
  bool failed = false;
  std::string invariant;  // "assertion" when the process died
  std::string text;
  RunStats stats;  // of a run that came to its end
};

// Runs in a child process. With `tail`, a failure's text has the last lines of the trace.
Finding run_in_child(const SimOptions& options, bool tail);

// The same without text first; a failure is run again to explain it.
Finding run_seed(const SimOptions& options);

// A simpler run that breaks the same invariant: without the faults that it does not need, and as short as that can be
// found quickly. `options` must fail.
SimOptions shrink(SimOptions options);

// The options with which kvd_sim repeats this run.
std::string replay_command(const SimOptions& options);

}  // namespace kv::sim
