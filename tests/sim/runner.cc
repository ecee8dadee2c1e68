#include "runner.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace kv::sim {
namespace {

static_assert(std::is_trivially_copyable_v<RunStats>, "it travels through a pipe");

const Cluster* g_running = nullptr;  // for the handler, in the child only

void write_all(int fd, const void* bytes, size_t size) {
  const char* at = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t n = ::write(fd, at, size);
    if (n <= 0) _exit(3);
    at += n;
    size -= static_cast<size_t>(n);
  }
}

std::string read_all(int fd) {
  std::string out;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(fd, buffer, sizeof buffer)) > 0;) out.append(buffer, static_cast<size_t>(n));
  return out;
}

std::string tail_of(const Cluster& cluster) {
  std::string out;
  for (const std::string& line : cluster.trace().tail()) out += "\n  " + line;
  return out;
}

// An assertion has failed: the process is lost, but its trace is what people want to read.
void on_abort(int) {
  if (g_running) {
    std::string text = tail_of(*g_running);
    if (const auto& violation = g_running->checker().violation()) {
      text += "\nbefore that: " + violation->invariant + ": " + violation->text;
    }
    write_all(STDERR_FILENO, text.data(), text.size());
  }
  _exit(2);
}

[[noreturn]] void be_child(const SimOptions& options, bool tail, int out) {
  dup2(out, STDERR_FILENO);
  std::signal(SIGABRT, on_abort);
  // No destructors after this: the parent's objects are the parent's.
  auto* cluster = new Cluster(options, tail ? Trace::Text::kTail : Trace::Text::kNone);
  g_running = cluster;
  const Outcome outcome = cluster->run();
  if (!outcome.violation) {
    write_all(out, &outcome.stats, sizeof outcome.stats);
    _exit(0);
  }
  const std::string text = outcome.violation->invariant + '\n' + outcome.violation->text + tail_of(*cluster);
  write_all(out, text.data(), text.size());
  _exit(1);
}

}  // namespace

Finding run_in_child(const SimOptions& options, bool tail) {
  int fds[2];
  KV_CHECK(pipe(fds) == 0, "no pipe");
  std::fflush(nullptr);
  const pid_t child = fork();
  KV_CHECK(child >= 0, "no child process");
  if (child == 0) {
    close(fds[0]);
    be_child(options, tail, fds[1]);
  }
  close(fds[1]);
  const std::string said = read_all(fds[0]);
  close(fds[0]);
  int status = 0;
  KV_CHECK(waitpid(child, &status, 0) == child, "the child is gone");
  if (options.machine->clean_up != nullptr) options.machine->clean_up(child);

  Finding finding;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && said.size() == sizeof finding.stats) {
    std::memcpy(&finding.stats, said.data(), sizeof finding.stats);
    return finding;
  }
  finding.failed = true;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 1) {
    const size_t line = said.find('\n');
    finding.invariant = said.substr(0, line);
    finding.text = said.substr(line + 1);
  } else {
    finding.invariant = "assertion";
    finding.text = said;
  }
  return finding;
}

Finding run_seed(const SimOptions& options) {
  Finding finding = run_in_child(options, false);
  if (!finding.failed) return finding;
  const Finding again = run_in_child(options, true);
  if (again.failed) {
    finding = again;
  } else {
    finding.text = "came once and not again, so it does not depend on the seed alone: " + finding.text;
  }
  finding.text = "seed " + std::to_string(options.seed) + ": " + finding.invariant + ": " + finding.text +
                 "\nreplay: " + replay_command(options);
  return finding;
}

SimOptions shrink(SimOptions options) {
  const std::string invariant = run_in_child(options, false).invariant;
  KV_CHECK(!invariant.empty(), "a run that does not fail can't be made to fail with less");
  const auto still_fails = [&invariant](const SimOptions& simpler) {
    const Finding finding = run_in_child(simpler, false);
    return finding.failed && finding.invariant == invariant;
  };
  for (const std::string_view fault : fault_names()) {
    SimOptions simpler = options;
    simpler.without.emplace_back(fault);
    if (still_fails(simpler)) options = simpler;
  }
  for (uint64_t cut = options.steps / 2; cut > 0; cut /= 2) {
    SimOptions shorter = options;
    while (shorter.steps > cut) {
      shorter.steps -= cut;
      if (!still_fails(shorter)) break;
      options = shorter;
    }
  }
  return options;
}

std::string replay_command(const SimOptions& options) {
  std::string out = "kvd_sim --seed " + std::to_string(options.seed);
  if (options.machine != &kChainMachine) out += " --machine " + std::string(options.machine->name);
  if (options.steps != SimOptions().steps) out += " --steps " + std::to_string(options.steps);
  if (options.nodes != 0) out += " --nodes " + std::to_string(options.nodes);
  if (options.broken != Break::kNone) out += " --break " + std::string(name(options.broken));
  for (size_t i = 0; i < options.without.size(); ++i) out += (i == 0 ? " --without " : ",") + options.without[i];
  if (!options.check_promises) out += " --no-promise-checks";
  return out + " --trace";
}

}  // namespace kv::sim
