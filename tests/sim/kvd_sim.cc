// kvd_sim: runs the simulator for one seed, with its trace, or for many.
//
//   kvd_sim --seed 17 --trace           one run, every step in words
//   kvd_sim --seeds 1..10000            many; the failures, each with the tail of its trace
//   kvd_sim --machine store --seed 17   the same with the real store, its leases and its watches
//   kvd_sim --seeds 1..100 --break stale-read    the same with a deliberate bug: does anybody notice?
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <string>

#include "breaks.h"
#include "cluster.h"
#include "options.h"
#include "runner.h"
#include "store/store_machine.h"

namespace kv::sim {
namespace {

void print_stats(const RunStats& s) {
  const Counters& c = s.counters;
  std::printf("trace hash %016" PRIx64 ", %" PRIu64
              " events in %.3f simulated seconds, recovered in %.1f election timeouts\n",
              s.trace_hash, s.events, static_cast<double>(s.simulated_us) / 1e6, s.recovery_timeouts);
  std::printf("  %" PRIu64 " leaders, %" PRIu64 " entries committed, %" PRIu64 " messages, %" PRIu64 " Readys\n",
              s.leaders, s.committed, s.messages, c.readys);
  std::printf("  writes: %" PRIu64 " acknowledged, %" PRIu64 " refused, %" PRIu64
              " proposed again; reads: %" PRIu64 " answered, %" PRIu64 " refused\n",
              s.writes_acknowledged, c.writes_refused, c.writes_proposed_again, s.reads_answered, s.reads_refused);
  std::printf("  %" PRIu64 " crashes (%" PRIu64 " disk writes lost), %" PRIu64 " pauses, %" PRIu64
              " partitions, %" PRIu64 " transfers asked\n",
              c.crashes, c.writes_lost, c.pauses, c.partitions, c.transfers);
  std::printf("  %" PRIu64 " compactions, %" PRIu64 " snapshots installed, %" PRIu64 " failed, %" PRIu64
              " interrupted\n",
              c.compactions, c.snapshots_installed, c.snapshots_failed, c.installs_interrupted);
  std::printf("  %" PRIu64 " changes proposed, %" PRIu64 " configurations, %" PRIu64 " of them joint\n",
              c.changes_proposed, c.configurations, c.joint_configurations);
  if (s.stores_opened == 0) return;
  std::printf("  store: %" PRIu64 " revisions, %" PRIu64 " answers compared, opened %" PRIu64 " times\n", s.revisions,
              s.answers, s.stores_opened);
  std::printf("  leases: %" PRIu64 " keep-alives answered, %" PRIu64 " ended, %" PRIu64 " checkpoints\n", s.keep_alives,
              s.leases_expired, s.leases_checkpointed);
  std::printf("  watches: %" PRIu64 " events, %" PRIu64 " resumed, %" PRIu64 " behind a compaction, %" PRIu64
              " notes of progress\n",
              s.watch_events, s.watches_resumed, s.watches_compacted, s.progress_notes);
}

int run_one(const SimOptions& options, bool trace) {
  std::printf("%s", describe(draw_options(options)).c_str());
  if (!trace) {
    const Finding finding = run_seed(options);
    if (finding.failed) {
      std::printf("FAILED: %s\n", finding.text.c_str());
      return 1;
    }
    print_stats(finding.stats);
    return 0;
  }
  // In this process, so that a debugger can stand at its side.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  Cluster cluster(options, Trace::Text::kPrint);
  const Outcome outcome = cluster.run();
  if (outcome.violation) {
    std::printf("FAILED: seed %" PRIu64 ": %s: %s\n", options.seed, outcome.violation->invariant.c_str(),
                outcome.violation->text.c_str());
    return 1;
  }
  print_stats(outcome.stats);
  return 0;
}

int run_many(SimOptions options, uint64_t from, uint64_t to, uint64_t failures_max, bool quiet) {
  uint64_t failures = 0;
  double slowest = 0;
  uint64_t slowest_seed = 0;
  for (options.seed = from; options.seed <= to; ++options.seed) {
    const Finding finding = run_seed(options);
    if (finding.failed) {
      ++failures;
      if (quiet) {
        std::printf("seed %" PRIu64 ": %s\n", options.seed, finding.invariant.c_str());
      } else {
        std::printf("FAILED: %s\n\n", finding.text.c_str());
      }
      std::fflush(stdout);
      if (failures >= failures_max) break;
    } else if (finding.stats.recovery_timeouts > slowest) {
      slowest = finding.stats.recovery_timeouts;
      slowest_seed = options.seed;
    }
  }
  std::printf("seeds %" PRIu64 "..%" PRIu64 ": %" PRIu64
              " failed; slowest recovery %.1f election timeouts (seed %" PRIu64 ")\n",
              from, std::min(options.seed, to), failures, slowest, slowest_seed);
  return failures == 0 ? 0 : 1;
}

int run(int argc, char** argv) {
  CLI::App app("Runs kvd's members under a simulated clock, network and disk.");
  SimOptions options;
  std::string seeds;
  std::string broken = "none";
  std::string machine = "chain";
  bool trace = false;
  bool quiet = false;
  bool shrinking = false;
  bool no_promise_checks = false;
  uint64_t failures_max = 10;
  app.add_option("--seed", options.seed, "the run to make");
  app.add_option("--seeds", seeds, "A..B: all runs from A to B");
  app.add_option("--steps", options.steps, "events until the faults stop")->capture_default_str();
  app.add_option("--nodes", options.nodes, "voters at the start, 1 to 7; 0: drawn from the seed")
      ->check(CLI::Range(0, 7));
  app.add_option("--machine", machine, "what the members replicate: chain (the log alone) or store (the real one)")
      ->check(CLI::IsMember({"chain", "store"}))
      ->capture_default_str();
  app.add_flag("--trace", trace, "print every step");
  app.add_flag("--quiet", quiet, "with --seeds: one line a failure");
  app.add_flag("--shrink", shrinking, "a failure of --seed: with as few faults and steps as it needs");
  app.add_option("--without", options.without, "faults to leave out, comma-separated")->delimiter(',');
  app.add_option("--failures", failures_max, "with --seeds: stop after so many")->capture_default_str();
  app.add_option("--break", broken, "a deliberate bug of the driver (see breaks.h)")->capture_default_str();
  app.add_flag("--no-promise-checks", no_promise_checks, "look only for the consequences of a broken promise");
  CLI11_PARSE(app, argc, argv);

  const auto found = break_by_name(broken);
  if (!found) {
    std::fprintf(stderr, "kvd_sim: --break: there is no \"%s\"; there are:", broken.c_str());
    for (size_t i = 0; i < static_cast<size_t>(Break::kCount); ++i) {
      std::fprintf(stderr, " %.*s", static_cast<int>(name(static_cast<Break>(i)).size()),
                   name(static_cast<Break>(i)).data());
    }
    std::fprintf(stderr, "\n");
    return 1;
  }
  options.broken = *found;
  if (machine == kStoreMachine.name) options.machine = &kStoreMachine;
  options.check_promises = !no_promise_checks;
  for (const std::string& fault : options.without) {
    const auto names = fault_names();
    if (std::find(names.begin(), names.end(), fault) != names.end()) continue;
    std::fprintf(stderr, "kvd_sim: --without: there is no \"%s\"; there are:", fault.c_str());
    for (const std::string_view known : names)
      std::fprintf(stderr, " %.*s", static_cast<int>(known.size()), known.data());
    std::fprintf(stderr, "\n");
    return 1;
  }
  if (seeds.empty()) {
    if (shrinking && run_in_child(options, false).failed) options = shrink(options);
    return run_one(options, trace);
  }

  uint64_t from = 0;
  uint64_t to = 0;
  if (std::sscanf(seeds.c_str(), "%" SCNu64 "..%" SCNu64, &from, &to) != 2 || from > to) {
    std::fprintf(stderr, "kvd_sim: --seeds: \"%s\" is not of the form A..B\n", seeds.c_str());
    return 1;
  }
  return run_many(options, from, to, failures_max, quiet);
}

}  // namespace
}  // namespace kv::sim

int main(int argc, char** argv) { return kv::sim::run(argc, argv); }
