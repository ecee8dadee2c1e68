// The one implementation of Member, behind its interface. What a call does is in member_keys.cc, member_leases.cc,
// member_cluster.cc, member_maintenance.cc, member_guards.cc and member_auth.cc; how the member is put together,
// started and stopped in member.cc. Included by these alone.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/thread.h"
#include "kvdpb/command.pb.h"
#include "raft/transport.h"
#include "server/alarms.h"
#include "server/authorizer.h"
#include "server/auto_compaction.h"
#include "server/backups.h"
#include "server/corruption_check.h"
#include "server/defragmenter.h"
#include "server/engine.h"
#include "server/errors.h"
#include "server/lease_calls.h"
#include "server/login_limit.h"
#include "server/member.h"
#include "server/member_changes.h"
#include "server/member_metrics.h"
#include "server/membership.h"
#include "server/passwords.h"
#include "server/peer_calls.h"
#include "server/peer_table.h"
#include "server/slow_calls.h"
#include "server/snapshot_receiver.h"
#include "server/snapshot_sender.h"
#include "server/space_cost.h"
#include "server/space_guard.h"
#include "server/transfers.h"
#include "store/auth_rights.h"

namespace kv::server {

using namespace etcdserverpb;  // this header is private to the files named above

uint64_t random_number();

class LocalMember final : public Member, public MembershipObserver {
 public:
  LocalMember(const MemberOptions& options, std::function<void(Status)> failed);
  ~LocalMember() override { stop(0); }

  Status open();

  void stop(int64_t grace_ms) override;

  // ---- key space ----

  void range(CallPtr call, std::unique_ptr<RangeRequest> request, Done<RangeResponse> done) override;
  void range_stream(CallPtr call, std::unique_ptr<RangeRequest> request,
                    std::shared_ptr<Sink<RangeStreamResponse>> sink) override;
  void put(CallPtr call, std::unique_ptr<PutRequest> request, Done<PutResponse> done) override;
  void delete_range(CallPtr call, std::unique_ptr<DeleteRangeRequest> request, Done<DeleteRangeResponse> done) override;
  void txn(CallPtr call, std::unique_ptr<TxnRequest> request, Done<TxnResponse> done) override;
  void compact(CallPtr call, std::unique_ptr<CompactionRequest> request, Done<CompactionResponse> done) override;
  void node(CallPtr call, std::unique_ptr<kvdpb::NodeRequest> request, Done<kvdpb::NodeResponse> done) override;
  store::NodeAction node_action(int64_t revision) const override { return store_->node_action(revision); }

  // ---- leases ----

  void lease_grant(CallPtr call, std::unique_ptr<LeaseGrantRequest> request, Done<LeaseGrantResponse> done) override;
  void lease_revoke(CallPtr call, std::unique_ptr<LeaseRevokeRequest> request, Done<LeaseRevokeResponse> done) override;
  void lease_keep_alive(CallPtr call, std::unique_ptr<LeaseKeepAliveRequest> request,
                        Done<LeaseKeepAliveResponse> done) override;
  void lease_time_to_live(CallPtr call, std::unique_ptr<LeaseTimeToLiveRequest> request,
                          Done<LeaseTimeToLiveResponse> done) override;
  void lease_leases(CallPtr call, std::unique_ptr<LeaseLeasesRequest>, Done<LeaseLeasesResponse> done) override;

  std::unique_ptr<WatchStream> watch(CallPtr call, std::shared_ptr<WatchStream::Responses> sink) override;

  // ---- cluster ----

  void member_list(CallPtr call, std::unique_ptr<MemberListRequest> request, Done<MemberListResponse> done) override;
  void member_add(CallPtr call, std::unique_ptr<MemberAddRequest> request, Done<MemberAddResponse> done) override;
  void member_remove(CallPtr call, std::unique_ptr<MemberRemoveRequest> request,
                     Done<MemberRemoveResponse> done) override;
  void member_update(CallPtr call, std::unique_ptr<MemberUpdateRequest> request,
                     Done<MemberUpdateResponse> done) override;
  void member_promote(CallPtr call, std::unique_ptr<MemberPromoteRequest> request,
                      Done<MemberPromoteResponse> done) override;

  // ---- maintenance ----

  void status(CallPtr, std::unique_ptr<StatusRequest>, Done<StatusResponse> done) override;
  void hash(CallPtr call, std::unique_ptr<HashRequest>, Done<HashResponse> done) override;
  void hash_kv(CallPtr, std::unique_ptr<HashKVRequest> request, Done<HashKVResponse> done) override;
  void alarm(CallPtr, std::unique_ptr<AlarmRequest> request, Done<AlarmResponse> done) override;
  void move_leader(CallPtr, std::unique_ptr<MoveLeaderRequest> request, Done<MoveLeaderResponse> done) override;
  void defragment(CallPtr call, std::unique_ptr<DefragmentRequest> request, Done<DefragmentResponse> done) override;
  void downgrade(CallPtr call, std::unique_ptr<DowngradeRequest> request, Done<DowngradeResponse> done) override;
  void snapshot(CallPtr call, std::unique_ptr<SnapshotRequest> request,
                std::shared_ptr<Sink<SnapshotResponse>> sink) override;

  // ---- users and roles ----

  void auth_status(CallPtr, std::unique_ptr<AuthStatusRequest>, Done<AuthStatusResponse> done) override;
  void auth_enable(CallPtr call, std::unique_ptr<AuthEnableRequest> request, Done<AuthEnableResponse> done) override;
  void auth_disable(CallPtr call, std::unique_ptr<AuthDisableRequest> request, Done<AuthDisableResponse> done) override;
  void authenticate(CallPtr call, std::unique_ptr<AuthenticateRequest> request,
                    Done<AuthenticateResponse> done) override;
  void user_add(CallPtr call, std::unique_ptr<AuthUserAddRequest> request, Done<AuthUserAddResponse> done) override;
  void user_get(CallPtr call, std::unique_ptr<AuthUserGetRequest> request, Done<AuthUserGetResponse> done) override;
  void user_list(CallPtr call, std::unique_ptr<AuthUserListRequest> request, Done<AuthUserListResponse> done) override;
  void user_delete(CallPtr call, std::unique_ptr<AuthUserDeleteRequest> request,
                   Done<AuthUserDeleteResponse> done) override;
  void user_change_password(CallPtr call, std::unique_ptr<AuthUserChangePasswordRequest> request,
                            Done<AuthUserChangePasswordResponse> done) override;
  void user_grant_role(CallPtr call, std::unique_ptr<AuthUserGrantRoleRequest> request,
                       Done<AuthUserGrantRoleResponse> done) override;
  void user_revoke_role(CallPtr call, std::unique_ptr<AuthUserRevokeRoleRequest> request,
                        Done<AuthUserRevokeRoleResponse> done) override;
  void role_add(CallPtr call, std::unique_ptr<AuthRoleAddRequest> request, Done<AuthRoleAddResponse> done) override;
  void role_get(CallPtr call, std::unique_ptr<AuthRoleGetRequest> request, Done<AuthRoleGetResponse> done) override;
  void role_list(CallPtr call, std::unique_ptr<AuthRoleListRequest> request, Done<AuthRoleListResponse> done) override;
  void role_delete(CallPtr call, std::unique_ptr<AuthRoleDeleteRequest> request,
                   Done<AuthRoleDeleteResponse> done) override;
  void role_grant_permission(CallPtr call, std::unique_ptr<AuthRoleGrantPermissionRequest> request,
                             Done<AuthRoleGrantPermissionResponse> done) override;
  void role_revoke_permission(CallPtr call, std::unique_ptr<AuthRoleRevokePermissionRequest> request,
                              Done<AuthRoleRevokePermissionResponse> done) override;

  Gate& gate() override { return *authorizer_; }

  // ---- facts ----

  uint64_t id() const override { return id_; }
  uint64_t cluster_id() const override { return cluster_id_; }
  uint64_t applied_index() const override { return store_->applied_index(); }
  Leaderless& leaderless() override { return leaderless_; }
  uint64_t leader() const override { return engine_->soft_state().leader.value(); }
  std::string cluster_version() const override { return store_->record(kClusterVersionRecord).value_or("not_decided"); }

  void check_health(bool serializable, std::function<void(Status)> done) override;

  bool was_removed(uint64_t id) const override { return removed_members(*store_).contains(id); }
  MemberStats stats() const override;
  const store::NodeCounts& node_counts() const override { return store_->node_counts(); }

  std::vector<etcdserverpb::AlarmMember> alarms() const override { return alarms_.list(); }
  std::vector<uint16_t> peer_ports() const override { return transport_->bound_ports(); }

 private:
  static constexpr size_t kTransportOverheadBytes = 512
                                                    << 10;  // etcd's: a response may be so much larger than a request
  static constexpr int64_t kDispatchTimeoutMs = 5000;       // etcd's: a request may take this long, and two elections

  // For so long whoever is removed keeps its streams and goes on: answers still arrive, and so does the news.
  static constexpr int64_t kFarewellMs = 1000;

  static int64_t now_ms() { return Clock::system().monotonic_ms(); }

  int64_t request_timeout_ms() const { return kDispatchTimeoutMs + 2 * options_.election_timeout_ms; }

  void make_engine(const raft::Configuration& configuration);

  PeerCalls::Ports peer_call_ports();

  static LeaseCalls::Options lease_options(const MemberOptions& options);

  void start_leases();

  // One and a half election timeouts, rounded up to seconds: nobody could keep a shorter lease alive over an election.
  int64_t min_lease_ttl_s() const;

  // The transport follows the state's member list.
  void connect_peers();
  // --force-new-cluster, before anybody is heard.
  Status become_the_only_member(const raft::Configuration& configuration);
  // MembershipObserver; also at the start, and when another member's state was installed.
  void members_changed() override;
  void start_member_changes();
  static MemberChanges::Options change_options(const MemberOptions& options);
  PeerTable::Ports peer_table_ports();
  template <typename Response>
  void change_members(const CallContext& call, kvdpb::MembershipRequest request, Done<Response> done);
  // Answers a stranger's GET on the peer port, as etcd does: who takes part, and which version this is.
  std::string answer_http(std::string_view path) const;
  // Any thread.
  void was_removed(const std::string& how);
  // The worker's: stops the member once it was removed, leads nobody and had time to answer.
  void stop_if_removed();

  void start_snapshots();
  // On the engine's thread.
  void flush_soon();

  // On the engine's thread.
  void on_soft_state(raft::SoftState soft, raft::Term term);

  // Tells the cluster how this member is called and where its clients reach it, when the list says otherwise, and
  // as the leader which API level is served. On the engine's thread, whenever a leader is known: a command that was
  // lost is sent again with the next leader, and retried by the worker until the list is right.
  void introduce_myself();

  void introduce_until_known();

  void hand_over_leadership(int64_t grace_ms);

  // ---- guards: room, alarms, corruption ----

  SpaceGuard::Ports space_ports();
  static CorruptionCheck::Options corruption_options(const MemberOptions& options);
  void start_corruption_check();
  // What refuses a write for want of room tells the cluster first, as etcd's does; `then` is called in any case.
  void raise_no_space(SpaceGuard::Verdict why, absl::AnyInvocable<void()> then);
  // The worker's look: raises this member's alarm when room is short, and ends it when the disk has room again.
  void look_after_space();
  // Compaction leaves what can go; while the alarm is raised it is made to go at once.
  void free_space_after_compaction();
  // Refuses reads while this member is known to be corrupt.
  Status check_readable() const { return alarms_.refuses_reads(); }

  // ---- the ways of a call ----

  Status require_leader(const CallContext& call) const {
    return call.has_leader && leader() == 0 ? errors::no_leader() : Status();
  }

  void fill(ResponseHeader* header) const;

  void serve_range(const CallContext& call, const RangeRequest& request, Done<RangeResponse>& done);

  // ... of /v2/keys, and what is left of the leases in its answer.
  void read_node(CallPtr call, std::unique_ptr<kvdpb::NodeRequest> request, Done<kvdpb::NodeResponse> done);
  void add_ttls(CallPtr call, kvdpb::NodeResponse&& response, Done<kvdpb::NodeResponse> done);

  // A transaction of ranges only needs no log entry.
  void read_txn(CallPtr call, std::unique_ptr<TxnRequest> request, Done<TxnResponse> done);

  // Waits for a confirmed read, then goes on with `next` on the call's own thread. `next` keeps the call alive.
  template <typename Next>
  void read_then_post(CallContext& call, Next next) {
    auto shared = std::make_shared<Next>(std::move(next));
    Engine::ReadReady ready = [&call, shared](Status status) {
      call.post([shared, status = std::move(status)] { (*shared)(status); });
    };
    if (const Status refused = engine_->read(ready); !refused.ok()) (*shared)(refused);
  }

  void keep_alive(CallPtr call, std::unique_ptr<LeaseKeepAliveRequest> request, Done<LeaseKeepAliveResponse> done);
  void time_to_live(CallPtr call, std::unique_ptr<LeaseTimeToLiveRequest> request, Done<LeaseTimeToLiveResponse> done);
  void ask_leader(CallPtr call, kvdpb::PeerRequest question, LeaseCalls::Done done);

  template <typename Response>
  void propose(const CallContext& call, kvdpb::Command& command, Done<Response> done) {
    if (Status refused = require_leader(call); !refused.ok()) return done(std::move(refused), {});
    const size_t bytes = command.ByteSizeLong();
    if (bytes > options_.max_request_bytes) return done(errors::too_large(), {});
    if (Status refused = alarms_.refuses(command); !refused.ok()) return done(std::move(refused), {});
    if (const auto room = space_.ask(space_cost(command)); room != SpaceGuard::Verdict::kRoom)
      return raise_no_space(room, [done = std::move(done)]() mutable { done(errors::no_space(), {}); });
    // Done exactly once: by the completion when the call was added, else here.
    auto shared = std::make_shared<Done<Response>>(std::move(done));
    Completion completion = [shared](Status status, google::protobuf::Message* response) {
      if (!status.ok()) return (*shared)(std::move(status), Response());
      (*shared)(Status(), std::move(*static_cast<Response*>(response)));
    };
    const auto number = calls_.add(bytes, now_ms() + request_timeout_ms(), completion);
    if (!number.ok()) return (*shared)(number.status(), Response());
    command.set_origin(id_);
    command.set_call(*number);
    // In whose name it is applied.
    if (!call.identity.nobody()) {
      command.set_user(call.identity.user);
      command.set_auth_revision(call.identity.revision);
    }
    if (call.by_member) command.set_by_member(true);
    if (!engine_->propose(command.SerializeAsString(), *number)) {
      for (Completion& taken : calls_.take({*number}))
        if (taken) taken(errors::stopped(), nullptr);
    }
  }

  // The command that is this request and nothing else: `set` hands it over.
  template <typename Request, typename Response>
  void propose(const CallContext& call, void (kvdpb::Command::*set)(Request*), std::unique_ptr<Request> request,
               Done<Response> done) {
    kvdpb::Command command;
    (command.*set)(request.release());
    propose(call, command, std::move(done));
  }

  Status defragment_state(std::atomic<bool>& cancel);
  // ---- rights (server/gate.h) ----

  // Of what this member has applied. Both arguments must outlive it.
  store::Rights rights_of(const store::AuthState& state, const store::Identity& who) const {
    return {state, who, [this](int64_t lease) { return store_->lease_keys(lease); }};
  }

  // Reads by `read` what `permitted`, which is asked of a store::Rights, allows this caller. It is asked before, so
  // that nothing is read for those who may not; and after, when rights have changed meanwhile: what was read may be as
  // young as the rights that forbid it.
  template <typename Permitted, typename Read>
  Status read_permitted(const CallContext& call, Permitted permitted, Read read) {
    const auto ask = [&](const store::AuthState& state) { return permitted(rights_of(state, call.identity)); };
    if (call.by_member) return read();
    if (!store_->auth_enabled()) {
      Status status = read();
      if (!store_->auth_enabled()) return status;
      const Status refused = ask(*store_->auth());
      return refused.ok() ? status : refused;
    }
    const auto before = store_->auth();
    KV_RETURN_IF_ERROR(ask(*before));
    Status status = read();
    const auto after = store_->auth();
    if (after != before) KV_RETURN_IF_ERROR(ask(*after));
    return status;
  }

  Status check_password(const std::string& password) const;
  // Proposes the request, with the hash of a password that is checked first.
  template <typename Request, typename Response>
  void propose_hashed(CallPtr call, void (kvdpb::Command::*set)(Request*), std::unique_ptr<Request> request,
                      Secret password, Done<Response> done);
  // Whether the password is the user's, and the user at this moment. AuthFailed if not, or what kept it from being
  // known.
  using Proved = BasicLogins::Proved;
  void prove(CallPtr call, std::string user, Secret password, Proved done);
  struct Login;
  void compare(std::shared_ptr<Login> login);
  void issue_token(const CallContext& call, const store::Identity& identity, Done<AuthenticateResponse> done);
  // Answers by `answer`, from users and roles at least as new as all that was committed before the call.
  template <typename Response, typename Answer>
  void read_auth(CallPtr call, Done<Response> done, Answer answer);

  void compact_when_due();

  // The worker: what takes long and must hold up neither a door nor the engine.
  void work();

  const MemberOptions options_;
  const std::function<void(Status)> failed_;
  uint64_t id_ = 0;
  uint64_t cluster_id_ = 0;
  std::atomic<uint64_t> term_{0};
  std::atomic<bool> stopped_{false};

  AutoCompaction auto_compaction_;  // the worker's
  enum class CompactionEnd : uint8_t { kNone, kDone, kFailed };
  std::atomic<CompactionEnd> compaction_end_{CompactionEnd::kNone};  // of the one it asked for; the worker takes it
  PendingCalls calls_;
  PeerCalls peer_calls_;
  LeaseCalls leases_;
  MemberChanges changes_;
  PeerTable peer_table_;
  std::set<uint64_t> forced_out_;  // by --force-new-cluster; constant once started
  raft::Index forced_until_;       // before this is applied, the state shows those members still
  std::mutex removal_mutex_;       // guards the three below
  std::optional<Status> removal_;  // this member was removed
  int64_t removed_ms_ = 0;         // since when it is known
  bool removal_told_ = false;
  Transfers transfers_;
  Leaderless leaderless_;
  Defragmenter defragmenter_;
  Backups backups_;
  StatsKeeper stats_;
  LoginLimit login_limit_;
  Passwords passwords_;
  Alarms alarms_;
  SpaceGuard space_;
  SlowCalls slow_calls_;
  CorruptionCheck corruption_;
  std::atomic<bool> raising_no_space_{false};
  bool disk_is_short_ = false;          // the worker's, as it said last
  int64_t freed_compact_revision_ = 0;  // the worker's
  WatchStream::Parts watch_parts_;
  Inbox<absl::AnyInvocable<void()>> heavy_work_{1024};
  std::unique_ptr<raft::LogStore> log_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Authorizer> authorizer_;
  std::unique_ptr<Applier> applier_;
  std::unique_ptr<raft::Transport> transport_;
  std::unique_ptr<Engine> engine_;
  const SnapshotPaths snapshot_paths_{options_.data_dir};
  std::unique_ptr<SnapshotSender> snapshot_sender_;
  std::unique_ptr<SnapshotReceiver> snapshot_receiver_;
  std::atomic<bool> flushing_{false};
  std::thread worker_;
  uint64_t last_leader_ = 0;  // that was counted; the engine's thread, the next too
  std::pair<raft::NodeId, raft::Term> lost_leader_;
  std::unique_ptr<MemberMetrics> metrics_;  // reads nearly all of the above: gone first
};

}  // namespace kv::server
