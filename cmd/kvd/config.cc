#include "config.h"

#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <numeric>
#include <set>

#include "feature_gates.h"
#include "lists.h"
#include "manual.h"
#include "server/identity.h"
#include "server/member.h"

namespace kvd {
namespace {

using kv::Code;
using kv::Result;
using kv::Status;

// The flags as they are typed; turned into a Config once all of them are known.
struct Flags {
  std::string name = "default";
  std::string data_dir;
  std::string listen_client_urls = "http://localhost:2379";
  std::string listen_peer_urls = "http://localhost:2380";
  std::string advertise_client_urls = "http://localhost:2379";
  std::string initial_advertise_peer_urls = "http://localhost:2380";
  std::string initial_cluster;
  std::string initial_cluster_token = "etcd-cluster";
  std::string initial_cluster_state = "new";
  int64_t heartbeat_interval = 100;
  int64_t election_timeout = 1000;
  bool pre_vote = true;
  bool strict_reconfig_check = true;
  uint64_t max_learners = 1;
  bool force_new_cluster = false;
  bool lease_checkpoint = true;
  uint64_t max_request_bytes = 1536 * 1024;
  uint64_t max_txn_ops = 128;
  uint64_t snapshot_count = 10'000;
  uint64_t snapshot_catchup_entries = 5'000;
  uint64_t log_cache_bytes = 64 << 20;
  uint32_t max_concurrent_streams = 4096;
  std::string auth_token = "simple";
  int64_t auth_token_ttl = 300;
  int bcrypt_cost = 10;
  int auth_min_password_length = 1;
  std::string cors = "*";
  std::string host_whitelist = "*";
  std::string watch_progress_interval = "10m";
  std::string grpc_keepalive_min_time = "5s";
  std::string grpc_keepalive_interval = "2h";
  std::string grpc_keepalive_timeout = "20s";
  std::string auto_compaction_mode = "periodic";
  std::string auto_compaction_retention = "0";
  int64_t quota_backend_bytes = 0;
  int64_t min_free_bytes = -1;
  bool initial_corrupt_check = false;
  std::string corrupt_check_time = "0";
  std::string feature_gates;
  std::string warning_apply_duration = "100ms";
  std::string log_level = "info";
  std::string log_format = "text";
  std::string config_file;
  uint64_t write_buffer_bytes = 64 << 20;
  uint64_t block_cache_bytes = 256 << 20;
  int pipeline_threads = 0;
  int io_threads = 1;
  bool unsafe_no_fsync = false;
  TlsFlags client_tls;
  TlsFlags peer_tls;
  bool peer_skip_client_san_verification = false;
  SharedTlsFlags tls;
};

Status invalid(std::string text) { return {Code::kInvalidArgument, std::move(text)}; }

std::string environment_name(const std::string& flag) {
  std::string name = "KVD_" + flag;
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

// One line a flag: its name, its default in brackets, what it does.
class HelpFormatter final : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(46); }
  std::string make_option_name(const CLI::Option* option, bool) const override {
    return "--" + option->get_lnames().front();
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string value = option->get_default_str();
    return value.empty() ? "" : " [" + value + "]";
  }
};

void declare(CLI::App& app, Flags& f) {
  const auto add = [&app](const std::string& group, const std::string& flag, auto& value, const std::string& help) {
    app.add_option("--" + flag, value, help)->group(group)->envname(environment_name(flag))->capture_default_str();
  };
  // Under an older name of etcd's too.
  const auto add_two = [&app](const std::string& group, const std::string& flag, const std::string& older, auto& value,
                              const std::string& help) {
    app.add_option("--" + flag + ",--" + older, value, help)
        ->group(group)
        ->envname(environment_name(flag))
        ->capture_default_str();
  };
  const auto add_bool = [&app](const std::string& group, const std::string& flag, bool& value,
                               const std::string& help) {
    app.add_flag("--" + flag + ",!--no-" + flag, value, help)->group(group)->envname(environment_name(flag));
  };
  add("Member", "name", f.name, "a name for people, unique in the cluster");
  add("Member", "data-dir", f.data_dir, "where everything is kept; kvd.data, or NAME.kvd when --name is given");
  add("Member", "listen-client-urls", f.listen_client_urls, "where clients are served, separated by commas");
  add("Member", "advertise-client-urls", f.advertise_client_urls,
      "what the member list tells clients; else --listen-client-urls");
  add("Member", "listen-peer-urls", f.listen_peer_urls, "where other members are listened to");
  add("Member", "config-file", f.config_file, "YAML with any of these; a flag or variable wins over it");

  add("Cluster", "initial-advertise-peer-urls", f.initial_advertise_peer_urls,
      "how the other members reach it; else --listen-peer-urls");
  add("Cluster", "initial-cluster", f.initial_cluster,
      "NAME=URL,... of every member at its start; else this one alone");
  add("Cluster", "initial-cluster-token", f.initial_cluster_token, "keeps clusters apart that have the same URLs");
  add("Cluster", "initial-cluster-state", f.initial_cluster_state,
      "new, or existing: join the cluster that was told of this member");
  add_bool("Cluster", "strict-reconfig-check", f.strict_reconfig_check,
           "refuse changes of members that would cost the quorum; on unless false");
  add("Cluster", "max-learners", f.max_learners, "learners at a time");
  add_bool("Cluster", "force-new-cluster", f.force_new_cluster,
           "make a cluster of this member alone from its data; ALL OTHERS ARE REMOVED");
  add("Cluster", "heartbeat-interval", f.heartbeat_interval, "milliseconds between a leader's heartbeats");
  add("Cluster", "election-timeout", f.election_timeout, "milliseconds of silence before an election");
  add_bool("Cluster", "pre-vote", f.pre_vote, "ask whether an election can be won first; on unless false");

  add_bool("Cluster", "experimental-enable-lease-checkpoint", f.lease_checkpoint,
           "note what leases have left for the next leader; on unless false");

  add("Cluster", "feature-gates", f.feature_gates, "etcd's names for some of these, as in InitialCorruptCheck=true");

  add("Limits", "max-request-bytes", f.max_request_bytes, "bytes of one request");
  add("Limits", "max-txn-ops", f.max_txn_ops, "operations in one transaction");
  add("Limits", "snapshot-count", f.snapshot_count,
      "log entries, of many requests each, after which the log is cut; 0: the default");
  add("Limits", "snapshot-catchup-entries", f.snapshot_catchup_entries,
      "log entries that are kept then, for members that were away for a moment");
  add("Limits", "max-concurrent-streams", f.max_concurrent_streams, "calls at a time on one connection");
  add("Limits", "experimental-watch-progress-notify-interval", f.watch_progress_interval,
      "how often an idle watcher that asks for it is told how far the store is");
  add("Limits", "grpc-keepalive-min-time", f.grpc_keepalive_min_time, "clients may not ping more often");
  add("Limits", "grpc-keepalive-interval", f.grpc_keepalive_interval, "an idle connection is pinged after");
  add("Limits", "grpc-keepalive-timeout", f.grpc_keepalive_timeout, "... and closed when no answer comes for");

  add("Guards", "quota-backend-bytes", f.quota_backend_bytes,
      "size of the state at which writes are refused (NOSPACE alarm); 0 or less: none");
  add("Guards", "min-free-bytes", f.min_free_bytes,
      "what stays free on the disk, by the same alarm; -1: 256 MiB, or 5 % of a small disk; 0: not looked at");
  add_bool("Guards", "experimental-initial-corrupt-check", f.initial_corrupt_check,
           "compare the state with the other members' before anything is served");
  add_two("Guards", "corrupt-check-time", "experimental-corrupt-check-time", f.corrupt_check_time,
          "how often the leader compares the members' states (CORRUPT alarm); 0: never");

  add("History", "auto-compaction-mode", f.auto_compaction_mode, "periodic or revision: how the retention is meant");
  add("History", "auto-compaction-retention", f.auto_compaction_retention,
      "history to keep: a duration (a lone number: hours), or a number of revisions; 0: all");

  add("Users", "auth-token", f.auth_token,
      "simple, or jwt,sign-method=RS256,priv-key=FILE,pub-key=FILE,ttl=5m (docs/operations.md)");
  add("Users", "auth-token-ttl", f.auth_token_ttl, "seconds after which a simple token that is not used ends");
  add("Users", "bcrypt-cost", f.bcrypt_cost, "4 to 31: what a password costs to compare, and to guess");
  add("Users", "auth-min-password-length", f.auth_min_password_length, "bytes of a new password, 72 at most");

  add("Web", "cors", f.cors, "origins whose web pages may read answers, separated by commas; *: all");
  add("Web", "host-whitelist", f.host_whitelist, "host names to answer for by plain HTTP, separated by commas; *: all");

  add("Client TLS", "cert-file", f.client_tls.cert_file, "certificate to serve https client URLs with");
  add("Client TLS", "key-file", f.client_tls.key_file, "its key");
  add("Client TLS", "trusted-ca-file", f.client_tls.trusted_ca_file,
      "clients must show a certificate that one of these CAs has signed");
  add_bool("Client TLS", "client-cert-auth", f.client_tls.client_cert_auth,
           "... and by gRPC, its CN is the name of the user who asks");
  add("Client TLS", "client-crl-file", f.client_tls.crl_file, "list of revoked client certificates");
  add("Client TLS", "client-cert-allowed-hostname", f.client_tls.allowed_hostname,
      "host names, separated by commas, of which a client's certificate must have one");
  add_bool("Client TLS", "auto-tls", f.client_tls.automatic, "without --cert-file: use a certificate made here");
  add("Client TLS", "client-cert-file", f.client_tls.client_cert_file, "for etcd's command lines; not used");
  add("Client TLS", "client-key-file", f.client_tls.client_key_file, "for etcd's command lines; not used");

  add("Peer TLS", "peer-cert-file", f.peer_tls.cert_file, "certificate for https peer URLs, to serve and to dial with");
  add("Peer TLS", "peer-key-file", f.peer_tls.key_file, "its key");
  add("Peer TLS", "peer-client-cert-file", f.peer_tls.client_cert_file, "certificate to dial with instead");
  add("Peer TLS", "peer-client-key-file", f.peer_tls.client_key_file, "its key");
  add("Peer TLS", "peer-trusted-ca-file", f.peer_tls.trusted_ca_file,
      "members must show a certificate that one of these CAs has signed");
  add_bool("Peer TLS", "peer-client-cert-auth", f.peer_tls.client_cert_auth, "the same; needs --peer-trusted-ca-file");
  add("Peer TLS", "peer-crl-file", f.peer_tls.crl_file, "list of revoked peer certificates");
  add("Peer TLS", "peer-cert-allowed-cn", f.peer_tls.allowed_cn,
      "CNs, separated by commas, of which a member's certificate must have one");
  add("Peer TLS", "peer-cert-allowed-hostname", f.peer_tls.allowed_hostname, "... or host names");
  add_bool("Peer TLS", "peer-skip-client-san-verification", f.peer_skip_client_san_verification,
           "a dialling member's certificate need not be for a host of its peer URLs");
  add_bool("Peer TLS", "peer-auto-tls", f.peer_tls.automatic,
           "without --peer-cert-file: use a certificate made here, and believe any other member's");

  add("TLS", "tls-min-version", f.tls.min_version, "TLS1.2 or TLS1.3");
  add("TLS", "tls-max-version", f.tls.max_version, "TLS1.2 or TLS1.3; else TLS1.3");
  add("TLS", "cipher-suites", f.tls.cipher_suites, "for TLS 1.2, by Go's or OpenSSL's names, separated by commas");
  add("TLS", "self-signed-cert-validity", f.tls.self_signed_years, "years that a certificate made here is good for");

  add("Logging", "log-level", f.log_level, "debug, info, warn or error");
  add_two("Logging", "warning-apply-duration", "experimental-warning-apply-duration", f.warning_apply_duration,
          "what takes longer to apply or to read is told in the log; 0: nothing is");
  add("Logging", "log-format", f.log_format, "text or json");

  add("Tuning", "write-buffer-bytes", f.write_buffer_bytes, "state kept in memory before it is flushed");
  add("Tuning", "block-cache-bytes", f.block_cache_bytes, "cache for state on disk");
  add("Tuning", "log-cache-bytes", f.log_cache_bytes,
      "newest log entries in memory, for members that are a little behind");
  add("Tuning", "pipeline-threads", f.pipeline_threads, "1, 3, or 0: by the number of cores");
  add("Tuning", "io-threads", f.io_threads, "threads that serve client connections");
  add_bool("Tuning", "unsafe-no-fsync", f.unsafe_no_fsync, "do not wait for the disk: a crash LOSES writes");
}

// "300ms", "5s", "2h45m", as Go writes durations; a lone 0 is one too.
Result<int64_t> parse_duration_ms(const std::string& flag, const std::string& text) {
  const auto wrong = [&] {
    return invalid("--" + flag + ": \"" + text + "\" is not a duration: write 500ms, 5s, 2m or 1h");
  };
  if (text == "0") return 0;
  double total = 0;
  std::string_view rest = text;
  if (rest.empty()) return wrong();
  while (!rest.empty()) {
    double number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc() || number < 0) return wrong();
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    const size_t unit_length = std::min(rest.find_first_of("0123456789."), rest.size());
    const std::string_view unit = rest.substr(0, unit_length);
    rest.remove_prefix(unit_length);
    if (unit == "ms")
      total += number;
    else if (unit == "s")
      total += number * 1e3;
    else if (unit == "m")
      total += number * 60e3;
    else if (unit == "h")
      total += number * 3600e3;
    else if (unit == "us" || unit == "µs")
      total += number / 1e3;
    else if (unit == "ns")
      total += number / 1e6;
    else
      return wrong();
  }
  if (total > 1e15) return wrong();
  return static_cast<int64_t>(total);
}

// As etcd reads the two flags.
Result<kv::server::AutoCompactionPolicy> parse_auto_compaction(const std::string& mode, const std::string& retention) {
  using Policy = kv::server::AutoCompactionPolicy;
  const char* const end = retention.data() + retention.size();
  int64_t number = 0;
  const auto [rest, error] = std::from_chars(retention.data(), end, number);
  const bool plain = error == std::errc() && rest == end && number >= 0;
  if (mode == "revision") {
    if (!plain) {
      return invalid("--auto-compaction-retention: \"" + retention +
                     "\" is not a number of revisions, which --auto-compaction-mode revision needs");
    }
    return Policy{Policy::Mode::kRevision, number};
  }
  if (mode != "periodic") {
    return invalid("--auto-compaction-mode must be periodic or revision, not \"" + mode + "\"");
  }
  constexpr int64_t kMaxHours = 1'000'000;
  if (plain && number <= kMaxHours) return Policy{Policy::Mode::kPeriodic, number * 3600 * 1000};
  const Result<int64_t> ms = parse_duration_ms("auto-compaction-retention", retention);
  if (!ms.ok()) return ms.status();
  if (*ms == 0 || *ms > kMaxHours * 3600 * 1000) {
    return invalid("--auto-compaction-retention: \"" + retention + "\" must be from 1ms to 1000000h, or 0 for all");
  }
  return Policy{Policy::Mode::kPeriodic, *ms};
}

std::vector<std::string> flag_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames())
      if (!name.starts_with("no-")) names.push_back(name);
  }
  return names;
}

Status unknown_flag(const CLI::App& app, const std::string& given) {
  std::string name = given.substr(0, given.find('='));
  name.erase(0, name.find_first_not_of('-'));
  const std::string meant = closest(name, flag_names(app));
  return invalid("unknown flag --" + name +
                 (meant.empty() ? "; kvd --help lists them all" : "; did you mean --" + meant + "?"));
}

// The flag that stands for a name in one of those maps.
std::string transport_flag(bool client, const std::string& name) {
  if (name == "allowed-cn" || name == "allowed-hostname") return (client ? "client-cert-" : "peer-cert-") + name;
  return (client ? "" : "peer-") + name;
}

Status set_from_file(CLI::App& app, const std::string& path, const std::string& name, const YAML::Node& node) {
  CLI::Option* option = app.get_option_no_throw("--" + name);
  if (!option || name == "config-file" || name == "help" || name == "version") {
    const Status unknown = unknown_flag(app, name);
    return invalid("--config-file: " + path + ": " + unknown.text());
  }
  if (option->count() > 0) return {};
  std::string value;
  if (node.IsSequence()) {
    for (const auto& item : node) value += (value.empty() ? "" : ",") + item.as<std::string>("");
  } else if (node.IsScalar()) {
    value = node.as<std::string>();
  } else {
    return invalid("--config-file: " + path + ": " + name + " must be a value or a list of values");
  }
  try {
    option->add_result(value);
    option->run_callback();
  } catch (const CLI::Error& e) {
    return invalid("--config-file: " + path + ": " + name + ": " + e.what());
  }
  return {};
}

// Values of a YAML file fill what neither a flag nor a variable has set.
Status read_file(CLI::App& app, const std::string& path) {
  YAML::Node root;
  try {
    root = YAML::LoadFile(path);
  } catch (const YAML::BadFile&) {
    return invalid("--config-file: cannot read " + path);
  } catch (const YAML::Exception& e) {
    return invalid("--config-file: " + path + ": " + e.what());
  }
  if (root.IsNull()) return {};
  if (!root.IsMap()) return invalid("--config-file: " + path + " must hold `flag: value` lines");
  for (const auto& entry : root) {
    const auto name = entry.first.as<std::string>("");
    // etcd's file keeps what is about TLS in two maps of their own.
    const bool client = name == "client-transport-security";
    if (entry.second.IsMap() && (client || name == "peer-transport-security")) {
      for (const auto& inner : entry.second) {
        const auto short_name = inner.first.as<std::string>("");
        KV_RETURN_IF_ERROR(set_from_file(app, path, transport_flag(client, short_name), inner.second));
      }
      continue;
    }
    KV_RETURN_IF_ERROR(set_from_file(app, path, name, entry.second));
  }
  return {};
}

bool is_wildcard(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

// The addresses that a list of URLs names, checked; "localhost" listens on 127.0.0.1.
Status listen_urls(const std::string& flag, const std::string& text, std::vector<std::string>* out) {
  const auto urls = kv::server::parse_url_list(text);
  if (!urls.ok()) return invalid("--" + flag + ": " + urls.status().text());
  out->clear();
  for (const std::string& text_url : *urls) {
    auto url = *kv::server::parse_url(text_url);
    if (url.host == "localhost") url.host = "127.0.0.1";
    out->push_back(url.scheme + "://" + url.authority());
  }
  return {};
}

// What to advertise: as given, or else the listen URLs, unless these name no address that others can reach.
Status advertised_urls(const std::string& flag, bool given, const std::string& text, const std::string& listen_flag,
                       bool listen_given, const std::string& listen_text, std::vector<std::string>* out) {
  const bool derive = !given && listen_given;
  auto urls = kv::server::parse_url_list(derive ? listen_text : text);
  if (!urls.ok()) return invalid("--" + flag + ": " + urls.status().text());
  for (const std::string& url : *urls) {
    if (derive && is_wildcard(kv::server::parse_url(url)->host))
      return invalid("--" + flag + " is needed: --" + listen_flag + " " + url +
                     " names no address that others can reach");
  }
  *out = std::move(*urls);
  return {};
}

// A gate says the same as an older flag; etcd refuses both at once, and so do we when they differ.
Status apply_gate(const CLI::App& app, const std::string& flag, std::optional<bool> gate, bool* value) {
  if (!gate) return {};
  if (app.get_option("--" + flag)->count() > 0 && *value != *gate)
    return invalid("--" + flag + " and --feature-gates say different things");
  *value = *gate;
  return {};
}

Status to_config(const CLI::App& app, Flags f, Config* config) {
  auto gates = parse_feature_gates(f.feature_gates);
  if (!gates.ok()) return gates.status();
  KV_RETURN_IF_ERROR(
      apply_gate(app, "experimental-initial-corrupt-check", gates->initial_corrupt_check, &f.initial_corrupt_check));
  KV_RETURN_IF_ERROR(
      apply_gate(app, "experimental-enable-lease-checkpoint", gates->lease_checkpoint, &f.lease_checkpoint));
  for (FeatureGate& gate : gates->all) {
    if (gate.name == "InitialCorruptCheck") gate.on = f.initial_corrupt_check;
    if (gate.name.starts_with("LeaseCheckpoint")) gate.on = f.lease_checkpoint;
  }
  config->features = std::move(gates->all);
  const auto given = [&app](const char* flag) { return app.get_option(flag)->count() > 0; };
  auto& m = config->member;
  auto& s = config->server;
  m.name = f.name;
  m.data_dir = !f.data_dir.empty() ? f.data_dir : given("--name") ? f.name + ".kvd" : "kvd.data";
  if (m.name.empty()) return invalid("--name must not be empty");

  KV_RETURN_IF_ERROR(listen_urls("listen-client-urls", f.listen_client_urls, &s.listen_urls));
  KV_RETURN_IF_ERROR(listen_urls("listen-peer-urls", f.listen_peer_urls, &m.listen_peer_urls));
  KV_RETURN_IF_ERROR(advertised_urls("advertise-client-urls", given("--advertise-client-urls"), f.advertise_client_urls,
                                     "listen-client-urls", given("--listen-client-urls"), f.listen_client_urls,
                                     &m.advertise_client_urls));
  KV_RETURN_IF_ERROR(advertised_urls("initial-advertise-peer-urls", given("--initial-advertise-peer-urls"),
                                     f.initial_advertise_peer_urls, "listen-peer-urls", given("--listen-peer-urls"),
                                     f.listen_peer_urls, &m.initial_advertise_peer_urls));
  if (!f.initial_cluster.empty()) {
    auto cluster = kv::server::parse_initial_cluster(f.initial_cluster);
    if (!cluster.ok()) return invalid("--initial-cluster: " + cluster.status().text());
    m.initial_cluster = std::move(*cluster);
  }
  auto client_tls = tls_setup("", f.client_tls, f.tls, s.listen_urls, m.advertise_client_urls);
  if (!client_tls.ok()) return client_tls.status();
  config->client_tls = std::move(*client_tls);
  config->client_tls.options.protocols = kv::api::kTlsProtocols;
  auto peer_tls = tls_setup("peer-", f.peer_tls, f.tls, m.listen_peer_urls, m.initial_advertise_peer_urls);
  if (!peer_tls.ok()) return peer_tls.status();
  config->peer_tls = std::move(*peer_tls);
  m.check_peer_names = !f.peer_skip_client_san_verification;
  m.initial_cluster_token = f.initial_cluster_token;
  if (f.initial_cluster_state != "new" && f.initial_cluster_state != "existing")
    return invalid("--initial-cluster-state must be new or existing, not \"" + f.initial_cluster_state + "\"");
  m.must_exist = f.initial_cluster_state == "existing";
  m.reconfiguration = {.strict = f.strict_reconfig_check, .max_learners = f.max_learners};
  m.force_new_cluster = f.force_new_cluster;

  if (f.heartbeat_interval < 10 || f.heartbeat_interval > 10000)
    return invalid("--heartbeat-interval must be from 10 to 10000 ms");
  if (f.election_timeout < 5 * f.heartbeat_interval)
    return invalid("--election-timeout (" + std::to_string(f.election_timeout) +
                   " ms) must be at least 5 times --heartbeat-interval (" + std::to_string(f.heartbeat_interval) +
                   " ms)");
  if (f.election_timeout > 50000) return invalid("--election-timeout must be at most 50000 ms");
  m.heartbeat_interval_ms = f.heartbeat_interval;
  m.election_timeout_ms = f.election_timeout;
  m.pre_vote = f.pre_vote;
  m.lease_checkpoints = f.lease_checkpoint;

  if (f.max_request_bytes < 1024 || f.max_request_bytes > (64u << 20))
    return invalid("--max-request-bytes must be from 1024 to 67108864");
  m.max_request_bytes = f.max_request_bytes;
  s.max_request_bytes = f.max_request_bytes + 512 * 1024;  // etcd's allowance for what gRPC adds
  m.max_txn_ops = f.max_txn_ops;
  if (f.snapshot_count > 0) m.snapshot_count = f.snapshot_count;
  m.snapshot_catchup_entries = f.snapshot_catchup_entries;
  m.log_cache_bytes = f.log_cache_bytes;
  s.max_concurrent_streams = f.max_concurrent_streams;
  if (f.auth_token_ttl < 1 || f.auth_token_ttl > 1'000'000'000)
    return invalid("--auth-token-ttl must be from 1 to 1000000000 s");
  if (f.bcrypt_cost < 4 || f.bcrypt_cost > 31) return invalid("--bcrypt-cost must be from 4 to 31");
  if (f.auth_min_password_length < 1 || f.auth_min_password_length > 72)
    return invalid("--auth-min-password-length must be from 1 to 72");
  m.auth_token = f.auth_token;
  m.auth_token_ttl_ms = f.auth_token_ttl * 1000;
  m.bcrypt_cost = f.bcrypt_cost;
  m.auth_min_password_bytes = static_cast<size_t>(f.auth_min_password_length);
  s.cors = comma_list(f.cors);
  s.host_whitelist = comma_list(f.host_whitelist);
  for (const auto& [flag, text, out] :
       {std::tuple{"experimental-watch-progress-notify-interval", &f.watch_progress_interval,
                   &m.watch_progress_interval_ms},
        std::tuple{"corrupt-check-time", &f.corrupt_check_time, &m.corrupt_check_interval_ms},
        std::tuple{"warning-apply-duration", &f.warning_apply_duration, &m.slow_call_ms},
        std::tuple{"grpc-keepalive-min-time", &f.grpc_keepalive_min_time, &s.keepalive_min_time_ms},
        std::tuple{"grpc-keepalive-interval", &f.grpc_keepalive_interval, &s.keepalive_interval_ms},
        std::tuple{"grpc-keepalive-timeout", &f.grpc_keepalive_timeout, &s.keepalive_timeout_ms}}) {
    const auto ms = parse_duration_ms(flag, *text);
    if (!ms.ok()) return ms.status();
    *out = *ms;
  }
  // 0 is etcd's word for its default; more often than this, nobody needs to know.
  if (m.watch_progress_interval_ms == 0) m.watch_progress_interval_ms = 600'000;
  m.watch_progress_interval_ms = std::max<int64_t>(m.watch_progress_interval_ms, 100);
  m.quota_bytes = f.quota_backend_bytes;
  m.min_free_bytes = f.min_free_bytes;
  m.corrupt_check_at_start = f.initial_corrupt_check;
  if (m.corrupt_check_interval_ms > 0 && m.corrupt_check_interval_ms < 100)
    return invalid("--corrupt-check-time must be 0 or at least 100ms");
  const auto auto_compaction = parse_auto_compaction(f.auto_compaction_mode, f.auto_compaction_retention);
  if (!auto_compaction.ok()) return auto_compaction.status();
  m.auto_compaction = *auto_compaction;
  if (f.log_level == "debug")
    config->log_level = kv::LogLevel::kDebug;
  else if (f.log_level == "info")
    config->log_level = kv::LogLevel::kInfo;
  else if (f.log_level == "warn")
    config->log_level = kv::LogLevel::kWarning;
  else if (f.log_level == "error")
    config->log_level = kv::LogLevel::kError;
  else
    return invalid("--log-level must be debug, info, warn or error, not \"" + f.log_level + "\"");
  if (f.log_format == "text")
    config->log_format = kv::LogFormat::kText;
  else if (f.log_format == "json")
    config->log_format = kv::LogFormat::kJson;
  else
    return invalid("--log-format must be text or json, not \"" + f.log_format + "\"");

  if (f.pipeline_threads != 0 && f.pipeline_threads != 1 && f.pipeline_threads != 3)
    return invalid("--pipeline-threads must be 0, 1 or 3");
  if (f.io_threads < 1 || f.io_threads > 64) return invalid("--io-threads must be from 1 to 64");
  m.pipeline_threads = f.pipeline_threads;
  s.io_threads = f.io_threads;
  m.write_buffer_bytes = f.write_buffer_bytes;
  m.block_cache_bytes = f.block_cache_bytes;
  m.unsafe_no_fsync = f.unsafe_no_fsync;
  return {};
}

}  // namespace

std::string closest(const std::string& wrong, const std::vector<std::string>& names) {
  const auto distance = [](const std::string& a, const std::string& b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); ++i) {
      size_t diagonal = row[0]++;
      for (size_t j = 1; j <= b.size(); ++j) {
        const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
      }
    }
    return row[b.size()];
  };
  std::string best;
  size_t best_distance = std::max<size_t>(2, wrong.size() / 3) + 1;
  for (const std::string& name : names) {
    if (const size_t d = distance(wrong, name); d < best_distance) {
      best = name;
      best_distance = d;
    }
  }
  return best;
}

Result<Parsed> parse(int argc, const char* const* argv) {
  Flags flags;
  CLI::App app("kvd: a replicated key-value store that speaks etcd's API", "kvd");
  app.footer(
      "Every flag can also be a variable: --data-dir is KVD_DATA_DIR. Without any flag, kvd is a single\n"
      "member on 127.0.0.1:2379 that keeps its data in ./kvd.data.");
  app.set_version_flag("--version", "kvd " KVD_VERSION " (etcd API " + std::string(kv::server::kServerVersion) + ")");
  app.allow_extras();
  app.formatter(std::make_shared<HelpFormatter>());
  declare(app, flags);
  // What the build asks; who has kvd installed has the page beside it.
  if (argc == 2 && std::string_view(argv[1]) == "__man") {
    return Parsed{.what = Parsed::What::kPrintAndExit, .text = manual(app)};
  }

  // Go's flags, which etcd's users know, may begin with one dash or two.
  std::vector<std::string> arguments;
  for (int i = argc - 1; i > 0; --i) {
    std::string argument = argv[i];
    if (argument.size() > 2 && argument[0] == '-' && argument[1] != '-') argument.insert(0, "-");
    arguments.push_back(std::move(argument));
  }
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    return Parsed{.what = Parsed::What::kPrintAndExit, .text = app.help()};
  } catch (const CLI::CallForVersion& e) {
    return Parsed{.what = Parsed::What::kPrintAndExit, .text = std::string(e.what()) + "\n"};
  } catch (const CLI::Error& e) {
    return invalid(e.what());
  }
  for (const std::string& extra : app.remaining()) {
    if (extra.starts_with("-")) return unknown_flag(app, extra);
    return invalid("\"" + extra + "\" is not a flag; kvd takes no other arguments");
  }
  if (!flags.config_file.empty()) KV_RETURN_IF_ERROR(read_file(app, flags.config_file));
  Parsed parsed;
  KV_RETURN_IF_ERROR(to_config(app, flags, &parsed.config));
  return parsed;
}

}  // namespace kvd
