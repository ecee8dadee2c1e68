#include "server/authorizer.h"

#include <utility>

#include "store/auth_errors.h"

namespace kv::server {
namespace {

// As etcd takes it from HTTP's Authorization.
std::string_view bare(std::string_view token) {
  constexpr std::string_view kBearer = "Bearer ";
  return token.starts_with(kBearer) ? token.substr(kBearer.size()) : token;
}

}  // namespace

Result<std::unique_ptr<Authorizer>> Authorizer::make(const TokenOptions& options, const store::Store& store,
                                                     const Clock& clock, Confirm confirm, BasicLogins::Prove prove,
                                                     BasicLogins::MayTry may_try) {
  std::unique_ptr<Jwt> jwt;
  const std::string_view kind = options.kind;
  if (kind.starts_with("jwt,")) {
    auto made = Jwt::make(kind.substr(4));
    if (!made.ok()) return made.status();
    jwt = *std::move(made);
  } else if (kind != "simple") {
    return Status(Code::kInvalidArgument,
                  "--auth-token must be simple, or jwt,sign-method=...,priv-key=...[,pub-key=...]"
                  "[,ttl=5m], not \"" +
                      options.kind + "\"");
  }
  return std::unique_ptr<Authorizer>(
      new Authorizer(options, std::move(jwt), store, clock, std::move(confirm), std::move(prove), std::move(may_try)));
}

Authorizer::Authorizer(const TokenOptions& options, std::unique_ptr<Jwt> jwt, const store::Store& store,
                       const Clock& clock, Confirm confirm, BasicLogins::Prove prove, BasicLogins::MayTry may_try)
    : store_(store),
      clock_(clock),
      confirm_(std::move(confirm)),
      jwt_(std::move(jwt)),
      simple_(options.simple_ttl_ms),
      logins_(std::move(prove), std::move(may_try)) {}

void Authorizer::admit(CallPtr call, Right right, absl::AnyInvocable<void(Status)> admitted) {
  if (right == Right::kOpen) return admitted(Status());
  if (call->token.empty() && !call->basic.empty())
    return admit_by_password(std::move(call), right, std::move(admitted));
  if (!is_ahead(*call)) {
    // In a step of its own: `admitted` may let the call go.
    Status judged = judge(*call, right);
    return admitted(std::move(judged));
  }
  // Whoever issued the token had it committed before: once this member has all that is committed now, it knows it. One
  // confirmation serves all who wait, so a made-up token costs no more than a linearizable read.
  auto shared = std::make_shared<absl::AnyInvocable<void(Status)>>(std::move(admitted));
  confirm_([this, call = std::move(call), right, shared](const Status& confirmed) {
    (*shared)(confirmed.ok() ? judge(*call, right) : confirmed);
  });
}

void Authorizer::admit_by_password(CallPtr call, Right right, absl::AnyInvocable<void(Status)> admitted) {
  CallContext& context = *call;
  auto known = logins_.find(context);
  if (!known.ok()) return admitted(known.status());
  if (*known && store_.auth()->permit_user(**known).ok()) {
    wipe(&context.basic);
    context.identity = *std::move(*known);
    Status judged = judge(context, right);
    return admitted(std::move(judged));
  }
  logins_.prove(call, [this, call, right, admitted = std::move(admitted)](Result<store::Identity> proved) mutable {
    wipe(&call->basic);
    Status status = proved.status();
    if (proved.ok()) call->identity = *std::move(proved);
    // What follows may take long: it is not for the thread that compares passwords.
    CallContext& own = *call;
    own.post(
        [this, call = std::move(call), right, status = std::move(status), admitted = std::move(admitted)]() mutable {
          if (!closed()) return admitted(Status());
          Status judged = status.ok() ? judge(*call, right) : std::move(status);
          admitted(std::move(judged));
        });
  });
}

bool Authorizer::is_ahead(const CallContext& call) const {
  if (jwt_ || call.token.empty()) return false;
  const auto index = SimpleTokens::index_of(bare(call.token));
  return index && *index > store_.applied_index();
}

Status Authorizer::judge(CallContext& call, Right right) const {
  // Who creates a watch, or keeps a lease alive, is asked each time.
  if (right == Right::kEach) return {};
  auto identity = who(call);
  if (!identity.ok()) return identity.status();
  call.identity = *std::move(identity);
  const auto state = store_.auth();
  return right == Right::kRoot ? state->permit_root(call.identity) : state->permit_user(call.identity);
}

Result<store::Identity> Authorizer::who(const CallContext& call) const {
  if (!call.identity.nobody()) return call.identity;
  if (!store_.auth_enabled()) return store::Identity();
  if (!call.token.empty()) {
    const std::string_view token = bare(call.token);
    auto found = jwt_ ? jwt_->check(token, clock_.wall_ms() / 1000) : simple_.find(token, clock_.monotonic_ms());
    // A simple token is only as good as its user: when that has gone, or has another password, it is none any more.
    if (!found || (!jwt_ && !store_.auth()->permit_user(*found).ok())) return store::invalid_auth_token_error();
    return *std::move(found);
  }
  if (call.certificate_user) return store::Identity{*call.certificate_user, store_.auth()->revision()};
  return store::Identity();
}

}  // namespace kv::server
