// Who takes part: the member list and its changes.
#include "base/log.h"
#include "server/force_new_cluster.h"
#include "server/local_member.h"
#include "server/peer_http.h"
#include "server/removal.h"

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

// ---- changes --------------------------------------------------------------------------------------------------

MemberChanges::Options LocalMember::change_options(const MemberOptions& options) {
  MemberChanges::Options changes;
  changes.rules = options.reconfiguration;
  changes.patience_ms = options.election_timeout_ms;
  return changes;
}

void LocalMember::start_member_changes() {
  MemberChanges::Ports ports;
  ports.store = store_.get();
  ports.engine = engine_.get();
  ports.peers = &peer_calls_;
  ports.calls = &calls_;
  ports.clock = &Clock::system();
  ports.self = raft::NodeId(id_);
  ports.connected = [this] {
    std::set<uint64_t> connected;
    for (const raft::PeerStats& peer : transport_->stats())
      if (peer.connected) connected.insert(peer.id.value());
    return connected;
  };
  changes_.start(ports);
}

// etcd leaves the revision out of these headers, because members are not keys.
template <typename Response>
void LocalMember::change_members(const CallContext& call, kvdpb::MembershipRequest request, Done<Response> done) {
  if (Status refused = require_leader(call); !refused.ok()) return done(std::move(refused), {});
  if (request.ByteSizeLong() > options_.max_request_bytes) return done(errors::too_large(), {});
  changes_.ask(std::move(request), now_ms() + request_timeout_ms(),
               [this, done = std::move(done)](Status status, kvdpb::MembershipResponse&& changed) mutable {
                 Response response;
                 if (status.ok()) {
                   fill(response.mutable_header());
                   response.mutable_header()->clear_revision();
                   *response.mutable_members() = std::move(*changed.mutable_members());
                   if constexpr (std::is_same_v<Response, MemberAddResponse>)
                     *response.mutable_member() = std::move(*changed.mutable_member());
                 }
                 done(std::move(status), std::move(response));
               });
}

void LocalMember::member_add(CallPtr call, std::unique_ptr<MemberAddRequest> request, Done<MemberAddResponse> done) {
  if (Status bad = check_peer_urls({request->peerurls().begin(), request->peerurls().end()}); !bad.ok())
    return done(std::move(bad), {});
  kvdpb::MembershipRequest change;
  change.set_allocated_add(request.release());
  change_members(*call, std::move(change), std::move(done));
}

void LocalMember::member_remove(CallPtr call, std::unique_ptr<MemberRemoveRequest> request,
                                Done<MemberRemoveResponse> done) {
  kvdpb::MembershipRequest change;
  change.set_allocated_remove(request.release());
  change_members(*call, std::move(change), std::move(done));
}

void LocalMember::member_update(CallPtr call, std::unique_ptr<MemberUpdateRequest> request,
                                Done<MemberUpdateResponse> done) {
  if (Status bad = check_peer_urls({request->peerurls().begin(), request->peerurls().end()}); !bad.ok())
    return done(std::move(bad), {});
  kvdpb::MembershipRequest change;
  change.set_allocated_update(request.release());
  change_members(*call, std::move(change), std::move(done));
}

void LocalMember::member_promote(CallPtr call, std::unique_ptr<MemberPromoteRequest> request,
                                 Done<MemberPromoteResponse> done) {
  kvdpb::MembershipRequest change;
  change.set_allocated_promote(request.release());
  change_members(*call, std::move(change), std::move(done));
}

// ---- what a change means here -----------------------------------------------------------------------------------

PeerTable::Ports LocalMember::peer_table_ports() {
  PeerTable::Ports ports;
  ports.add = [this](const raft::PeerAddress& peer) { transport_->add_peer(peer); };
  ports.remove = [this](raft::NodeId peer) { transport_->remove_peer(peer); };
  ports.farewell_ms = kFarewellMs;
  return ports;
}

Status LocalMember::become_the_only_member(const raft::Configuration& configuration) {
  etcdserverpb::Member self;
  self.set_id(id_);
  for (const std::string& url : options_.initial_advertise_peer_urls) self.add_peerurls(url);
  const auto forced = force_new_cluster(*log_, configuration, raft::Index(store_->applied_index()), self);
  if (!forced.ok()) return forced.status();
  forced_out_.insert(forced->leave.begin(), forced->leave.end());
  forced_until_ = forced->last;
  delete_removal_note(options_.data_dir);
  log_warning("this member is made a cluster of its own; what only others had is lost",
              {{"member", hex_id(id_)}, {"removed", forced->leave.size()}, {"index", forced->last.value()}});
  return {};
}

void LocalMember::connect_peers() {
  std::set<uint64_t> removed = removed_members(*store_);
  removed.insert(forced_out_.begin(), forced_out_.end());
  peer_table_.follow(id_, members(*store_), removed, now_ms());
}

void LocalMember::members_changed() {
  connect_peers();
  // Before that index, a member that was removed and is forced to go on still shows as removed.
  const bool removed = store_->record(removed_record(id_)).has_value();
  if (removed && raft::Index(store_->applied_index()) >= forced_until_) was_removed("the cluster's log says so");
  changes_.members_changed();
}

void LocalMember::was_removed(const std::string& how) {
  const std::lock_guard lock(removal_mutex_);
  if (removal_) return;
  removal_ = removed_from_cluster(id_, cluster_id_, options_.data_dir, how);
  removed_ms_ = now_ms();
}

void LocalMember::stop_if_removed() {
  Status removal;
  {
    const std::lock_guard lock(removal_mutex_);
    // As its own last act a leader makes known that it was removed (raft/core/membership.cc), which takes a round.
    if (!removal_ || now_ms() < removed_ms_ + kFarewellMs || engine_->soft_state().role == raft::Role::kLeader) return;
    if (removal_told_) return;
    removal_told_ = true;
    removal = *removal_;
  }
  leave_removal_note(options_.data_dir, removal);
  log_error("this member was removed from its cluster", {{"error", removal.text()}});
  failed_(std::move(removal));
}

std::string LocalMember::answer_http(std::string_view path) const {
  return answer_peer_http(path, cluster_id_, members(*store_), cluster_version());
}

}  // namespace kv::server
