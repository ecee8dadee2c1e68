// Users and roles.
#include "server/local_member.h"

namespace kv::server {

void LocalMember::auth_status(CallPtr, std::unique_ptr<AuthStatusRequest>, Done<AuthStatusResponse> done) {
  AuthStatusResponse response;
  fill(response.mutable_header());
  done(Status(), std::move(response));
}

void LocalMember::auth_enable(CallPtr, std::unique_ptr<AuthEnableRequest>, Done<AuthEnableResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::auth_disable(CallPtr, std::unique_ptr<AuthDisableRequest>, Done<AuthDisableResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::authenticate(CallPtr, std::unique_ptr<AuthenticateRequest>, Done<AuthenticateResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::user_add(CallPtr, std::unique_ptr<AuthUserAddRequest>, Done<AuthUserAddResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::user_get(CallPtr, std::unique_ptr<AuthUserGetRequest>, Done<AuthUserGetResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::user_list(CallPtr, std::unique_ptr<AuthUserListRequest>, Done<AuthUserListResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::user_delete(CallPtr, std::unique_ptr<AuthUserDeleteRequest>, Done<AuthUserDeleteResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::user_change_password(CallPtr, std::unique_ptr<AuthUserChangePasswordRequest>,
                                       Done<AuthUserChangePasswordResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::user_grant_role(CallPtr, std::unique_ptr<AuthUserGrantRoleRequest>,
                                  Done<AuthUserGrantRoleResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::user_revoke_role(CallPtr, std::unique_ptr<AuthUserRevokeRoleRequest>,
                                   Done<AuthUserRevokeRoleResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::role_add(CallPtr, std::unique_ptr<AuthRoleAddRequest>, Done<AuthRoleAddResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::role_get(CallPtr, std::unique_ptr<AuthRoleGetRequest>, Done<AuthRoleGetResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::role_list(CallPtr, std::unique_ptr<AuthRoleListRequest>, Done<AuthRoleListResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::role_delete(CallPtr, std::unique_ptr<AuthRoleDeleteRequest>, Done<AuthRoleDeleteResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::role_grant_permission(CallPtr, std::unique_ptr<AuthRoleGrantPermissionRequest>,
                                        Done<AuthRoleGrantPermissionResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::role_revoke_permission(CallPtr, std::unique_ptr<AuthRoleRevokePermissionRequest>,
                                         Done<AuthRoleRevokePermissionResponse> done) {
  done(errors::not_served(), {});
}

}  // namespace kv::server
