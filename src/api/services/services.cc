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
}

void add_maintenance(CallTable& table, Member& member) {
  table.add(member_row("/etcdserverpb.Maintenance/Alarm", Right::kRoot, member, &Member::alarm));
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
}

void add_auth(CallTable& table, Member& member) {
  table.add(member_row("/etcdserverpb.Auth/AuthStatus", Right::kOpen, member, &Member::auth_status));
}

}  // namespace kv::api
