// Who takes part: the member list and its changes.
#include "server/local_member.h"

namespace kv::server {

void LocalMember::member_list(CallPtr call, std::unique_ptr<MemberListRequest> request, Done<MemberListResponse> done) {
  auto answer = [this, done = std::move(done)](const Status& status) mutable {
    MemberListResponse response;
    if (status.ok()) {
      // etcd leaves the revision out of this header, because members are not keys.
      fill(response.mutable_header());
      response.mutable_header()->clear_revision();
      for (etcdserverpb::Member& member : members(*store_)) *response.add_members() = std::move(member);
    }
    done(status, std::move(response));
  };
  if (!request->linearizable()) return answer(Status());
  CallContext& context = *call;
  read_then_post(
      context, [call = std::move(call), answer = std::move(answer)](const Status& status) mutable { answer(status); });
}

void LocalMember::connect_peers() {
  for (const etcdserverpb::Member& member : members(*store_)) {
    if (member.id() == id_) continue;
    transport_->add_peer({raft::NodeId(member.id()), {member.peerurls().begin(), member.peerurls().end()}});
  }
}

void LocalMember::introduce_myself() {
  (void)heavy_work_.push([this] { introduce_until_known(); });
}

void LocalMember::introduce_until_known() {
  for (etcdserverpb::Member& member : members(*store_)) {
    if (member.id() != id_) continue;
    const std::vector<std::string> listed(member.clienturls().begin(), member.clienturls().end());
    if (member.name() == options_.name && listed == options_.advertise_client_urls) continue;
    kvdpb::Command command;
    command.set_origin(id_);
    command.mutable_member_attributes()->set_id(id_);
    command.mutable_member_attributes()->set_name(options_.name);
    for (const std::string& url : options_.advertise_client_urls)
      command.mutable_member_attributes()->add_client_urls(url);
    (void)engine_->propose(command.SerializeAsString());
  }
  // While the cluster is being downgraded its version is the target's.
  const std::string version = store_->record(kDowngradeRecord).value_or(std::string(kClusterVersion));
  if (engine_->soft_state().role == raft::Role::kLeader && store_->record(kClusterVersionRecord) != version) {
    kvdpb::Command command;
    command.set_origin(id_);
    command.mutable_cluster_version()->set_version(version);
    (void)engine_->propose(command.SerializeAsString());
  }
}

void LocalMember::member_add(CallPtr, std::unique_ptr<MemberAddRequest>, Done<MemberAddResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::member_remove(CallPtr, std::unique_ptr<MemberRemoveRequest>, Done<MemberRemoveResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::member_update(CallPtr, std::unique_ptr<MemberUpdateRequest>, Done<MemberUpdateResponse> done) {
  done(errors::not_served(), {});
}

void LocalMember::member_promote(CallPtr, std::unique_ptr<MemberPromoteRequest>, Done<MemberPromoteResponse> done) {
  done(errors::not_served(), {});
}

}  // namespace kv::server
