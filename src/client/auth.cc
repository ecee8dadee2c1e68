#include "client/auth.h"

#include <utility>

#include "client/calls.h"
#include "client/convert.h"

namespace kv::client {

namespace pb = etcdserverpb;

namespace {

using Stub = pb::Auth::StubInterface;

ResponseHeader header_of(const auto& response) { return from_proto(response.header()); }

// Changes are sent once: a second time they would be answered with "already exists", or "not found".
template <typename Request, typename Response>
Result<Response> ask(Calls& calls, Repeat repeat, const CallOptions& call, const Request& request,
                     grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  Response response;
  KV_RETURN_IF_ERROR(calls.run(repeat, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return (static_cast<Stub&>(*e.auth).*method)(&context, request, &response);
  }));
  return response;
}

template <typename Request, typename Response>
Result<AuthResponse> change(Calls& calls, const CallOptions& call, const Request& request,
                            grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  auto response = ask(calls, Repeat::kUnsafe, call, request, method);
  if (!response.ok()) return response.status();
  return AuthResponse{header_of(*response)};
}

NamesResponse names_of(const auto& response, const auto& names) {
  return {header_of(response), {names.begin(), names.end()}};
}

}  // namespace

Result<std::unique_ptr<Auth>> Auth::create(ClientOptions options) {
  if (options.endpoints.empty()) return Status(Code::kInvalidArgument, "a client needs at least one endpoint");
  auto dialer = Dialer::create(options);
  if (!dialer.ok()) return dialer.status();
  std::vector<std::unique_ptr<Endpoint>> endpoints;
  for (const auto& name : options.endpoints) {
    auto endpoint = dialer->dial(name);
    if (!endpoint.ok()) return endpoint.status();
    endpoints.push_back(*std::move(endpoint));
  }
  auto calls = std::make_unique<Calls>(std::move(options), *std::move(dialer), std::move(endpoints));
  return std::unique_ptr<Auth>(new Auth(std::move(calls)));
}

Auth::Auth(std::unique_ptr<Calls> calls) : calls_(std::move(calls)) {}
Auth::~Auth() = default;

Result<AuthStatusResponse> Auth::status(const CallOptions& call) {
  auto response = ask(*calls_, Repeat::kSafe, call, pb::AuthStatusRequest(), &Stub::AuthStatus);
  if (!response.ok()) return response.status();
  return AuthStatusResponse{header_of(*response), response->enabled(), response->authrevision()};
}

Result<AuthResponse> Auth::enable(const CallOptions& call) {
  return change(*calls_, call, pb::AuthEnableRequest(), &Stub::AuthEnable);
}

Result<AuthResponse> Auth::disable(const CallOptions& call) {
  return change(*calls_, call, pb::AuthDisableRequest(), &Stub::AuthDisable);
}

Result<AuthResponse> Auth::user_add(std::string_view name, std::string_view password, const CallOptions& call) {
  pb::AuthUserAddRequest request;
  request.set_name(std::string(name));
  request.set_password(std::string(password));
  request.mutable_options();
  return change(*calls_, call, request, &Stub::UserAdd);
}

Result<AuthResponse> Auth::user_add_without_password(std::string_view name, const CallOptions& call) {
  pb::AuthUserAddRequest request;
  request.set_name(std::string(name));
  request.mutable_options()->set_no_password(true);
  return change(*calls_, call, request, &Stub::UserAdd);
}

Result<AuthResponse> Auth::user_delete(std::string_view name, const CallOptions& call) {
  pb::AuthUserDeleteRequest request;
  request.set_name(std::string(name));
  return change(*calls_, call, request, &Stub::UserDelete);
}

Result<NamesResponse> Auth::user_get(std::string_view name, const CallOptions& call) {
  pb::AuthUserGetRequest request;
  request.set_name(std::string(name));
  auto response = ask(*calls_, Repeat::kSafe, call, request, &Stub::UserGet);
  if (!response.ok()) return response.status();
  return names_of(*response, response->roles());
}

Result<NamesResponse> Auth::user_list(const CallOptions& call) {
  auto response = ask(*calls_, Repeat::kSafe, call, pb::AuthUserListRequest(), &Stub::UserList);
  if (!response.ok()) return response.status();
  return names_of(*response, response->users());
}

Result<AuthResponse> Auth::user_change_password(std::string_view name, std::string_view password,
                                                const CallOptions& call) {
  pb::AuthUserChangePasswordRequest request;
  request.set_name(std::string(name));
  request.set_password(std::string(password));
  return change(*calls_, call, request, &Stub::UserChangePassword);
}

Result<AuthResponse> Auth::user_grant_role(std::string_view user, std::string_view role, const CallOptions& call) {
  pb::AuthUserGrantRoleRequest request;
  request.set_user(std::string(user));
  request.set_role(std::string(role));
  return change(*calls_, call, request, &Stub::UserGrantRole);
}

Result<AuthResponse> Auth::user_revoke_role(std::string_view user, std::string_view role, const CallOptions& call) {
  pb::AuthUserRevokeRoleRequest request;
  request.set_name(std::string(user));
  request.set_role(std::string(role));
  return change(*calls_, call, request, &Stub::UserRevokeRole);
}

Result<AuthResponse> Auth::role_add(std::string_view name, const CallOptions& call) {
  pb::AuthRoleAddRequest request;
  request.set_name(std::string(name));
  return change(*calls_, call, request, &Stub::RoleAdd);
}

Result<AuthResponse> Auth::role_delete(std::string_view name, const CallOptions& call) {
  pb::AuthRoleDeleteRequest request;
  request.set_role(std::string(name));
  return change(*calls_, call, request, &Stub::RoleDelete);
}

Result<RoleGetResponse> Auth::role_get(std::string_view name, const CallOptions& call) {
  pb::AuthRoleGetRequest request;
  request.set_role(std::string(name));
  auto response = ask(*calls_, Repeat::kSafe, call, request, &Stub::RoleGet);
  if (!response.ok()) return response.status();
  RoleGetResponse out{header_of(*response)};
  for (const auto& p : response->perm()) {
    out.permissions.push_back({static_cast<Permission::Kind>(p.permtype()), p.key(), p.range_end()});
  }
  return out;
}

Result<NamesResponse> Auth::role_list(const CallOptions& call) {
  auto response = ask(*calls_, Repeat::kSafe, call, pb::AuthRoleListRequest(), &Stub::RoleList);
  if (!response.ok()) return response.status();
  return names_of(*response, response->roles());
}

Result<AuthResponse> Auth::role_grant_permission(std::string_view role, const Permission& permission,
                                                 const CallOptions& call) {
  pb::AuthRoleGrantPermissionRequest request;
  request.set_name(std::string(role));
  request.mutable_perm()->set_permtype(static_cast<authpb::Permission::Type>(permission.kind));
  request.mutable_perm()->set_key(permission.key);
  request.mutable_perm()->set_range_end(permission.range_end);
  return change(*calls_, call, request, &Stub::RoleGrantPermission);
}

Result<AuthResponse> Auth::role_revoke_permission(std::string_view role, std::string_view key,
                                                  std::string_view range_end, const CallOptions& call) {
  pb::AuthRoleRevokePermissionRequest request;
  request.set_role(std::string(role));
  request.set_key(std::string(key));
  request.set_range_end(std::string(range_end));
  return change(*calls_, call, request, &Stub::RoleRevokePermission);
}

}  // namespace kv::client
