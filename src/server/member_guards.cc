// What keeps a member from harm and tells of it: status, hashes, alarms, room, downgrades.
#include "base/log.h"
#include "base/metrics.h"
#include "server/downgrade.h"
#include "server/local_member.h"

namespace kv::server {
namespace {

// Room in which an alarm can surely still be written to the log. With less, the member refuses by itself and says
// nothing.
constexpr uint64_t kAlarmBytes = 1 << 20;

// As gogo/protobuf prints an AlarmMember, which is what clients of etcd find among a status's errors.
std::string alarm_text(const AlarmMember& alarm) {
  return "memberID:" + std::to_string(alarm.memberid()) + " alarm:" + AlarmType_Name(alarm.alarm()) + " ";
}

Status unknown_method() { return {Code::kUnknown, "etcdserver: unknown method"}; }
Status cluster_version_unavailable() {
  return {Code::kFailedPrecondition, "etcdserver: cluster version not found during downgrade"};
}

}  // namespace

// ---- what is told ----

void LocalMember::status(CallPtr, std::unique_ptr<StatusRequest>, Done<StatusResponse> done) {
  StatusResponse response;
  fill(response.mutable_header());
  const store::StoreStats stats = store_->stats();
  response.set_version(std::string(kServerVersion));
  response.set_storageversion(store_->record(kClusterVersionRecord).value_or(std::string(kClusterVersion)));
  response.set_dbsize(static_cast<int64_t>(stats.bytes_on_disk));
  response.set_dbsizeinuse(static_cast<int64_t>(stats.bytes_in_use));
  response.set_dbsizequota(options_.quota_bytes);
  response.set_leader(leader());
  response.set_raftindex(engine_->commit_index());
  response.set_raftterm(term_.load(std::memory_order_relaxed));
  response.set_raftappliedindex(engine_->applied_index());
  for (const etcdserverpb::Member& member : members(*store_))
    if (member.id() == id_) response.set_islearner(member.islearner());
  const auto target = store_->record(kDowngradeRecord);
  response.mutable_downgradeinfo()->set_enabled(target.has_value());
  response.mutable_downgradeinfo()->set_targetversion(target.value_or(""));
  if (leader() == 0) response.add_errors(errors::no_leader().text());
  for (const AlarmMember& alarm : alarms_.list()) response.add_errors(alarm_text(alarm));
  done(Status(), std::move(response));
}

void LocalMember::hash(CallPtr, std::unique_ptr<HashRequest>, Done<HashResponse> done) {
  corruption_.hash_all([this, done = std::move(done)](const Result<store::HashResult>& hashed) mutable {
    HashResponse response;
    if (!hashed.ok()) return done(hashed.status(), std::move(response));
    fill(response.mutable_header());
    response.mutable_header()->set_revision(hashed->revision);
    response.set_hash(hashed->hash);
    done(Status(), std::move(response));
  });
}

void LocalMember::hash_kv(CallPtr, std::unique_ptr<HashKVRequest> request, Done<HashKVResponse> done) {
  corruption_.hash(request->revision(),
                   [this, done = std::move(done)](const Result<store::HashResult>& hashed) mutable {
                     HashKVResponse response;
                     if (!hashed.ok()) return done(hashed.status(), std::move(response));
                     fill(response.mutable_header());
                     response.mutable_header()->set_revision(hashed->revision);
                     response.set_hash(hashed->hash);
                     response.set_compact_revision(hashed->compact_revision);
                     response.set_hash_revision(hashed->hash_revision);
                     done(Status(), std::move(response));
                   });
}

// ---- alarms ----

void LocalMember::alarm(CallPtr call, std::unique_ptr<AlarmRequest> request, Done<AlarmResponse> done) {
  // etcd leaves the revision in this header, and sends even a GET through the log; a confirmed read says the same.
  if (request->action() == AlarmRequest::GET) {
    if (Status refused = require_leader(*call); !refused.ok()) return done(std::move(refused), {});
    CallContext& context = *call;
    return read_then_post(context, [this, call = std::move(call), type = request->alarm(),
                                    done = std::move(done)](const Status& status) mutable {
      AlarmResponse response;
      if (status.ok()) {
        fill(response.mutable_header());
        for (AlarmMember& alarm : alarms_.list(type)) *response.add_alarms() = std::move(alarm);
      }
      done(status, std::move(response));
    });
  }
  if (request->action() != AlarmRequest::ACTIVATE && request->action() != AlarmRequest::DEACTIVATE)
    return done(unknown_method(), {});
  kvdpb::Command command;
  command.set_allocated_alarm(request.release());
  propose<AlarmResponse>(*call, command,
                         [this, done = std::move(done)](Status status, AlarmResponse&& response) mutable {
                           if (status.ok()) fill(response.mutable_header());
                           done(std::move(status), std::move(response));
                         });
}

// ---- room ----

SpaceGuard::Ports LocalMember::space_ports() {
  SpaceGuard::Ports ports;
  ports.state = [this] {
    const store::StoreStats stats = store_->stats();
    // What is proposed and not applied yet will be in both.
    const size_t proposed = calls_.bytes();
    return SpaceGuard::StateSize{stats.bytes_on_disk + proposed, stats.bytes_in_memory + proposed};
  };
  ports.disk = [path = options_.data_dir] { return disk_room(path); };
  ports.clock = &Clock::system();
  return ports;
}

void LocalMember::raise_no_space(SpaceGuard::Verdict why, absl::AnyInvocable<void()> then) {
  // One at a time: the others are answered without waiting for it.
  if (raising_no_space_.exchange(true)) return then();
  if (why == SpaceGuard::Verdict::kDisk) {
    if (leader() != 0 && space_.free_bytes() >= kAlarmBytes) {
      kvdpb::Command command;
      command.set_origin(id_);
      command.mutable_disk_alarm()->set_member(id_);
      command.mutable_disk_alarm()->set_raised(true);
      (void)engine_->propose(command.SerializeAsString());
    }
    raising_no_space_ = false;
    return then();
  }
  kvdpb::Command command;
  command.mutable_alarm()->set_action(AlarmRequest::ACTIVATE);
  command.mutable_alarm()->set_memberid(id_);
  command.mutable_alarm()->set_alarm(NOSPACE);
  propose<AlarmResponse>(*OwnCall::of_member(), command,
                         [this, then = std::move(then)](const Status&, AlarmResponse&&) mutable {
                           raising_no_space_ = false;
                           then();
                         });
}

void LocalMember::look_after_space() {
  const SpaceGuard::Verdict room = space_.look();
  // Also when what is left would do for a write smaller than the one that it was too little for.
  const bool disk_is_short =
      room == SpaceGuard::Verdict::kDisk || (alarms_.raised_by_disk(id_) && !space_.disk_is_well());
  if (disk_is_short && !disk_is_short_) {
    log_warning("the disk is nearly full: this member lets no more be written until there is room",
                {{"data_dir", options_.data_dir},
                 {"free_bytes", space_.free_bytes()},
                 {"reserve_bytes", space_.reserve_bytes()}});
    disk_is_short_ = true;
  } else if (disk_is_short_ && space_.disk_is_well()) {
    log_info("the disk has room again", {{"data_dir", options_.data_dir}, {"free_bytes", space_.free_bytes()}});
    disk_is_short_ = false;
  }
  if (leader() == 0) return;
  if (room != SpaceGuard::Verdict::kRoom && !alarms_.raised(id_, NOSPACE)) raise_no_space(room, [] {});
  if (!disk_is_short && alarms_.raised_by_disk(id_) && space_.disk_is_well()) {
    kvdpb::Command command;
    command.set_origin(id_);
    command.mutable_disk_alarm()->set_member(id_);
    (void)engine_->propose(command.SerializeAsString());
  }
  if (alarms_.raised(id_, NOSPACE)) free_space_after_compaction();
}

void LocalMember::free_space_after_compaction() {
  const int64_t compacted = store_->stats().compact_revision;
  if (compacted <= freed_compact_revision_) return;
  freed_compact_revision_ = compacted;
  store_->wait_compacted(compacted, [this](const Status& status) {
    if (!status.ok()) return;
    (void)heavy_work_.push([this] {
      if (const Status flushed = store_->flush(); !flushed.ok())
        log_warning("the state could not be flushed after a compaction", {{"error", flushed.text()}});
    });
  });
}

// ---- corruption ----

CorruptionCheck::Options LocalMember::corruption_options(const MemberOptions& options) {
  CorruptionCheck::Options check;
  check.interval_ms = options.corrupt_check_interval_ms;
  return check;
}

void LocalMember::start_corruption_check() {
  CorruptionCheck::Ports ports;
  ports.store = store_.get();
  ports.peers = &peer_calls_;
  ports.clock = &Clock::system();
  ports.self = raft::NodeId(id_);
  ports.others = [this] {
    std::vector<raft::NodeId> others;
    for (const etcdserverpb::Member& member : members(*store_))
      if (member.id() != id_) others.emplace_back(member.id());
    return others;
  };
  ports.leads = [this] { return engine_->soft_state().role == raft::Role::kLeader; };
  ports.corrupt = [this](uint64_t member) {
    kvdpb::Command command;
    command.set_origin(id_);
    command.mutable_alarm()->set_action(AlarmRequest::ACTIVATE);
    command.mutable_alarm()->set_memberid(member);
    command.mutable_alarm()->set_alarm(CORRUPT);
    (void)engine_->propose(command.SerializeAsString());
  };
  corruption_.start(std::move(ports));
}

// ---- downgrade ----

void LocalMember::downgrade(CallPtr call, std::unique_ptr<DowngradeRequest> request, Done<DowngradeResponse> done) {
  std::string target;  // empty: CANCEL
  switch (request->action()) {
    case DowngradeRequest::VALIDATE:
    case DowngradeRequest::ENABLE: {
      auto parsed = parse_cluster_version(request->version());
      if (!parsed.ok()) return done(parsed.status(), {});
      if (!store_->record(kClusterVersionRecord)) return done(cluster_version_unavailable(), {});
      target = *std::move(parsed);
      break;
    }
    case DowngradeRequest::CANCEL: break;
    default: return done(unknown_method(), {});
  }
  const auto answer = [this](Status status, Done<DowngradeResponse>& to) {
    DowngradeResponse response;
    if (status.ok()) {
      fill(response.mutable_header());
      response.set_version(short_version(store_->record(kClusterVersionRecord).value_or("")));
    }
    to(std::move(status), std::move(response));
  };
  const bool validate = request->action() == DowngradeRequest::VALIDATE;
  CallContext& context = *call;
  read_then_post(context, [this, call = std::move(call), target = std::move(target), validate, answer,
                           done = std::move(done)](const Status& ready) mutable {
    if (!ready.ok()) return answer(ready, done);
    const bool in_progress = store_->record(kDowngradeRecord).has_value();
    if (target.empty()) {
      // etcd 3.6 says this in its log and answers as if there had been one; older ones answered the error.
      if (!in_progress) {
        log_warning("there is no downgrade to cancel");
        return answer(Status(), done);
      }
    } else {
      const std::string version = store_->record(kClusterVersionRecord).value_or("");
      Status refused = check_downgrade(target, version, in_progress);
      if (validate || !refused.ok()) return answer(std::move(refused), done);
    }
    kvdpb::Command command;
    command.mutable_downgrade_target()->set_version(target);
    log_info(target.empty() ? "a downgrade is cancelled" : "a downgrade begins", {{"target", target}});
    propose<DowngradeResponse>(*call, command,
                               [answer, done = std::move(done)](Status status, DowngradeResponse&&) mutable {
                                 answer(std::move(status), done);
                               });
  });
}

}  // namespace kv::server
