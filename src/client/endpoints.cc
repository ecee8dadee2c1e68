#include "client/endpoints.h"

#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "client/address.h"

namespace kv::client {
namespace {

using std::chrono::milliseconds;

// While one endpoint doesn't answer at all, the next is tried beside it after this long.
constexpr milliseconds kHeadStart{200};
// Go's gRPC takes no shorter keep-alive time, and servers are set up for that.
constexpr milliseconds kKeepaliveTimeMin{10'000};

Result<std::string> read_file(const std::string& path, std::string_view what) {
  if (path.empty()) return std::string();
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in.is_open() || in.bad() || text.empty()) {
    return Status(Code::kInvalidArgument, "can't read the " + std::string(what) + " from \"" + path + "\"");
  }
  return text;
}

std::shared_ptr<grpc::ChannelCredentials> unverified_tls(const std::string& cert, const std::string& key) {
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  options.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  if (!cert.empty()) {
    options.set_certificate_provider(std::make_shared<grpc::experimental::StaticDataCertificateProvider>(
        std::vector{grpc::experimental::IdentityKeyCertPair{key, cert}}));
    options.watch_identity_key_cert_pairs();
  }
  return grpc::experimental::TlsCredentials(options);
}

bool any_set(const TlsOptions& tls) {
  return tls.always || !tls.ca_file.empty() || !tls.cert_file.empty() || !tls.key_file.empty() ||
         !tls.server_name.empty() || tls.insecure_skip_verify;
}

grpc::ChannelArguments channel_arguments(const ClientOptions& options) {
  const auto ms = [](milliseconds d) { return static_cast<int>(std::clamp<int64_t>(d.count(), 1, INT32_MAX)); };
  const auto bytes = [](size_t n) { return static_cast<int>(std::min<size_t>(n, INT32_MAX)); };
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, bytes(options.send_bytes_max));
  args.SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, bytes(options.receive_bytes_max));
  if (!options.read_ahead) args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  if (options.keepalive_time.count() > 0) {
    const milliseconds time = std::max(options.keepalive_time, kKeepaliveTimeMin);
    args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, ms(time));
    args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, ms(options.keepalive_timeout));
    // Without these two gRPC's core holds the pings of a silent connection back for five minutes.
    args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    args.SetInt(GRPC_ARG_HTTP2_MIN_SENT_PING_INTERVAL_WITHOUT_DATA_MS, ms(time));
  }
  // An endpoint that comes back is to be found soon, and one that is gone not to be hammered.
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, ms(std::max(options.dial_timeout, milliseconds(1000))));
  // Two clients in one process share no connection and so no failure; endpoints are dialled as they are written, past
  // any proxy that the environment names for the web.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  return args;
}

// Why `endpoint` can't be reached, from a call that fails at once because there is no connection. A read, in case
// that there is one by now.
std::string unreachable_because(Endpoint& endpoint) {
  if (endpoint.channel->GetState(false) != GRPC_CHANNEL_TRANSIENT_FAILURE) return "no answer";
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + milliseconds(100));
  etcdserverpb::StatusResponse response;
  const std::string text = endpoint.maintenance->Status(&context, {}, &response).error_message();
  for (const std::string_view lead : {"Failed to connect to remote host: ", "last error: UNKNOWN: ", "last error: "}) {
    if (const size_t at = text.rfind(lead); at != text.npos) return text.substr(at + lead.size());
  }
  return text.empty() ? "no answer" : text;
}

Status unreachable(std::span<Endpoint* const> endpoints, milliseconds waited) {
  std::string text = endpoints.size() == 1 ? "endpoint " : "no endpoint can be reached: ";
  for (size_t i = 0; i < endpoints.size(); ++i) {
    if (i > 0) text += ", ";
    text += endpoints[i]->name;
    if (endpoints.size() == 1) text += " can't be reached";
    text += " (" + unreachable_because(*endpoints[i]) + ")";
  }
  return Status(Code::kUnavailable, text + ", tried for " + std::to_string(waited.count()) + " ms");
}

}  // namespace

Result<Dialer> Dialer::create(const ClientOptions& options) {
  Dialer dialer(options);
  const TlsOptions& tls = options.tls;
  if (tls.cert_file.empty() != tls.key_file.empty()) {
    return Status(Code::kInvalidArgument, "a certificate and its key go together: give both or neither");
  }
  struct {
    const std::string& path;
    std::string_view what;
    std::string& to;
  } const files[] = {{tls.ca_file, "CA certificates", dialer.ca_pem_},
                     {tls.cert_file, "client certificate", dialer.cert_pem_},
                     {tls.key_file, "client key", dialer.key_pem_}};
  for (const auto& file : files) {
    auto text = read_file(file.path, file.what);
    if (!text.ok()) return text.status();
    file.to = *std::move(text);
  }
  return dialer;
}

Result<std::unique_ptr<Endpoint>> Dialer::dial(std::string_view name) const {
  auto address = parse_address(name);
  if (!address.ok()) return address.status();

  const bool tls =
      address->security == Security::kTls || (address->security == Security::kAsOptioned && any_set(options_.tls));
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (!tls) {
    credentials = grpc::InsecureChannelCredentials();
  } else if (options_.tls.insecure_skip_verify) {
    credentials = unverified_tls(cert_pem_, key_pem_);
  } else {
    credentials = grpc::SslCredentials({ca_pem_, key_pem_, cert_pem_});
  }
  grpc::ChannelArguments args = channel_arguments(options_);
  if (!address->authority.empty()) args.SetString(GRPC_ARG_DEFAULT_AUTHORITY, address->authority);
  if (tls && !options_.tls.server_name.empty()) args.SetSslTargetNameOverride(options_.tls.server_name);

  auto endpoint = std::make_unique<Endpoint>();
  endpoint->name = std::string(name);
  endpoint->channel = grpc::CreateCustomChannel(address->target, credentials, args);
  endpoint->kv = etcdserverpb::KV::NewStub(endpoint->channel);
  endpoint->watch = etcdserverpb::Watch::NewStub(endpoint->channel);
  endpoint->lease = etcdserverpb::Lease::NewStub(endpoint->channel);
  endpoint->cluster = etcdserverpb::Cluster::NewStub(endpoint->channel);
  endpoint->maintenance = etcdserverpb::Maintenance::NewStub(endpoint->channel);
  endpoint->auth = etcdserverpb::Auth::NewStub(endpoint->channel);
  return endpoint;
}

EndpointSet::EndpointSet(std::vector<std::unique_ptr<Endpoint>> endpoints, milliseconds dial_timeout)
    : endpoints_(std::move(endpoints)), dial_timeout_(dial_timeout) {
  KV_CHECK(!endpoints_.empty(), "a client needs an endpoint");
}

Endpoint* EndpointSet::ready() const {
  // The usual case costs one look and no allocation.
  Endpoint* const preferred = endpoints_[preferred_.load(std::memory_order_relaxed)].get();
  return preferred->channel->GetState(true) == GRPC_CHANNEL_READY ? preferred : nullptr;
}

Connecting EndpointSet::connecting() const {
  const size_t first = preferred_.load(std::memory_order_relaxed);
  std::vector<Endpoint*> order;
  for (size_t i = 0; i < endpoints_.size(); ++i) order.push_back(endpoints_[(first + i) % endpoints_.size()].get());
  return Connecting(std::move(order));
}

void EndpointSet::prefer(const Endpoint* endpoint) {
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    if (endpoints_[i].get() == endpoint) preferred_.store(i, std::memory_order_relaxed);
  }
}

Result<Endpoint*> EndpointSet::pick(SteadyTime deadline, std::stop_token stop) {
  if (Endpoint* const preferred = ready()) return preferred;
  auto picked = first_connected(connecting(), deadline, std::move(stop));
  if (picked.ok()) prefer(*picked);
  return picked;
}

void EndpointSet::move_on_from(const Endpoint* endpoint) {
  // Only the first of many calls that fail on one endpoint moves the choice; the others find it moved.
  size_t current = preferred_.load(std::memory_order_relaxed);
  if (endpoints_[current].get() != endpoint) return;
  preferred_.compare_exchange_strong(current, (current + 1) % endpoints_.size(), std::memory_order_relaxed);
}

Endpoint* EndpointSet::find(std::string_view name) const {
  for (const auto& endpoint : endpoints_) {
    if (endpoint->name == name) return endpoint.get();
  }
  return nullptr;
}

Status EndpointSet::connect(Endpoint* endpoint, SteadyTime deadline) const {
  return first_connected(Connecting({endpoint}), deadline).status();
}

Result<Endpoint*> EndpointSet::first_connected(Connecting connecting, SteadyTime deadline, std::stop_token stop) const {
  const SteadyTime give_up = std::min(deadline, std::chrono::steady_clock::now() + dial_timeout_);
  for (;;) {
    if (Endpoint* const connected = connecting.step()) return connected;
    const SteadyTime now = std::chrono::steady_clock::now();
    if (now >= give_up || stop.stop_requested()) return connecting.unreachable();
    // gRPC has no wait for "any of these".
    const auto look = std::min<std::chrono::nanoseconds>(Connecting::kLook, give_up - now);
    connecting.waiting_for()->channel->WaitForStateChange(
        connecting.seen(),
        std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::microseconds>(look));
  }
}

Connecting::Connecting(std::vector<Endpoint*> order)
    : order_(std::move(order)), begin_(std::chrono::steady_clock::now()), next_start_(begin_ + kHeadStart) {}

Endpoint* Connecting::step() {
  for (;;) {
    waiting_for_ = nullptr;
    const SteadyTime now = std::chrono::steady_clock::now();
    for (size_t i = 0; i < started_; ++i) {
      const auto state = order_[i]->channel->GetState(true);
      if (state == GRPC_CHANNEL_READY) return order_[i];
      const bool failed = state == GRPC_CHANNEL_TRANSIENT_FAILURE;
      if (failed && i + 1 == started_ && started_ < order_.size()) {
        ++started_;
        next_start_ = now + kHeadStart;
      }
      if (waiting_for_ == nullptr || !failed) {
        waiting_for_ = order_[i];
        seen_ = state;
      }
    }
    if (now < next_start_ || started_ == order_.size()) return nullptr;
    ++started_;
    next_start_ = now + kHeadStart;
  }
}

Status Connecting::unreachable() const {
  const auto waited = std::chrono::steady_clock::now() - begin_;
  return kv::client::unreachable(order_, std::chrono::duration_cast<milliseconds>(waited));
}

}  // namespace kv::client
