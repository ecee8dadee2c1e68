// What users and roles can be refused with, in etcd's words: clients compare them letter by letter.
#pragma once

#include "base/status.h"

namespace kv::store {

inline Status root_user_missing_error() { return {Code::kFailedPrecondition, "etcdserver: root user does not exist"}; }
inline Status root_role_missing_error() {
  return {Code::kFailedPrecondition, "etcdserver: root user does not have root role"};
}
inline Status user_exists_error() { return {Code::kFailedPrecondition, "etcdserver: user name already exists"}; }
inline Status user_empty_error() { return {Code::kInvalidArgument, "etcdserver: user name is empty"}; }
inline Status user_not_found_error() { return {Code::kFailedPrecondition, "etcdserver: user name not found"}; }
inline Status role_exists_error() { return {Code::kFailedPrecondition, "etcdserver: role name already exists"}; }
inline Status role_not_found_error() { return {Code::kFailedPrecondition, "etcdserver: role name not found"}; }
inline Status role_empty_error() { return {Code::kInvalidArgument, "etcdserver: role name is empty"}; }
inline Status auth_failed_error() {
  return {Code::kInvalidArgument, "etcdserver: authentication failed, invalid user ID or password"};
}
inline Status permission_not_given_error() { return {Code::kInvalidArgument, "etcdserver: permission not given"}; }
inline Status permission_denied_error() { return {Code::kPermissionDenied, "etcdserver: permission denied"}; }
inline Status role_not_granted_error() {
  return {Code::kFailedPrecondition, "etcdserver: role is not granted to the user"};
}
inline Status permission_not_granted_error() {
  return {Code::kFailedPrecondition, "etcdserver: permission is not granted to the role"};
}
inline Status auth_not_enabled_error() {
  return {Code::kFailedPrecondition, "etcdserver: authentication is not enabled"};
}
inline Status invalid_auth_token_error() { return {Code::kUnauthenticated, "etcdserver: invalid auth token"}; }
inline Status invalid_auth_management_error() {
  return {Code::kInvalidArgument, "etcdserver: invalid auth management"};
}
inline Status old_auth_revision_error() {
  return {Code::kInvalidArgument, "etcdserver: revision of auth store is old"};
}

}  // namespace kv::store
