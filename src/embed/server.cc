#include "embed/server.h"

#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "embed/port_reservation.h"
#include "embed/serving_member.h"
#include "server/identity.h"
#include "tls/context.h"

namespace kv::embed {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int64_t kDrainMs = 300;     // calls in flight may end
constexpr int64_t kHandOverMs = 500;  // leadership may move
constexpr milliseconds kLook{5};      // how often the leader is looked for

Status invalid(std::string text) { return {Code::kInvalidArgument, std::move(text)}; }

// A directory that goes away with this object, unless it is empty-named.
class TemporaryDirectory {
 public:
  TemporaryDirectory() = default;
  ~TemporaryDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  Status make() {
    std::error_code error;
    const auto where = std::filesystem::temp_directory_path(error);
    std::string path = (error ? std::filesystem::path("/tmp") : where) / "kvd-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) return {Code::kUnavailable, "can't make a directory like " + path};
    path_ = std::move(path);
    return {};
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_{};
};

// Puts a free port in the place of port 0, and holds it.
Status choose_port(std::string& url, std::vector<PortReservation>& held) {
  auto parsed = server::parse_url(url);
  if (!parsed.ok()) return parsed.status();
  if (parsed->port != 0) return {};
  auto port = PortReservation::any(parsed->host);
  if (!port.ok()) return port.status();
  parsed->port = port->port();
  url = parsed->scheme + "://" + parsed->authority();
  held.push_back(*std::move(port));
  return {};
}

Result<std::shared_ptr<tls::Context>> tls_of(const ServerTls& tls, const std::string& url, const std::string& what) {
  if (!url.starts_with("https://")) return std::shared_ptr<tls::Context>();
  if (tls.cert_file.empty() || tls.key_file.empty()) {
    return invalid("\"" + url + "\" needs a certificate and its key (ServerOptions::" + what + "_tls)");
  }
  tls::Options options;
  options.cert_file = tls.cert_file;
  options.key_file = tls.key_file;
  options.trusted_ca_file = tls.trusted_ca_file;
  options.client_cert_auth = tls.client_cert_auth;
  if (what == "client") options.protocols = api::kTlsProtocols;
  return tls::Context::create(options, what);
}

server::MemberOptions member_options(const ServerOptions& from) {
  server::MemberOptions to;
  to.name = from.name;
  to.data_dir = from.data_dir;
  to.listen_peer_urls = to.initial_advertise_peer_urls = {from.peer_url};
  to.advertise_client_urls = {from.client_url};
  to.initial_cluster = from.initial_cluster;
  if (to.initial_cluster.empty()) to.initial_cluster = {{from.name, {from.peer_url}}};
  to.must_exist = from.join_existing;
  to.heartbeat_interval_ms = from.heartbeat_interval_ms;
  to.election_timeout_ms = from.election_timeout_ms;
  to.write_buffer_bytes = from.write_buffer_bytes;
  to.block_cache_bytes = from.block_cache_bytes;
  to.auth_token_ttl_ms = from.auth_token_ttl_ms;
  to.bcrypt_cost = from.bcrypt_cost;
  to.unsafe_no_fsync = from.unsafe_no_fsync;
  return to;
}

}  // namespace

struct Server::Parts {
  TemporaryDirectory directory{};

  mutable std::mutex mutex{};  // guards the two below
  std::optional<Status> failure{};
  bool stopped = false;

  // Uses all above, from its threads.
  std::unique_ptr<ServingMember> serving{};
};

Server::Server(ServerOptions options, std::unique_ptr<Parts> parts)
    : options_(std::move(options)), parts_(std::move(parts)) {}

Server::~Server() { stop(); }

Result<std::unique_ptr<Server>> Server::start(ServerOptions options) {
  auto parts = std::make_unique<Parts>();
  if (options.data_dir.empty()) {
    KV_RETURN_IF_ERROR(parts->directory.make());
    options.data_dir = parts->directory.path();
  }
  std::vector<PortReservation> held;  // until both ports are listened on
  KV_RETURN_IF_ERROR(choose_port(options.client_url, held));
  KV_RETURN_IF_ERROR(choose_port(options.peer_url, held));

  server::MemberOptions member = member_options(options);
  auto peer_tls = tls_of(options.peer_tls, options.peer_url, "peer");
  if (!peer_tls.ok()) return peer_tls.status();
  member.peer_tls = *std::move(peer_tls);
  api::ServerOptions doors;
  doors.listen_urls = {options.client_url};
  auto client_tls = tls_of(options.client_tls, options.client_url, "client");
  if (!client_tls.ok()) return client_tls.status();
  doors.tls = *std::move(client_tls);

  // The member has its own threads before it has a Server: what it reports goes to the parts.
  auto failed = [parts = parts.get(), tell = options.on_failed](const Status& status) {
    {
      const std::lock_guard lock(parts->mutex);
      if (parts->failure) return;
      parts->failure = status;
    }
    if (tell) tell(status);
  };
  auto serving = ServingMember::start(member, doors, std::move(failed));
  if (!serving.ok()) return serving.status();
  parts->serving = *std::move(serving);

  const auto ready_timeout = options.ready_timeout;
  std::unique_ptr<Server> server(new Server(std::move(options), std::move(parts)));
  server->id_ = server->parts_->serving->member().id();
  if (ready_timeout.count() > 0) KV_RETURN_IF_ERROR(server->wait_ready(ready_timeout));
  return server;
}

Result<std::vector<std::unique_ptr<Server>>> Server::start_cluster(size_t members, const ServerOptions& options) {
  if (members == 0) return invalid("a cluster needs a member");
  std::vector<PortReservation> held;
  std::vector<ServerOptions> each(members, options);
  std::map<std::string, std::vector<std::string>> cluster;
  for (size_t i = 0; i < members; ++i) {
    ServerOptions& one = each[i];
    one.name = options.name + std::to_string(i + 1);
    if (!options.data_dir.empty()) one.data_dir = options.data_dir + "/" + one.name;
    one.peer_url = "http://127.0.0.1:0";
    if (options.peer_url.starts_with("https://")) one.peer_url = "https://127.0.0.1:0";
    KV_RETURN_IF_ERROR(choose_port(one.peer_url, held));
    cluster[one.name] = {one.peer_url};
  }
  std::vector<std::unique_ptr<Server>> servers;
  for (ServerOptions& one : each) {
    one.initial_cluster = cluster;
    one.ready_timeout = milliseconds(0);
    auto server = start(std::move(one));
    if (!server.ok()) return server.status();
    servers.push_back(*std::move(server));
  }
  for (const auto& server : servers) {
    if (options.ready_timeout.count() > 0) KV_RETURN_IF_ERROR(server->wait_ready(options.ready_timeout));
  }
  return servers;
}

void Server::stop() {
  {
    const std::lock_guard lock(parts_->mutex);
    if (std::exchange(parts_->stopped, true)) return;
  }
  parts_->serving->stop(kDrainMs, kHandOverMs);
}

uint64_t Server::leader() const {
  {
    const std::lock_guard lock(parts_->mutex);
    if (parts_->stopped) return 0;
  }
  return parts_->serving->member().leader();
}

Status Server::wait_ready(milliseconds timeout) const {
  const auto deadline = steady_clock::now() + timeout;
  while (leader() == 0) {
    if (const auto why = failure()) return *why;
    if (steady_clock::now() >= deadline) {
      return {Code::kDeadlineExceeded,
              "member " + options_.name + " knew of no leader for " + std::to_string(timeout.count()) + " ms"};
    }
    std::this_thread::sleep_for(kLook);
  }
  return {};
}

std::optional<Status> Server::failure() const {
  const std::lock_guard lock(parts_->mutex);
  return parts_->failure;
}

}  // namespace kv::embed
