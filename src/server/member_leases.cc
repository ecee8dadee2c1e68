// Calls of leases and watches.
#include <algorithm>

#include "server/local_member.h"

namespace kv::server {

void LocalMember::lease_grant(CallPtr call, std::unique_ptr<LeaseGrantRequest> request, Done<LeaseGrantResponse> done) {
  if (Status bad = store::check(*request); !bad.ok()) return done(std::move(bad), {});
  // What members could decide differently is decided here: the id, and the least TTL, which is etcd's.
  while (request->id() == 0) request->set_id(static_cast<int64_t>(random_number() >> 1));
  request->set_ttl(std::max(request->ttl(), min_lease_ttl_s()));
  propose(*call, &kvdpb::Command::set_allocated_lease_grant, std::move(request), std::move(done));
}

void LocalMember::lease_revoke(CallPtr call, std::unique_ptr<LeaseRevokeRequest> request,
                               Done<LeaseRevokeResponse> done) {
  propose(*call, &kvdpb::Command::set_allocated_lease_revoke, std::move(request), std::move(done));
}

void LocalMember::lease_keep_alive(CallPtr call, std::unique_ptr<LeaseKeepAliveRequest> request,
                                   Done<LeaseKeepAliveResponse> done) {
  if (!store_->auth_enabled() || call->by_member)
    return keep_alive(std::move(call), std::move(request), std::move(done));
  // Who keeps a lease alive keeps the keys on it. A stream lasts longer than rights, so each request is looked at, with
  // rights that are no older than it.
  CallContext& context = *call;
  read_then_post(context, [this, call = std::move(call), request = std::move(request),
                           done = std::move(done)](const Status& ready) mutable {
    if (!ready.ok()) return done(ready, {});
    const auto who = authorizer_->who(*call);
    if (!who.ok()) return done(who.status(), {});
    const auto state = store_->auth();
    if (Status refused = rights_of(*state, *who).permit_to_write_lease(request->id()); !refused.ok())
      return done(std::move(refused), {});
    keep_alive(std::move(call), std::move(request), std::move(done));
  });
}

void LocalMember::keep_alive(CallPtr call, std::unique_ptr<LeaseKeepAliveRequest> request,
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
  if (!request->keys()) return time_to_live(std::move(call), std::move(request), std::move(done));
  // The leader names the keys, and this member looks at the rights once it has what is committed: so at least as new.
  auto with_keys = [this, call](Status status, LeaseTimeToLiveResponse&& response,
                                Done<LeaseTimeToLiveResponse>& answer) {
    if (status.ok()) {
      status = read_permitted(
          *call,
          [&response](const store::Rights& rights) {
            return rights.permit_to_read_keys({response.keys().begin(), response.keys().end()});
          },
          [] { return Status(); });
    }
    answer(status, status.ok() ? std::move(response) : LeaseTimeToLiveResponse());
  };
  CallPtr same = call;
  time_to_live(
      std::move(same), std::move(request),
      [this, call, with_keys, done = std::move(done)](Status status, LeaseTimeToLiveResponse&& response) mutable {
        if (!status.ok() || !store_->auth_enabled()) return with_keys(std::move(status), std::move(response), done);
        read_then_post(*call, [with_keys, response = std::move(response), done = std::move(done)](
                                  const Status& ready) mutable { with_keys(ready, std::move(response), done); });
      });
}

void LocalMember::time_to_live(CallPtr call, std::unique_ptr<LeaseTimeToLiveRequest> request,
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
    if (!status.ok()) return done(status, {});
    LeaseLeasesResponse response;
    // etcd's rule: who sees the leases may read what hangs on them.
    Status read = read_permitted(
        *call,
        [this](const store::Rights& rights) {
          KV_RETURN_IF_ERROR(rights.permit_to_read_keys({}));  // there may be no lease, but there is somebody
          for (const store::Lease& lease : leases_.leases()) KV_RETURN_IF_ERROR(rights.permit_to_read_lease(lease.id));
          return Status();
        },
        [&] {
          response.Clear();
          for (const store::Lease& lease : leases_.leases()) response.add_leases()->set_id(lease.id);
          return Status();
        });
    if (!read.ok()) return done(std::move(read), {});
    fill(response.mutable_header());
    done(Status(), std::move(response));
  });
}

std::unique_ptr<WatchStream> LocalMember::watch(CallPtr call, std::shared_ptr<WatchStream::Responses> sink) {
  const bool needs_leader = call->has_leader;
  if (Status refused = require_leader(*call); !refused.ok()) {
    sink->finish(std::move(refused));
    return nullptr;
  }
  if (Status refused = check_readable(); !refused.ok()) {
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
