// Calls of leases and watches.
#include <algorithm>

#include "server/local_member.h"

namespace kv::server {

void LocalMember::lease_grant(CallPtr call, std::unique_ptr<LeaseGrantRequest> request, Done<LeaseGrantResponse> done) {
  if (Status bad = store::check(*request); !bad.ok()) return done(std::move(bad), {});
  // What members could decide differently is decided here: the id, and the least TTL, which is etcd's.
  while (request->id() == 0) request->set_id(static_cast<int64_t>(random_number() >> 1));
  request->set_ttl(std::max(request->ttl(), min_lease_ttl_s()));
  kvdpb::Command command;
  command.set_allocated_lease_grant(request.release());
  propose(*call, command, std::move(done));
}

void LocalMember::lease_revoke(CallPtr call, std::unique_ptr<LeaseRevokeRequest> request,
                               Done<LeaseRevokeResponse> done) {
  kvdpb::Command command;
  command.set_allocated_lease_revoke(request.release());
  propose(*call, command, std::move(done));
}

void LocalMember::lease_keep_alive(CallPtr call, std::unique_ptr<LeaseKeepAliveRequest> request,
                                   Done<LeaseKeepAliveResponse> done) {
  // The header says what was before the lease was found alive, as in etcd: a lease that is revoked in a revision is
  // never said to have been kept alive in a later one.
  ResponseHeader header;
  fill(&header);
  kvdpb::PeerRequest question;
  question.set_allocated_lease_keep_alive(request.release());
  ask_leader(std::move(call), std::move(question),
             [header, done = std::move(done)](Status status, kvdpb::PeerResponse&& answer) mutable {
               *answer.mutable_lease_keep_alive()->mutable_header() = header;
               done(std::move(status), std::move(*answer.mutable_lease_keep_alive()));
             });
}

void LocalMember::lease_time_to_live(CallPtr call, std::unique_ptr<LeaseTimeToLiveRequest> request,
                                     Done<LeaseTimeToLiveResponse> done) {
  kvdpb::PeerRequest question;
  question.set_allocated_lease_time_to_live(request.release());
  ask_leader(std::move(call), std::move(question),
             [this, done = std::move(done)](Status status, kvdpb::PeerResponse&& answer) mutable {
               fill(answer.mutable_lease_time_to_live()->mutable_header());
               done(std::move(status), std::move(*answer.mutable_lease_time_to_live()));
             });
}

void LocalMember::lease_leases(CallPtr call, std::unique_ptr<LeaseLeasesRequest>, Done<LeaseLeasesResponse> done) {
  if (Status refused = require_leader(*call); !refused.ok()) return done(std::move(refused), {});
  CallContext& context = *call;
  read_then_post(context, [this, call = std::move(call), done = std::move(done)](const Status& status) mutable {
    LeaseLeasesResponse response;
    if (status.ok()) {
      fill(response.mutable_header());
      for (const store::Lease& lease : leases_.leases()) response.add_leases()->set_id(lease.id);
    }
    done(status, std::move(response));
  });
}

std::unique_ptr<WatchStream> LocalMember::watch(CallPtr call, std::shared_ptr<WatchStream::Responses> sink) {
  const bool needs_leader = call->has_leader;
  if (Status refused = require_leader(*call); !refused.ok()) {
    sink->finish(std::move(refused));
    return nullptr;
  }
  auto stream = std::make_unique<WatchStream>(watch_parts_, std::move(call), std::move(sink));
  if (needs_leader) stream->end_without(leaderless_);
  return stream;
}

LeaseCalls::Options LocalMember::lease_options(const MemberOptions& options) {
  LeaseCalls::Options leases;
  leases.lessor.checkpoints = options.lease_checkpoints;
  leases.lessor.checkpoint_interval_ms = options.lease_checkpoint_interval_ms;
  return leases;
}

void LocalMember::start_leases() {
  LeaseCalls::Ports ports;
  ports.store = store_.get();
  ports.engine = engine_.get();
  ports.peers = &peer_calls_;
  ports.clock = &Clock::system();
  ports.self = raft::NodeId(id_);
  ports.run_slowly = [this](absl::AnyInvocable<void()> work) { return heavy_work_.push(std::move(work)); };
  leases_.start(ports);
}

int64_t LocalMember::min_lease_ttl_s() const {
  const int64_t ticks = options_.election_timeout_ms / options_.heartbeat_interval_ms;
  return (3 * ticks / 2 * options_.heartbeat_interval_ms + 999) / 1000;
}

void LocalMember::ask_leader(CallPtr call, kvdpb::PeerRequest question, LeaseCalls::Done done) {
  if (Status refused = require_leader(*call); !refused.ok()) return done(std::move(refused), {});
  leases_.ask(std::move(question), std::move(call), now_ms() + request_timeout_ms(), std::move(done));
}

}  // namespace kv::server
