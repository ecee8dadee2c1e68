// What an operator asks of one member.
#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "base/log.h"
#include "server/local_member.h"
#include "server/maintenance_metrics.h"

namespace kv::server {

void LocalMember::move_leader(CallPtr, std::unique_ptr<MoveLeaderRequest> request, Done<MoveLeaderResponse> done) {
  const uint64_t target = request->targetid();
  if (leader() != id_) return done(errors::not_leader(), {});
  const auto known = members(*store_);
  const auto found = std::find_if(known.begin(), known.end(), [&](const auto& m) { return m.id() == target; });
  if (found == known.end() || found->islearner()) return done(errors::bad_transferee(), {});
  if (target == id_) {
    MoveLeaderResponse response;
    fill(response.mutable_header());
    return done(Status(), std::move(response));
  }
  transfers_.wait_for(target, now_ms() + 2 * options_.election_timeout_ms,
                      [this, done = std::move(done)](Status status) mutable {
                        MoveLeaderResponse response;
                        fill(response.mutable_header());
                        done(std::move(status), std::move(response));
                      });
  engine_->run([target](raft::Core& core) { core.transfer_leadership(raft::NodeId(target)); });
}

MemberStats LocalMember::stats() const {
  MemberStats stats = stats_.read(transport_->stats(), now_ms());
  stats.name = options_.name;
  stats.leads = engine_->soft_state().role == raft::Role::kLeader;
  return stats;
}

void LocalMember::check_health(bool serializable, std::function<void(Status)> done) {
  if (serializable) {
    RangeRequest request;
    request.set_key(std::string(1, '\0'));
    request.set_range_end(std::string(1, '\0'));
    request.set_limit(1);
    request.set_keys_only(true);
    RangeResponse response;
    return done(store_->range(request, &response));
  }
  if (leader() == 0) return done(errors::no_leader());
  Engine::ReadReady ready = [done](const Status& status) { done(status); };
  if (const Status refused = engine_->read(ready); !refused.ok()) done(refused);
}

void LocalMember::hand_over_leadership(int64_t grace_ms) {
  if (leader() != id_) return;
  // Shared with a callback that may outlive the wait.
  struct Wait {
    std::mutex mutex;
    std::condition_variable changed;
    bool over = false;
  };
  auto wait = std::make_shared<Wait>();
  const auto finish = [wait] {
    const std::lock_guard lock(wait->mutex);
    wait->over = true;
    wait->changed.notify_all();
  };
  engine_->run([this, finish, grace_ms](raft::Core& core) {
    const raft::CoreStatus status = core.status();
    const raft::PeerStatus* best = nullptr;
    for (const raft::PeerStatus& peer : status.peers) {
      if (peer.learner || !peer.recently_active) continue;
      if (!best || peer.match > best->match) best = &peer;
    }
    if (!best) return finish();
    log_info("handing leadership over", {{"to", hex_id(best->id.value())}});
    transfers_.wait_for_change(id_, now_ms() + grace_ms, [finish](Status) { finish(); });
    core.transfer_leadership(best->id);
  });
  std::unique_lock lock(wait->mutex);
  wait->changed.wait_for(lock, std::chrono::milliseconds(grace_ms), [&] { return wait->over; });
}

void LocalMember::defragment(CallPtr, std::unique_ptr<DefragmentRequest>, Done<DefragmentResponse> done) {
  auto shared = std::make_shared<Done<DefragmentResponse>>(std::move(done));
  // etcd fills no header here.
  defragmenter_.run([shared](Status status) { (*shared)(std::move(status), {}); });
}

Status LocalMember::defragment_state(std::atomic<bool>& cancel) {
  const MaintenanceMetrics& metrics = maintenance_metrics();
  const uint64_t bytes_before = store_->stats().bytes_on_disk;
  const int64_t since_ms = now_ms();
  log_info("defragmenting", {{"bytes", bytes_before}});
  metrics.defragment_inflight.set(1);
  Status status = store_->defragment(cancel);
  metrics.defragment_inflight.set(0);
  const int64_t took_ms = now_ms() - since_ms;
  if (status.ok()) {
    metrics.defragment_seconds.observe(static_cast<double>(took_ms) / 1000);
    log_info("defragmented",
             {{"bytes_before", bytes_before}, {"bytes_after", store_->stats().bytes_on_disk}, {"took_ms", took_ms}});
  } else {
    log_warning("the defragmentation came to no end", {{"took_ms", took_ms}, {"error", status.text()}});
  }
  return status;
}

void LocalMember::snapshot(CallPtr call, std::unique_ptr<SnapshotRequest>,
                           std::shared_ptr<Sink<SnapshotResponse>> sink) {
  if (Status refused = require_leader(*call); !refused.ok()) return sink->finish(std::move(refused));
  backups_.serve(std::move(call), std::move(sink));
}

}  // namespace kv::server
