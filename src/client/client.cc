#include "client/client.h"

#include <algorithm>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "base/random.h"
#include "client/convert.h"
#include "client/endpoints.h"
#include "client/retry.h"

namespace kv::client {
namespace {

namespace pb = etcdserverpb;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

Status to_status(const grpc::Status& from) {
  if (from.ok()) return {};
  return Status(static_cast<Code>(from.error_code()), from.error_message());
}

// A status of gRPC's own making, in words that say more than "Socket closed". The server's own texts stay as they are:
// programs compare them.
Status explained(Status status, const Endpoint& endpoint, Repeat repeat) {
  if (status.text().starts_with("etcdserver: ")) return status;
  if (status.code() == Code::kDeadlineExceeded) return Status(status.code(), "context deadline exceeded");
  if (status.code() != Code::kUnavailable) return status;
  std::string text = endpoint.name + ": " + status.text();
  if (repeat == Repeat::kUnsafe) text += "; the request may or may not have been carried out";
  return Status(status.code(), std::move(text));
}

bool token_refused(const Status& status) {
  return status.text() == "etcdserver: invalid auth token" || status.text() == "etcdserver: user name is empty" ||
         status.text() == "etcdserver: revision of auth store is old";
}

}  // namespace

// Endpoints and who we are to them; and the one loop through which every call goes.
class Client::Session {
 public:
  Session(ClientOptions options, Dialer dialer, std::vector<std::unique_ptr<Endpoint>> endpoints)
      : options_(std::move(options)),
        dialer_(std::move(dialer)),
        endpoints_(std::move(endpoints), options_.dial_timeout),
        token_(options_.token),
        random_(static_cast<uint64_t>(steady_clock::now().time_since_epoch().count())) {}

  using Attempt = std::function<grpc::Status(Endpoint&, grpc::ClientContext&)>;

  // Runs `attempt` on some endpoint, or on `only`, and again where retry.h allows.
  Status run(Repeat repeat, const CallOptions& call, const Attempt& attempt, Endpoint* only = nullptr) {
    const SteadyTime deadline = steady_clock::now() + (call.timeout.count() > 0 ? call.timeout : options_.call_timeout);
    Status last;
    bool logged_in_again = false;
    for (size_t n = 0; n < kAttemptsMax; ++n) {
      if (!pause_before(n, deadline)) return last;
      auto endpoint = choose(only, deadline);
      // When the first attempt got an answer, that says more than the failure to find somebody for the second.
      if (!endpoint.ok()) return n == 0 ? endpoint.status() : last;

      grpc::ClientContext context;
      if (Status s = authorise(**endpoint, context, deadline); !s.ok()) return s;
      set_deadline(context, deadline);
      const Status status = to_status(attempt(**endpoint, context));
      if (status.ok()) return status;
      last = explained(status, **endpoint, repeat);
      if (token_refused(status) && !options_.user.empty() && !logged_in_again) {
        logged_in_again = true;
        forget_token();
        continue;
      }
      if (!may_retry(status, repeat, only != nullptr ? 1 : endpoints_.size())) return last;
      endpoints_.move_on_from(*endpoint);
    }
    return last;
  }

  // As run(), for a call to the member at `name`.
  Status run_on(std::string_view name, const CallOptions& call, const Attempt& attempt) {
    if (Endpoint* known = endpoints_.find(name)) return run(Repeat::kSafe, call, attempt, known);
    auto stranger = dialer_.dial(name);
    if (!stranger.ok()) return stranger.status();
    return run(Repeat::kSafe, call, attempt, stranger->get());
  }

  const std::vector<std::string>& endpoint_names() const { return options_.endpoints; }

 private:
  static void set_deadline(grpc::ClientContext& context, SteadyTime deadline) {
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::duration_cast<std::chrono::microseconds>(deadline - steady_clock::now()));
  }

  // False when the deadline comes first.
  bool pause_before(size_t attempt, SteadyTime deadline) {
    std::chrono::microseconds pause;
    {
      const std::lock_guard lock(mutex_);
      pause = retry_pause(attempt, endpoints_.size(), random_);
    }
    if (pause.count() == 0) return true;
    if (steady_clock::now() + pause >= deadline) return false;
    std::this_thread::sleep_for(pause);
    return true;
  }

  Result<Endpoint*> choose(Endpoint* only, SteadyTime deadline) {
    if (only == nullptr) return endpoints_.pick(deadline);
    KV_RETURN_IF_ERROR(endpoints_.connect(only, deadline));
    return only;
  }

  // Puts the token into the call, and gets one first when there is a user and none yet.
  Status authorise(Endpoint& endpoint, grpc::ClientContext& context, SteadyTime deadline) {
    std::string token;
    {
      const std::lock_guard lock(mutex_);
      token = token_;
    }
    if (token.empty() && !options_.user.empty()) {
      grpc::ClientContext login;
      set_deadline(login, deadline);
      pb::AuthenticateRequest request;
      request.set_name(options_.user);
      request.set_password(options_.password);
      pb::AuthenticateResponse response;
      const Status status = to_status(endpoint.auth->Authenticate(&login, request, &response));
      // A cluster without authentication serves everybody; etcd's own client goes on likewise.
      if (status.text() == "etcdserver: authentication is not enabled") return {};
      if (!status.ok()) return explained(status, endpoint, Repeat::kSafe);
      token = response.token();
      const std::lock_guard lock(mutex_);
      token_ = token;
    }
    if (!token.empty()) context.AddMetadata("token", token);
    return {};
  }

  void forget_token() {
    const std::lock_guard lock(mutex_);
    token_.clear();
  }

  const ClientOptions options_;
  const Dialer dialer_;
  EndpointSet endpoints_;
  std::mutex mutex_;   // guards the two below
  std::string token_;  // empty: none
  Random random_;
};

Result<std::unique_ptr<Client>> Client::create(ClientOptions options) {
  if (options.endpoints.empty()) return Status(Code::kInvalidArgument, "a client needs at least one endpoint");
  auto dialer = Dialer::create(options);
  if (!dialer.ok()) return dialer.status();
  std::vector<std::unique_ptr<Endpoint>> endpoints;
  for (const auto& name : options.endpoints) {
    auto endpoint = dialer->dial(name);
    if (!endpoint.ok()) return endpoint.status();
    endpoints.push_back(*std::move(endpoint));
  }
  auto session = std::make_unique<Session>(std::move(options), *std::move(dialer), std::move(endpoints));
  return std::unique_ptr<Client>(new Client(std::move(session)));
}

Client::Client(std::unique_ptr<Session> session) : session_(std::move(session)) {}
Client::~Client() = default;

const std::vector<std::string>& Client::endpoints() const { return session_->endpoint_names(); }

Result<GetResponse> Client::get(std::string_view key, const GetOptions& options, const CallOptions& call) {
  const auto request = to_proto(key, options);
  pb::RangeResponse response;
  KV_RETURN_IF_ERROR(session_->run(Repeat::kSafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.kv->Range(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<PutResponse> Client::put(std::string_view key, std::string_view value, const PutOptions& options,
                                const CallOptions& call) {
  const auto request = to_proto(key, value, options);
  pb::PutResponse response;
  KV_RETURN_IF_ERROR(session_->run(Repeat::kUnsafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.kv->Put(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<RemoveResponse> Client::remove(std::string_view key, const RemoveOptions& options, const CallOptions& call) {
  const auto request = to_proto(key, options);
  pb::DeleteRangeResponse response;
  KV_RETURN_IF_ERROR(session_->run(Repeat::kUnsafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.kv->DeleteRange(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<TxnResponse> Client::commit(const Txn& txn, const CallOptions& call) {
  const auto request = to_proto(txn);
  const Repeat repeat = txn.read_only() ? Repeat::kSafe : Repeat::kUnsafe;
  pb::TxnResponse response;
  KV_RETURN_IF_ERROR(session_->run(repeat, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.kv->Txn(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<CompactResponse> Client::compact(int64_t revision, const CompactOptions& options, const CallOptions& call) {
  pb::CompactionRequest request;
  request.set_revision(revision);
  request.set_physical(options.physical);
  pb::CompactionResponse response;
  KV_RETURN_IF_ERROR(session_->run(Repeat::kUnsafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.kv->Compact(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<MemberListResponse> Client::member_list(const MemberListOptions& options, const CallOptions& call) {
  pb::MemberListRequest request;
  request.set_linearizable(!options.serializable);
  pb::MemberListResponse response;
  KV_RETURN_IF_ERROR(session_->run(Repeat::kSafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.cluster->MemberList(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<AlarmListResponse> Client::alarm_list(const CallOptions& call) {
  pb::AlarmRequest request;
  request.set_action(pb::AlarmRequest::GET);
  pb::AlarmResponse response;
  KV_RETURN_IF_ERROR(session_->run(Repeat::kSafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.maintenance->Alarm(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<MemberStatus> Client::status(std::string_view endpoint, const CallOptions& call) {
  pb::StatusResponse response;
  KV_RETURN_IF_ERROR(session_->run_on(endpoint, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.maintenance->Status(&context, {}, &response);
  }));
  return from_proto(std::move(response));
}

Result<HashKvResponse> Client::hash_kv(std::string_view endpoint, int64_t revision, const CallOptions& call) {
  pb::HashKVRequest request;
  request.set_revision(revision);
  pb::HashKVResponse response;
  KV_RETURN_IF_ERROR(session_->run_on(endpoint, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.maintenance->HashKV(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

}  // namespace kv::client
