#include "client/calls.h"

#include <thread>
#include <utility>

namespace kv::client {
namespace {

namespace pb = etcdserverpb;
using std::chrono::steady_clock;

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

}  // namespace

void set_deadline(grpc::ClientContext& context, SteadyTime deadline) {
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::duration_cast<std::chrono::microseconds>(deadline - steady_clock::now()));
}

void put_token(grpc::ClientContext& context, const std::string& token) {
  if (!token.empty()) context.AddMetadata("token", token);
}

Status to_status(const grpc::Status& from) {
  if (from.ok()) return {};
  return Status(static_cast<Code>(from.error_code()), from.error_message());
}

bool token_refused(const Status& status) {
  return status.text() == "etcdserver: invalid auth token" || status.text() == "etcdserver: user name is empty" ||
         status.text() == "etcdserver: revision of auth store is old";
}

Calls::Calls(ClientOptions options, Dialer dialer, std::vector<std::unique_ptr<Endpoint>> endpoints)
    : options_(std::move(options)),
      dialer_(std::move(dialer)),
      endpoints_(std::move(endpoints), options_.dial_timeout),
      token_(options_.token),
      random_(static_cast<uint64_t>(steady_clock::now().time_since_epoch().count())) {}

SteadyTime Calls::deadline_of(const CallOptions& call) const {
  return steady_clock::now() + (call.timeout.count() > 0 ? call.timeout : options_.call_timeout);
}

bool Calls::try_again(History& history, const Status& status, Endpoint& endpoint, bool elsewhere) {
  // A repetition that the deadline cuts off says less than what a server answered before.
  const bool cut_off = status.code() == Code::kDeadlineExceeded && history.repeat == Repeat::kSafe;
  if (cut_off && history.last.text().starts_with("etcdserver: ")) return false;
  history.last = explained(status, endpoint, history.repeat);
  if (status.ok()) return false;
  if (token_refused(status) && !options_.user.empty() && !std::exchange(history.logged_in_again, true)) {
    forget_token();
    return true;
  }
  if (!may_retry(status, history.repeat, elsewhere ? endpoints_.size() : 1)) return false;
  endpoints_.move_on_from(&endpoint);
  return true;
}

Status Calls::unreachable(const History& history, const Status& unreachable) {
  if (history.last.ok()) return unreachable;
  // A server's answer to the first attempt says more than the failure to find somebody for the second.
  if (history.last.text().starts_with("etcdserver: ")) return history.last;
  // A connection that broke is only half of why there is no answer: the other half is that no other came about.
  return Status(unreachable.code(), unreachable.text() + "; before that " + history.last.text());
}

bool Calls::try_login_again(History& history, const Status& status, Endpoint& endpoint) {
  history.last = explained(status, endpoint, Repeat::kSafe);
  if (!may_retry(status, Repeat::kSafe, endpoints_.size())) return false;
  endpoints_.move_on_from(&endpoint);
  return true;
}

Status Calls::run(Repeat repeat, const CallOptions& call, const Attempt& attempt, Endpoint* only) {
  const SteadyTime deadline = deadline_of(call);
  History history{.repeat = repeat};
  for (size_t n = 0; n < kAttemptsMax; ++n) {
    if (!pause_before(n, deadline)) break;
    auto endpoint = choose(only, deadline);
    if (!endpoint.ok()) return unreachable(history, endpoint.status());

    grpc::ClientContext context;
    if (const Status s = authorise(**endpoint, context, deadline); !s.ok()) {
      if (!try_login_again(history, s, **endpoint)) break;
      continue;
    }
    set_deadline(context, deadline);
    if (!try_again(history, to_status(attempt(**endpoint, context)), **endpoint, only == nullptr)) break;
  }
  return history.last;
}

Status Calls::run_on(std::string_view name, const CallOptions& call, const Attempt& attempt) {
  if (Endpoint* known = endpoints_.find(name)) return run(Repeat::kSafe, call, attempt, known);
  auto stranger = dialer_.dial(name);
  if (!stranger.ok()) return stranger.status();
  return run(Repeat::kSafe, call, attempt, stranger->get());
}

std::chrono::microseconds Calls::pause(size_t attempt) {
  const std::lock_guard lock(mutex_);
  return retry_pause(attempt, endpoints_.size(), random_);
}

// False when the deadline comes first.
bool Calls::pause_before(size_t attempt, SteadyTime deadline) {
  const std::chrono::microseconds wait = pause(attempt);
  if (wait.count() == 0) return true;
  if (steady_clock::now() + wait >= deadline) return false;
  std::this_thread::sleep_for(wait);
  return true;
}

Result<Endpoint*> Calls::choose(Endpoint* only, SteadyTime deadline) {
  if (only == nullptr) return endpoints_.pick(deadline);
  KV_RETURN_IF_ERROR(endpoints_.connect(only, deadline));
  return only;
}

Status Calls::authorise(Endpoint& endpoint, grpc::ClientContext& context, SteadyTime deadline, std::stop_token stop) {
  auto known = token();
  if (!known) {
    grpc::ClientContext login_context;
    set_deadline(login_context, deadline);
    const std::stop_callback cancel(std::move(stop), [&] { login_context.TryCancel(); });
    pb::AuthenticateResponse response;
    const Status status = to_status(endpoint.auth->Authenticate(&login_context, login(), &response));
    auto got = logged_in(status, std::move(response));
    if (!got.ok()) return got.status();
    known = *std::move(got);
  }
  put_token(context, *known);
  return {};
}

std::optional<std::string> Calls::token() {
  const std::lock_guard lock(mutex_);
  if (token_.empty() && !options_.user.empty()) return std::nullopt;
  return token_;
}

pb::AuthenticateRequest Calls::login() const {
  pb::AuthenticateRequest request;
  request.set_name(options_.user);
  request.set_password(options_.password);
  return request;
}

Result<std::string> Calls::logged_in(const Status& status, pb::AuthenticateResponse&& response) {
  // A cluster without authentication serves everybody; etcd's own client goes on likewise.
  if (status.text() == "etcdserver: authentication is not enabled") return std::string();
  if (!status.ok()) return status;
  const std::lock_guard lock(mutex_);
  token_ = response.token();
  return token_;
}

void Calls::forget_token() {
  const std::lock_guard lock(mutex_);
  token_.clear();
}

}  // namespace kv::client
