// kvd's flags: under etcd's names, as KVD_* variables too, and in a YAML file. A flag wins over a variable, a
// variable over the file (etcd's file wins over both; docs/configuration.md says why ours does not).
#pragma once

#include <string>
#include <vector>

#include "api/net/server.h"
#include "base/log.h"
#include "base/status.h"
#include "feature_gates.h"
#include "server/options.h"
#include "tls_setup.h"

namespace kvd {

struct Config {
  kv::server::MemberOptions member;
  kv::api::ServerOptions server;
  // Become contexts in `member` and `server` when kvd starts: that may make files.
  TlsSetup client_tls;
  TlsSetup peer_tls;
  std::vector<FeatureGate> features;  // for the metric that etcd tells them by
  kv::LogLevel log_level = kv::LogLevel::kInfo;
  kv::LogFormat log_format = kv::LogFormat::kText;
};

// What the command line asks for.
struct Parsed {
  enum class What { kRun, kPrintAndExit } what = What::kRun;
  std::string text;  // help or version, for kPrintAndExit
  Config config;
};

// InvalidArgument with one line that says what is wrong and, for an unknown flag, which one may be meant.
kv::Result<Parsed> parse(int argc, const char* const* argv);

// The names closest to `wrong` by edit distance; "" when none is close.
std::string closest(const std::string& wrong, const std::vector<std::string>& names);

}  // namespace kvd
