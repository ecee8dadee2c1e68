#include "api/services/services.h"

#include "api/services/stream_sink.h"

namespace kv::api {

using server::Member;

void add_kv(CallTable& table, Member& member) {
  table.add(member_row("/etcdserverpb.KV/Range", Right::kKeys, member, &Member::range));
  table.add(stream_row<etcdserverpb::RangeRequest, etcdserverpb::RangeStreamResponse>(
      "/etcdserverpb.KV/RangeStream", Kind::kServerStream, Right::kKeys,
      [&member](std::shared_ptr<ServerStream> stream) {
        ServerStream& in = *stream;
        in.on_request = [&member, stream = std::move(stream)](MessagePtr request) {
          member.range_stream(
              stream->call(),
              std::unique_ptr<etcdserverpb::RangeRequest>(static_cast<etcdserverpb::RangeRequest*>(request.release())),
              std::make_shared<StreamSink<etcdserverpb::RangeStreamResponse>>(stream));
        };
      }));
  table.add(member_row("/etcdserverpb.KV/Put", Right::kKeys, member, &Member::put));
  table.add(member_row("/etcdserverpb.KV/DeleteRange", Right::kKeys, member, &Member::delete_range));
  table.add(member_row("/etcdserverpb.KV/Txn", Right::kKeys, member, &Member::txn));
  table.add(member_row("/etcdserverpb.KV/Compact", Right::kRoot, member, &Member::compact));
}

void add_cluster(CallTable& table, Member& member) {
  table.add(member_row("/etcdserverpb.Cluster/MemberList", Right::kUser, member, &Member::member_list));
  table.add(member_row("/etcdserverpb.Cluster/MemberAdd", Right::kRoot, member, &Member::member_add));
  table.add(member_row("/etcdserverpb.Cluster/MemberRemove", Right::kRoot, member, &Member::member_remove));
  table.add(member_row("/etcdserverpb.Cluster/MemberUpdate", Right::kRoot, member, &Member::member_update));
  table.add(member_row("/etcdserverpb.Cluster/MemberPromote", Right::kRoot, member, &Member::member_promote));
}

void add_maintenance(CallTable& table, Member& member) {
  // Every user may see what alarms there are, root alone may raise and end them.
  Row alarm = member_row("/etcdserverpb.Maintenance/Alarm", Right::kRoot, member, &Member::alarm);
  alarm.right_for = [](const google::protobuf::Message& request) {
    const auto& asked = static_cast<const etcdserverpb::AlarmRequest&>(request);
    return asked.action() == etcdserverpb::AlarmRequest::GET ? Right::kUser : Right::kRoot;
  };
  table.add(std::move(alarm));
  table.add(member_row("/etcdserverpb.Maintenance/Status", Right::kUser, member, &Member::status));
  table.add(member_row("/etcdserverpb.Maintenance/Hash", Right::kRoot, member, &Member::hash));
  table.add(member_row("/etcdserverpb.Maintenance/HashKV", Right::kRoot, member, &Member::hash_kv));
  table.add(member_row("/etcdserverpb.Maintenance/Defragment", Right::kRoot, member, &Member::defragment));
  table.add(stream_row<etcdserverpb::SnapshotRequest, etcdserverpb::SnapshotResponse>(
      "/etcdserverpb.Maintenance/Snapshot", Kind::kServerStream, Right::kRoot,
      [&member](std::shared_ptr<ServerStream> stream) {
        ServerStream& in = *stream;
        in.on_request = [&member, stream = std::move(stream)](MessagePtr request) {
          member.snapshot(stream->call(),
                          std::unique_ptr<etcdserverpb::SnapshotRequest>(
                              static_cast<etcdserverpb::SnapshotRequest*>(request.release())),
                          std::make_shared<StreamSink<etcdserverpb::SnapshotResponse>>(stream));
        };
      }));
  table.add(member_row("/etcdserverpb.Maintenance/MoveLeader", Right::kRoot, member, &Member::move_leader));
  table.add(member_row("/etcdserverpb.Maintenance/Downgrade", Right::kRoot, member, &Member::downgrade));
}

void add_auth(CallTable& table, Member& member) {
  table.add(member_row("/etcdserverpb.Auth/AuthStatus", Right::kOpen, member, &Member::auth_status));
  table.add(member_row("/etcdserverpb.Auth/Authenticate", Right::kOpen, member, &Member::authenticate));
  table.add(member_row("/etcdserverpb.Auth/AuthEnable", Right::kRoot, member, &Member::auth_enable));
  table.add(member_row("/etcdserverpb.Auth/AuthDisable", Right::kRoot, member, &Member::auth_disable));
  table.add(member_row("/etcdserverpb.Auth/UserAdd", Right::kRoot, member, &Member::user_add));
  table.add(member_row("/etcdserverpb.Auth/UserGet", Right::kSelf, member, &Member::user_get));
  table.add(member_row("/etcdserverpb.Auth/UserList", Right::kRoot, member, &Member::user_list));
  table.add(member_row("/etcdserverpb.Auth/UserDelete", Right::kRoot, member, &Member::user_delete));
  table.add(member_row("/etcdserverpb.Auth/UserChangePassword", Right::kRoot, member, &Member::user_change_password));
  table.add(member_row("/etcdserverpb.Auth/UserGrantRole", Right::kRoot, member, &Member::user_grant_role));
  table.add(member_row("/etcdserverpb.Auth/UserRevokeRole", Right::kRoot, member, &Member::user_revoke_role));
  table.add(member_row("/etcdserverpb.Auth/RoleAdd", Right::kRoot, member, &Member::role_add));
  table.add(member_row("/etcdserverpb.Auth/RoleGet", Right::kSelf, member, &Member::role_get));
  table.add(member_row("/etcdserverpb.Auth/RoleList", Right::kRoot, member, &Member::role_list));
  table.add(member_row("/etcdserverpb.Auth/RoleDelete", Right::kRoot, member, &Member::role_delete));
  table.add(member_row("/etcdserverpb.Auth/RoleGrantPermission", Right::kRoot, member, &Member::role_grant_permission));
  table.add(
      member_row("/etcdserverpb.Auth/RoleRevokePermission", Right::kRoot, member, &Member::role_revoke_permission));
}

}  // namespace kv::api
