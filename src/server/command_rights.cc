#include "server/command_rights.h"

#include "store/auth_changes.h"
#include "store/auth_errors.h"
#include "store/auth_rights.h"

namespace kv::server {

using kvdpb::Command;

Status permit(const Command& command, store::ApplyBatch& batch) {
  const store::AuthState& state = batch.auth().now();
  if (!state.enabled() || command.by_member()) return {};
  const store::Identity who{command.user(), command.auth_revision()};
  const store::Rights rights(state, who, [&batch](int64_t lease) { return batch.lease_keys(lease); });
  switch (command.request_case()) {
    case Command::kPut: return rights.permit(command.put());
    case Command::kDeleteRange: return rights.permit(command.delete_range());
    case Command::kTxn: return rights.permit(command.txn());
    case Command::kNode: return rights.permit(command.node());
    case Command::kLeaseGrant: return state.permit_user(who);
    case Command::kLeaseRevoke: return rights.permit_to_write_lease(command.lease_revoke().id());

    case Command::kCompact:
    case Command::kAlarm:
    case Command::kDowngradeTarget:
    case Command::kMemberUpdate:
    case Command::kAuthEnable:
    case Command::kAuthDisable:
    case Command::kAuthUserAdd:
    case Command::kAuthUserDelete:
    case Command::kAuthUserChangePassword:
    case Command::kAuthUserGrantRole:
    case Command::kAuthUserRevokeRole:
    case Command::kAuthRoleAdd:
    case Command::kAuthRoleDelete:
    case Command::kAuthRoleGrantPermission:
    case Command::kAuthRoleRevokePermission: return state.permit_root(who);

    // No client can ask for these: a leader and a member about themselves, and whoever has proved who it is.
    case Command::kLeaseExpiry:
    case Command::kLeaseCheckpoints:
    case Command::kMemberAttributes:
    case Command::kClusterVersion:
    case Command::kAuthToken: return {};
    default: return store::permission_denied_error();
  }
}

}  // namespace kv::server
