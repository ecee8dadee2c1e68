// kvd, the daemon: reads its flags, starts a member and its doors, and stops them when told.
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "base/log.h"
#include "base/metrics.h"
#include "config.h"
#include "disk_wait.h"
#include "embed/serving_member.h"

namespace {

constexpr int64_t kDrainMs = 300;     // calls in flight may end
constexpr int64_t kHandOverMs = 500;  // leadership may move

// The member was removed from its cluster: to start it again is of no use. A service manager can be told so.
constexpr int kExitRemoved = 3;

int exit_code(const kv::Status& status) { return status.code() == kv::Code::kFailedPrecondition ? kExitRemoved : 1; }

int complain(const kv::Status& status) {
  std::fprintf(stderr, "kvd: %s\n", status.text().c_str());
  return exit_code(status);
}

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

// Waits for one of the signals, for `ms` at most (negative: for ever). 0 when none came.
int wait_for_signal(const sigset_t& signals, int64_t ms) {
  if (ms < 0) {
    int number = 0;
    while (sigwait(&signals, &number) != 0) {
    }
    return number;
  }
  const timespec timeout{.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  const int number = sigtimedwait(&signals, nullptr, &timeout);
  return number > 0 ? number : 0;
}

// Waits for a signal to stop; on the way SIGUSR1 and SIGUSR2 change what is logged.
int wait_for_stop(const kvd::Config& config, const sigset_t& signals, int64_t ms) {
  while (true) {
    const int number = wait_for_signal(signals, ms);
    if (number != SIGUSR1 && number != SIGUSR2) return number;
    kv::set_log_level(number == SIGUSR1 ? kv::LogLevel::kDebug : config.log_level);
    kv::log_info("log level changed", {{"to", number == SIGUSR1 ? "debug" : "as configured"}});
    if (ms >= 0) return 0;
  }
}

std::string joined(const std::vector<std::string>& urls) {
  std::string out;
  for (const std::string& url : urls) out += (out.empty() ? "" : ",") + url;
  return out;
}

int run(kvd::Config config, char* const* argv) {
  // Blocked before any thread is made, so that only this one takes them.
  const sigset_t stops = stop_signals();
  sigset_t signals = stops;
  sigaddset(&signals, SIGUSR1);
  sigaddset(&signals, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  auto client_tls = kvd::make_tls(config.client_tls, "client", config.member.data_dir);
  if (!client_tls.ok()) return complain(client_tls.status());
  config.server.tls = std::move(*client_tls);
  auto peer_tls = kvd::make_tls(config.peer_tls, "peer", config.member.data_dir);
  if (!peer_tls.ok()) return complain(peer_tls.status());
  config.member.peer_tls = std::move(*peer_tls);

  if (kvd::wait_for_room(config.member.data_dir, config.member.min_free_bytes, stops) != 0) {
    kv::log_info("stopped while waiting for room on the disk");
    return 0;
  }

  // A disk that failed, or damaged state: whatever is done from here on can't be trusted, so nothing is done. Only a
  // disk that is full may have room again. A member that was removed ends as well: it has answered and is on nobody's
  // mind.
  const auto end = [argv](const kv::Status& status) {
    std::fprintf(stderr, "kvd: stopped: %s\n", status.text().c_str());
    if (status.code() == kv::Code::kResourceExhausted) kvd::begin_anew(argv);
    std::_Exit(exit_code(status));
  };
  auto serving = kv::embed::ServingMember::start(config.member, config.server, end);
  if (!serving.ok() && serving.status().code() == kv::Code::kResourceExhausted) end(serving.status());
  if (!serving.ok()) return complain(serving.status());
  const kv::server::Member& member = (*serving)->member();

  for (const kvd::FeatureGate& feature : config.features) {
    kv::Metrics::global()
        .gauge("etcd_server_feature_enabled", "Whether or not a feature is enabled. 1 is enabled, 0 is not.",
               {{"name", feature.name}, {"stage", feature.stage}})
        .set(feature.on ? 1 : 0);
  }

  bool ready = false;
  int stop = 0;
  while (stop == 0) {
    if (!ready && member.leader() != 0) {
      ready = true;
      kv::log_info("ready to serve client requests", {{"name", config.member.name},
                                                      {"member", kv::hex_id(member.id())},
                                                      {"client_urls", joined(config.server.listen_urls)},
                                                      {"port", (*serving)->doors().bound_ports().front()}});
    }
    stop = wait_for_stop(config, signals, ready ? -1 : 10);
  }
  kv::log_info("stopping", {{"signal", stop == SIGTERM ? "SIGTERM" : "SIGINT"}});
  (*serving)->stop(kDrainMs, kHandOverMs);
  kv::log_info("stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto parsed = kvd::parse(argc, argv);
  if (!parsed.ok()) return complain(parsed.status());
  if (parsed->what == kvd::Parsed::What::kPrintAndExit) {
    std::fputs(parsed->text.c_str(), stdout);
    return 0;
  }
  kv::set_log_level(parsed->config.log_level);
  kv::set_log_format(parsed->config.log_format);
  return run(parsed->config, argv);
}
