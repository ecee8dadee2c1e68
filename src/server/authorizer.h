// Who makes a call, by its token or its client certificate, and whether they may: the member's gate.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "server/basic_logins.h"
#include "server/gate.h"
#include "server/jwt.h"
#include "server/simple_tokens.h"
#include "store/store.h"

namespace kv::server {

// How tokens are made and checked.
struct TokenOptions {
  std::string kind = "simple";  // --auth-token: "simple", or "jwt," and its options
  int64_t simple_ttl_ms = 300'000;
};

// Any thread.
class Authorizer final : public Gate {
 public:
  // Calls `ready` when this member has applied all that was committed before; with an error when that can't be known.
  using Confirm = std::function<void(std::function<void(const Status&)> ready)>;

  // InvalidArgument for options that make no sense, with a text for people. `store` and `clock` must outlive it.
  static Result<std::unique_ptr<Authorizer>> make(const TokenOptions& options, const store::Store& store,
                                                  const Clock& clock, Confirm confirm, BasicLogins::Prove prove,
                                                  BasicLogins::MayTry may_try);

  bool closed() const override { return store_.auth_enabled(); }
  void admit(CallPtr call, Right right, absl::AnyInvocable<void(Status)> admitted) override;

  // Who makes the call. Whom the gate has noted, if it has (a password shows to the gate alone); else by the token;
  // else by the client certificate, whose bearer is who they are at this moment; else nobody. "etcdserver: invalid auth
  // token" for a token that is none.
  Result<store::Identity> who(const CallContext& call) const;

  // Null with "simple".
  const Jwt* jwt() const { return jwt_.get(); }
  // What an AuthToken command that is applied tells.
  TokenObserver& tokens() { return simple_; }

 private:
  Authorizer(const TokenOptions& options, std::unique_ptr<Jwt> jwt, const store::Store& store, const Clock& clock,
             Confirm confirm, BasicLogins::Prove prove, BasicLogins::MayTry may_try);

  void admit_by_password(CallPtr call, Right right, absl::AnyInvocable<void(Status)> admitted);
  Status judge(CallContext& call, Right right) const;
  // A token that another member issued, in a log entry that this one has not applied yet.
  bool is_ahead(const CallContext& call) const;

  const store::Store& store_;
  const Clock& clock_;
  const Confirm confirm_;
  const std::unique_ptr<Jwt> jwt_;
  mutable SimpleTokens simple_;
  BasicLogins logins_;
};

}  // namespace kv::server
