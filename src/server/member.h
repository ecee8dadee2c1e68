// One member put together: log, state, transport, engine. This is what the doors talk to, and what an embedder
// starts and stops like an object.
//
// A write: encoded as a command, proposed, committed by a quorum, applied here, answered. Nothing is acknowledged
// before a quorum has it on disk. A linearizable read: the commit index is confirmed by a quorum round (shared by
// all reads that wait), the state reaches it, then a read of the store on the door's own thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "etcdserverpb/rpc.pb.h"
#include "kvdpb/command.pb.h"
#include "server/call.h"
#include "server/gate.h"
#include "server/member_stats.h"
#include "server/options.h"
#include "server/watch_stream.h"
#include "store/node_actions.h"
#include "store/node_counts.h"

namespace kv::server {

// The API level that is served, as clients and dashboards ask for it.
inline constexpr std::string_view kServerVersion = "3.6.0";
inline constexpr std::string_view kClusterVersion = "3.6.0";

class Member {
 public:
  // Opens or makes the data directory, joins its cluster, begins to serve. `failed` is called once, from any
  // thread, when the member can't go on (a disk that fails, damaged state): the process should end.
  // FailedPrecondition, from both: the member was removed from its cluster, and can't begin again.
  // InvalidArgument for options that contradict each other or the data directory, DataLoss for damage,
  // Unavailable for an address or directory in use; the text is made for people.
  static Result<std::unique_ptr<Member>> start(const MemberOptions& options, std::function<void(Status)> failed);
  virtual ~Member() = default;

  // Hands leadership over if it has it, then stops. Calls that wait end with "etcdserver: server stopped". Blocks
  // for at most `grace_ms`, then stops all the same.
  virtual void stop(int64_t grace_ms) = 0;

  // ---- calls: any thread; `done` is called exactly once, from any thread ----
  template <typename Request, typename Response>
  using Call = void(CallPtr, std::unique_ptr<Request>, Done<Response>);

  virtual Call<etcdserverpb::RangeRequest, etcdserverpb::RangeResponse> range = 0;
  // A Range in pieces of one state; the last one has the header, `more` and `count`. `sink` is finished exactly once.
  virtual void range_stream(CallPtr call, std::unique_ptr<etcdserverpb::RangeRequest> request,
                            std::shared_ptr<Sink<etcdserverpb::RangeStreamResponse>> sink) = 0;
  virtual Call<etcdserverpb::PutRequest, etcdserverpb::PutResponse> put = 0;
  virtual Call<etcdserverpb::DeleteRangeRequest, etcdserverpb::DeleteRangeResponse> delete_range = 0;
  virtual Call<etcdserverpb::TxnRequest, etcdserverpb::TxnResponse> txn = 0;
  virtual Call<etcdserverpb::CompactionRequest, etcdserverpb::CompactionResponse> compact = 0;
  // A call of /v2/keys. What etcd 2 answers by an error code is Ok here, and said in the response.
  virtual Call<kvdpb::NodeRequest, kvdpb::NodeResponse> node = 0;
  // As Store::node_action().
  virtual store::NodeAction node_action(int64_t revision) const = 0;

  virtual Call<etcdserverpb::LeaseGrantRequest, etcdserverpb::LeaseGrantResponse> lease_grant = 0;
  virtual Call<etcdserverpb::LeaseRevokeRequest, etcdserverpb::LeaseRevokeResponse> lease_revoke = 0;
  // One keep-alive of a stream. TTL 0: there is no such lease (any more).
  virtual Call<etcdserverpb::LeaseKeepAliveRequest, etcdserverpb::LeaseKeepAliveResponse> lease_keep_alive = 0;
  virtual Call<etcdserverpb::LeaseTimeToLiveRequest, etcdserverpb::LeaseTimeToLiveResponse> lease_time_to_live = 0;
  virtual Call<etcdserverpb::LeaseLeasesRequest, etcdserverpb::LeaseLeasesResponse> lease_leases = 0;
  // A stream of watches, answered from this member's own state whether or not there is a quorum. Null when it is
  // refused, which the sink is then told (see has_leader). To be destroyed before the member.
  virtual std::unique_ptr<WatchStream> watch(CallPtr call, std::shared_ptr<WatchStream::Responses> sink) = 0;

  virtual Call<etcdserverpb::MemberListRequest, etcdserverpb::MemberListResponse> member_list = 0;
  virtual Call<etcdserverpb::MemberAddRequest, etcdserverpb::MemberAddResponse> member_add = 0;
  virtual Call<etcdserverpb::MemberRemoveRequest, etcdserverpb::MemberRemoveResponse> member_remove = 0;
  virtual Call<etcdserverpb::MemberUpdateRequest, etcdserverpb::MemberUpdateResponse> member_update = 0;
  virtual Call<etcdserverpb::MemberPromoteRequest, etcdserverpb::MemberPromoteResponse> member_promote = 0;

  virtual Call<etcdserverpb::StatusRequest, etcdserverpb::StatusResponse> status = 0;
  virtual Call<etcdserverpb::HashRequest, etcdserverpb::HashResponse> hash = 0;
  virtual Call<etcdserverpb::HashKVRequest, etcdserverpb::HashKVResponse> hash_kv = 0;
  virtual Call<etcdserverpb::AlarmRequest, etcdserverpb::AlarmResponse> alarm = 0;
  virtual Call<etcdserverpb::MoveLeaderRequest, etcdserverpb::MoveLeaderResponse> move_leader = 0;
  virtual Call<etcdserverpb::DefragmentRequest, etcdserverpb::DefragmentResponse> defragment = 0;
  virtual Call<etcdserverpb::DowngradeRequest, etcdserverpb::DowngradeResponse> downgrade = 0;
  // A backup in pieces. `sink` is finished exactly once.
  virtual void snapshot(CallPtr call, std::unique_ptr<etcdserverpb::SnapshotRequest> request,
                        std::shared_ptr<Sink<etcdserverpb::SnapshotResponse>> sink) = 0;

  virtual Call<etcdserverpb::AuthStatusRequest, etcdserverpb::AuthStatusResponse> auth_status = 0;
  virtual Call<etcdserverpb::AuthEnableRequest, etcdserverpb::AuthEnableResponse> auth_enable = 0;
  virtual Call<etcdserverpb::AuthDisableRequest, etcdserverpb::AuthDisableResponse> auth_disable = 0;
  virtual Call<etcdserverpb::AuthenticateRequest, etcdserverpb::AuthenticateResponse> authenticate = 0;
  virtual Call<etcdserverpb::AuthUserAddRequest, etcdserverpb::AuthUserAddResponse> user_add = 0;
  virtual Call<etcdserverpb::AuthUserGetRequest, etcdserverpb::AuthUserGetResponse> user_get = 0;
  virtual Call<etcdserverpb::AuthUserListRequest, etcdserverpb::AuthUserListResponse> user_list = 0;
  virtual Call<etcdserverpb::AuthUserDeleteRequest, etcdserverpb::AuthUserDeleteResponse> user_delete = 0;
  virtual Call<etcdserverpb::AuthUserChangePasswordRequest, etcdserverpb::AuthUserChangePasswordResponse>
      user_change_password = 0;
  virtual Call<etcdserverpb::AuthUserGrantRoleRequest, etcdserverpb::AuthUserGrantRoleResponse> user_grant_role = 0;
  virtual Call<etcdserverpb::AuthUserRevokeRoleRequest, etcdserverpb::AuthUserRevokeRoleResponse> user_revoke_role = 0;
  virtual Call<etcdserverpb::AuthRoleAddRequest, etcdserverpb::AuthRoleAddResponse> role_add = 0;
  virtual Call<etcdserverpb::AuthRoleGetRequest, etcdserverpb::AuthRoleGetResponse> role_get = 0;
  virtual Call<etcdserverpb::AuthRoleListRequest, etcdserverpb::AuthRoleListResponse> role_list = 0;
  virtual Call<etcdserverpb::AuthRoleDeleteRequest, etcdserverpb::AuthRoleDeleteResponse> role_delete = 0;
  virtual Call<etcdserverpb::AuthRoleGrantPermissionRequest, etcdserverpb::AuthRoleGrantPermissionResponse>
      role_grant_permission = 0;
  virtual Call<etcdserverpb::AuthRoleRevokePermissionRequest, etcdserverpb::AuthRoleRevokePermissionResponse>
      role_revoke_permission = 0;

  // Who may make which call. For the call table; calls that come to the member by another way are nobody's, and are
  // refused where rights are needed.
  virtual Gate& gate() = 0;

  // ---- facts: any thread ----
  virtual uint64_t id() const = 0;
  virtual uint64_t cluster_id() const = 0;
  virtual uint64_t leader() const = 0;         // 0: none known
  virtual uint64_t applied_index() const = 0;  // of the last entry of the log that it has applied
  // For streams that ask for a leader (CallContext::has_leader): tells when there has been none for a while.
  virtual Leaderless& leaderless() = 0;
  virtual std::string cluster_version() const = 0;
  // Ok when it would answer a linearizable read now, for which it asks a quorum; with `serializable`, when it has read
  // from its own state, whether or not there is a leader.
  virtual void check_health(bool serializable, std::function<void(Status)> done) = 0;
  // The cluster's alarms as this member knows them.
  virtual std::vector<etcdserverpb::AlarmMember> alarms() const = 0;
  virtual std::vector<uint16_t> peer_ports() const = 0;
  // It was a member of this cluster once, and can be none again.
  virtual bool was_removed(uint64_t id) const = 0;
  virtual MemberStats stats() const = 0;
  virtual const store::NodeCounts& node_counts() const = 0;
};

}  // namespace kv::server
