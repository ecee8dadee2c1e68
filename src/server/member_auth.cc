// Users and roles: who logs in, who is made, who may. Changes are commands of the log and are judged when they are
// applied (server/command_rights.h); passwords are hashed before, and never go into it.
#include <algorithm>

#include "base/log.h"
#include "server/local_member.h"
#include "store/auth_errors.h"

namespace kv::server {
namespace {

// Of a name that a stranger made up.
constexpr size_t kMaxLoggedUserBytes = 128;

Status password_too_long() {
  return {Code::kInvalidArgument,
          "etcdserver: password is longer than " + std::to_string(kMaxPasswordBytes) + " bytes"};
}
Status password_too_short(size_t bytes) {
  return {Code::kInvalidArgument, "etcdserver: password is shorter than " + std::to_string(bytes) + " bytes"};
}
Status password_with_zero() { return {Code::kInvalidArgument, "etcdserver: password has a zero byte"}; }

}  // namespace

Status LocalMember::check_password(const std::string& password) const {
  if (password.size() < options_.auth_min_password_bytes) return password_too_short(options_.auth_min_password_bytes);
  if (password.size() > kMaxPasswordBytes) return password_too_long();
  // bcrypt reads up to the first.
  if (password.find('\0') != std::string::npos) return password_with_zero();
  return {};
}

// ---- logging in ----

struct LocalMember::Login {
  CallPtr call;
  std::string user;
  Secret password;
  Proved done;
};

void LocalMember::authenticate(CallPtr call, std::unique_ptr<AuthenticateRequest> request,
                               Done<AuthenticateResponse> done) {
  Secret password(request->mutable_password());
  prove(call, std::move(*request->mutable_name()), std::move(password),
        [this, call, done = std::move(done)](const Result<store::Identity>& proved) mutable {
          proved.ok() ? issue_token(*call, *proved, std::move(done)) : done(proved.status(), {});
        });
}

void LocalMember::prove(CallPtr call, std::string user, Secret password, Proved done) {
  CallContext& context = *call;
  auto login = std::make_shared<Login>(Login{std::move(call), std::move(user), std::move(password), std::move(done)});
  read_then_post(context, [this, login = std::move(login)](const Status& ready) mutable {
    ready.ok() ? compare(std::move(login)) : login->done(ready);
  });
}

void LocalMember::compare(std::shared_ptr<Login> login) {
  const auto state = store_->auth();
  if (!state->enabled()) return login->done(store::auth_not_enabled_error());
  if (Status wait = login_limit_.may_try(login->user, login->call->peer, now_ms()); !wait.ok())
    return login->done(std::move(wait));
  // A user who is not there, or comes by certificate only, is refused as one with another password is, and no faster.
  const store::AuthUser* user = state->user(login->user);
  std::string hash = user != nullptr && !user->no_password ? user->password_hash : std::string();
  Login& l = *login;
  passwords_.compare(
      std::move(l.password), std::move(hash), [call = l.call] { return !call->cancelled(); },
      [this, login = std::move(login), revision = state->revision()](Result<bool> fits) {
        if (!fits.ok()) return login->done(fits.status());
        const CallContext& from = *login->call;
        if (!*fits) {
          login_limit_.failed(login->user, from.peer, now_ms());
          log_warning("a wrong user or password was refused",
                      {{"user", login->user.substr(0, kMaxLoggedUserBytes)}, {"peer", from.peer}});
          return login->done(store::auth_failed_error());
        }
        login_limit_.succeeded(login->user, from.peer);
        login->done(store::Identity{login->user, revision});
      });
}

void LocalMember::issue_token(const CallContext& call, const store::Identity& identity,
                              Done<AuthenticateResponse> done) {
  if (const Jwt* jwt = authorizer_->jwt()) {
    auto token = jwt->sign(identity, Clock::system().wall_ms() / 1000);
    AuthenticateResponse response;
    fill(response.mutable_header());
    if (token.ok()) response.set_token(*token);
    return done(token.status(), std::move(response));
  }
  kvdpb::Command command;
  command.set_auth_revision(identity.revision);
  command.mutable_auth_token()->set_user(identity.user);
  command.mutable_auth_token()->set_prefix(SimpleTokens::random_prefix());
  propose<AuthenticateResponse>(
      call, command, [done = std::move(done)](Status status, AuthenticateResponse&& response) mutable {
        // The password was changed, or the user deleted, since it was compared.
        if (status == store::old_auth_revision_error() || status == store::permission_denied_error())
          status = store::auth_failed_error();
        done(std::move(status), std::move(response));
      });
}

// ---- changes ----

void LocalMember::auth_enable(CallPtr call, std::unique_ptr<AuthEnableRequest> request, Done<AuthEnableResponse> done) {
  propose(*call, &kvdpb::Command::set_allocated_auth_enable, std::move(request), std::move(done));
}

void LocalMember::auth_disable(CallPtr call, std::unique_ptr<AuthDisableRequest> request,
                               Done<AuthDisableResponse> done) {
  propose(*call, &kvdpb::Command::set_allocated_auth_disable, std::move(request), std::move(done));
}

template <typename Request, typename Response>
void LocalMember::propose_hashed(CallPtr call, void (kvdpb::Command::*set)(Request*), std::unique_ptr<Request> request,
                                 Secret password, Done<Response> done) {
  if (Status bad = check_password(password.bytes()); !bad.ok()) return done(std::move(bad), {});
  passwords_.hash(std::move(password), [this, call = std::move(call), set, request = std::move(request),
                                        done = std::move(done)](const Result<std::string>& hash) mutable {
    if (!hash.ok()) return done(hash.status(), {});
    request->set_hashedpassword(*hash);
    propose(*call, set, std::move(request), std::move(done));
  });
}

void LocalMember::user_add(CallPtr call, std::unique_ptr<AuthUserAddRequest> request, Done<AuthUserAddResponse> done) {
  // Only hashes of our own making are kept: another's may be of a cost that nobody can pay.
  request->clear_hashedpassword();
  Secret password(request->mutable_password());
  if (request->name().empty()) return done(store::user_empty_error(), {});
  if (request->options().no_password()) {
    return propose(*call, &kvdpb::Command::set_allocated_auth_user_add, std::move(request), std::move(done));
  }
  propose_hashed(std::move(call), &kvdpb::Command::set_allocated_auth_user_add, std::move(request), std::move(password),
                 std::move(done));
}

void LocalMember::user_change_password(CallPtr call, std::unique_ptr<AuthUserChangePasswordRequest> request,
                                       Done<AuthUserChangePasswordResponse> done) {
  request->clear_hashedpassword();
  Secret password(request->mutable_password());
  propose_hashed(std::move(call), &kvdpb::Command::set_allocated_auth_user_change_password, std::move(request),
                 std::move(password), std::move(done));
}

void LocalMember::user_delete(CallPtr call, std::unique_ptr<AuthUserDeleteRequest> request,
                              Done<AuthUserDeleteResponse> done) {
  propose(*call, &kvdpb::Command::set_allocated_auth_user_delete, std::move(request), std::move(done));
}

void LocalMember::user_grant_role(CallPtr call, std::unique_ptr<AuthUserGrantRoleRequest> request,
                                  Done<AuthUserGrantRoleResponse> done) {
  propose(*call, &kvdpb::Command::set_allocated_auth_user_grant_role, std::move(request), std::move(done));
}

void LocalMember::user_revoke_role(CallPtr call, std::unique_ptr<AuthUserRevokeRoleRequest> request,
                                   Done<AuthUserRevokeRoleResponse> done) {
  propose(*call, &kvdpb::Command::set_allocated_auth_user_revoke_role, std::move(request), std::move(done));
}

void LocalMember::role_add(CallPtr call, std::unique_ptr<AuthRoleAddRequest> request, Done<AuthRoleAddResponse> done) {
  propose(*call, &kvdpb::Command::set_allocated_auth_role_add, std::move(request), std::move(done));
}

void LocalMember::role_delete(CallPtr call, std::unique_ptr<AuthRoleDeleteRequest> request,
                              Done<AuthRoleDeleteResponse> done) {
  propose(*call, &kvdpb::Command::set_allocated_auth_role_delete, std::move(request), std::move(done));
}

void LocalMember::role_grant_permission(CallPtr call, std::unique_ptr<AuthRoleGrantPermissionRequest> request,
                                        Done<AuthRoleGrantPermissionResponse> done) {
  propose(*call, &kvdpb::Command::set_allocated_auth_role_grant_permission, std::move(request), std::move(done));
}

void LocalMember::role_revoke_permission(CallPtr call, std::unique_ptr<AuthRoleRevokePermissionRequest> request,
                                         Done<AuthRoleRevokePermissionResponse> done) {
  propose(*call, &kvdpb::Command::set_allocated_auth_role_revoke_permission, std::move(request), std::move(done));
}

// ---- questions ----

template <typename Response, typename Answer>
void LocalMember::read_auth(CallPtr call, Done<Response> done, Answer answer) {
  CallContext& context = *call;
  read_then_post(context, [this, call = std::move(call), done = std::move(done),
                           answer = std::move(answer)](const Status& ready) mutable {
    Response response;
    Status status = ready;
    if (status.ok()) status = answer(*store_->auth(), call->identity, &response);
    if (status.ok()) fill(response.mutable_header());
    done(std::move(status), std::move(response));
  });
}

void LocalMember::auth_status(CallPtr call, std::unique_ptr<AuthStatusRequest>, Done<AuthStatusResponse> done) {
  read_auth(std::move(call), std::move(done),
            [](const store::AuthState& state, const store::Identity&, AuthStatusResponse* response) {
              response->set_enabled(state.enabled());
              response->set_authrevision(state.revision());
              return Status();
            });
}

void LocalMember::user_get(CallPtr call, std::unique_ptr<AuthUserGetRequest> request, Done<AuthUserGetResponse> done) {
  read_auth(std::move(call), std::move(done),
            [name = request->name()](const store::AuthState& state, const store::Identity& who,
                                     AuthUserGetResponse* response) {
              const bool self = state.permit_user(who).ok() && who.user == name;
              if (!self) KV_RETURN_IF_ERROR(state.permit_root(who));
              const store::AuthUser* user = state.user(name);
              if (user == nullptr) return store::user_not_found_error();
              for (const std::string& role : user->roles) response->add_roles(role);
              return Status();
            });
}

void LocalMember::user_list(CallPtr call, std::unique_ptr<AuthUserListRequest>, Done<AuthUserListResponse> done) {
  read_auth(std::move(call), std::move(done),
            [](const store::AuthState& state, const store::Identity& who, AuthUserListResponse* response) {
              KV_RETURN_IF_ERROR(state.permit_root(who));
              for (const auto& [name, user] : state.users()) response->add_users(name);
              return Status();
            });
}

void LocalMember::role_get(CallPtr call, std::unique_ptr<AuthRoleGetRequest> request, Done<AuthRoleGetResponse> done) {
  read_auth(std::move(call), std::move(done),
            [name = request->role()](const store::AuthState& state, const store::Identity& who,
                                     AuthRoleGetResponse* response) {
              const store::AuthUser* user = state.permit_user(who).ok() ? state.user(who.user) : nullptr;
              const bool own = user != nullptr && std::binary_search(user->roles.begin(), user->roles.end(), name);
              if (!own) KV_RETURN_IF_ERROR(state.permit_root(who));
              const store::AuthRole* role = state.role(name);
              if (role == nullptr) return store::role_not_found_error();
              if (name == store::kRoot) {
                // Whatever was granted to it besides: it may do everything.
                authpb::Permission* all = response->add_perm();
                all->set_permtype(authpb::Permission::READWRITE);
                all->set_range_end(std::string(1, '\0'));
                return Status();
              }
              for (const authpb::Permission& p : role->permissions) *response->add_perm() = p;
              return Status();
            });
}

void LocalMember::role_list(CallPtr call, std::unique_ptr<AuthRoleListRequest>, Done<AuthRoleListResponse> done) {
  read_auth(std::move(call), std::move(done),
            [](const store::AuthState& state, const store::Identity& who, AuthRoleListResponse* response) {
              KV_RETURN_IF_ERROR(state.permit_root(who));
              for (const auto& [name, role] : state.roles()) response->add_roles(name);
              return Status();
            });
}

}  // namespace kv::server
