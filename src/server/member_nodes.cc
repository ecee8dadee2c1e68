// Calls of /v2/keys.
#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "base/clock.h"
#include "server/local_member.h"

namespace kv::server {
namespace {

using kvdpb::Node;
using kvdpb::NodeRequest;
using kvdpb::NodeResponse;

// The leader is asked what is left of so many leases for one answer; nodes with others show no TTL.
constexpr size_t kMaxLeasesAsked = 1000;

void collect_leases(const Node& node, std::set<int64_t>* leases) {
  if (node.lease() != 0 && leases->size() < kMaxLeasesAsked) leases->insert(node.lease());
  for (const Node& child : node.nodes()) collect_leases(child, leases);
}

void set_ttls(Node* node, const std::map<int64_t, int64_t>& ttls_s, int64_t now_ms) {
  if (const auto ttl = ttls_s.find(node->lease()); ttl != ttls_s.end()) {
    node->set_ttl_s(ttl->second);
    node->set_expires_at_ms(now_ms + ttl->second * 1000);
  }
  for (Node& child : *node->mutable_nodes()) set_ttls(&child, ttls_s, now_ms);
}

// Collects what is left of leases, from several threads.
struct Asking {
  std::mutex mutex;  // guards all below
  NodeResponse response;
  Done<NodeResponse> done;
  size_t missing = 0;
  std::map<int64_t, int64_t> ttls_s;  // by lease
};

}  // namespace

void LocalMember::node(CallPtr call, std::unique_ptr<NodeRequest> request, Done<NodeResponse> done) {
  if (request->method() == NodeRequest::GET) return read_node(std::move(call), std::move(request), std::move(done));
  // What members could decide differently is decided here.
  if (request->has_ttl_s()) {
    request->set_ttl_s(std::clamp<int64_t>(request->ttl_s(), 1, store::kMaxLeaseTtlS));
    request->set_expires_at_ms(Clock::system().wall_ms() + request->ttl_s() * 1000);
    while (request->lease() == 0) request->set_lease(static_cast<int64_t>(random_number() >> 1));
  }
  kvdpb::Command command;
  command.set_allocated_node(request.release());
  CallContext& context = *call;
  propose<NodeResponse>(
      context, command,
      [this, call = std::move(call), done = std::move(done)](Status status, NodeResponse&& response) mutable {
        if (!status.ok()) return done(std::move(status), {});
        add_ttls(std::move(call), std::move(response), std::move(done));
      });
}

void LocalMember::read_node(CallPtr call, std::unique_ptr<NodeRequest> request, Done<NodeResponse> done) {
  if (Status refused = require_leader(*call); !refused.ok()) return done(std::move(refused), {});
  if (Status refused = check_readable(); !refused.ok()) return done(std::move(refused), {});
  CallContext& context = *call;
  const bool linearizable = request->quorum();
  auto serve = [this, call = std::move(call), request = std::move(request),
                done = std::move(done)](const Status& ready) mutable {
    if (!ready.ok()) return done(ready, {});
    NodeResponse response;
    Status status = read_permitted(
        *call,
        [&](const store::Rights& rights) {
          KV_RETURN_IF_ERROR(rights.permit(*request));
          // Of a directory, its names are read too. Whether it is one is known once it has been read.
          return response.node().dir() ? rights.permit_to_list(*request) : Status();
        },
        [&] {
          KV_RETURN_IF_ERROR(store_->node(*request, &response));
          if (!response.node().dir() || !store_->auth_enabled()) return Status();
          const auto state = store_->auth();
          return rights_of(*state, call->identity).permit_to_list(*request);
        });
    if (!status.ok()) return done(std::move(status), {});
    fill(response.mutable_header());
    response.set_raft_index(static_cast<int64_t>(store_->applied_index()));
    add_ttls(std::move(call), std::move(response), std::move(done));
  };
  if (!linearizable) return serve(Status());
  read_then_post(context, std::move(serve));
}

void LocalMember::add_ttls(CallPtr call, NodeResponse&& response, Done<NodeResponse> done) {
  // Of a lease that this very call has ended.
  if (response.prev_node().has_expires_at_ms()) {
    Node* before = response.mutable_prev_node();
    const int64_t left_ms = before->expires_at_ms() - Clock::system().wall_ms();
    before->set_ttl_s(std::max<int64_t>((left_ms + 999) / 1000, 1));
  }
  std::set<int64_t> leases;
  collect_leases(response.node(), &leases);
  collect_leases(response.prev_node(), &leases);
  for (const int64_t gone : response.revoked_leases()) leases.erase(gone);
  if (leases.empty() || leader() == 0) return done(Status(), std::move(response));
  const auto asking = std::make_shared<Asking>();
  asking->response = std::move(response);
  asking->done = std::move(done);
  asking->missing = leases.size();
  for (const int64_t id : leases) {
    auto question = std::make_unique<LeaseTimeToLiveRequest>();
    question->set_id(id);
    // A TTL that nobody can tell now (there is no leader) is left out; the rest of the answer holds all the same.
    time_to_live(call, std::move(question), [asking, id](const Status& status, LeaseTimeToLiveResponse&& left) {
      std::unique_lock lock(asking->mutex);
      // etcd 2 rounds up what is left, 3 down.
      if (status.ok() && left.ttl() >= 0) asking->ttls_s.emplace(id, std::min(left.ttl() + 1, left.grantedttl()));
      if (--asking->missing > 0) return;
      lock.unlock();
      const int64_t wall_ms = Clock::system().wall_ms();
      NodeResponse& answer = asking->response;
      if (answer.has_node()) set_ttls(answer.mutable_node(), asking->ttls_s, wall_ms);
      if (answer.has_prev_node()) set_ttls(answer.mutable_prev_node(), asking->ttls_s, wall_ms);
      asking->done(Status(), std::move(asking->response));
    });
  }
}

}  // namespace kv::server
