#include "server/member.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "kvdpb/command.pb.h"
#include "raft/transport.h"
#include "server/auto_compaction.h"
#include "server/bootstrap.h"
#include "server/engine.h"
#include "server/errors.h"
#include "server/identity.h"
#include "server/lease_calls.h"
#include "server/membership.h"
#include "server/peer_calls.h"
#include "server/range_stream.h"
#include "server/transfers.h"

namespace kv::server {
namespace {

using namespace etcdserverpb;

constexpr size_t kTransportOverheadBytes = 512 << 10;  // etcd's: a response may be so much larger than a request
constexpr int64_t kDispatchTimeoutMs = 5000;           // etcd's: a request may take this long, and two elections

int pipeline_threads(const MemberOptions& options) {
  if (options.pipeline_threads != 0) return options.pipeline_threads;
  return std::thread::hardware_concurrency() >= 4 ? 3 : 1;
}

uint64_t random_number() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

Status make_directory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return {Code::kUnavailable, "cannot make directory " + path + ": " + std::strerror(errno)};
}

// The one implementation; the interface above keeps its parts out of the header.
class LocalMember final : public Member {
 public:
  LocalMember(const MemberOptions& options, std::function<void(Status)> failed)
      : options_(options),
        failed_(std::move(failed)),
        auto_compaction_(options.auto_compaction, now_ms()),
        calls_(options.max_pending_calls, options.max_pending_bytes, random_number()),
        peer_calls_(peer_call_ports(), random_number()),
        leases_(lease_options(options)),
        leaderless_(3 * options.election_timeout_ms) {}

  ~LocalMember() override { stop(0); }

  Status open() {
    KV_RETURN_IF_ERROR(make_directory(options_.data_dir));
    raft::LogStore::Options log_options;
    log_options.path = options_.data_dir + "/log";
    log_options.sync = !options_.unsafe_no_fsync;
    auto log = raft::LogStore::open(log_options);
    if (!log.ok()) return log.status();
    log_ = std::move(*log);
    auto bootstrap = identify(*log_, options_);
    if (!bootstrap.ok()) return bootstrap.status();
    id_ = bootstrap->member_id();
    cluster_id_ = bootstrap->cluster_id();

    store::StoreOptions store_options;
    store_options.path = options_.data_dir + "/state";
    store_options.write_buffer_bytes = options_.write_buffer_bytes;
    store_options.block_cache_bytes = options_.block_cache_bytes;
    auto store = store::Store::open(store_options);
    if (!store.ok()) return store.status();
    store_ = std::move(*store);
    auto configuration = prepare_state(*store_, *log_, *bootstrap);
    if (!configuration.ok()) return configuration.status();

    store::WatchHubOptions watch_options;
    watch_options.progress_interval_ms = options_.watch_progress_interval_ms;
    watch_options.seed = random_number();
    watch_parts_.hub = std::make_shared<store::WatchHubThread>(store_->changes(), watch_options, Clock::system());
    watch_parts_.cluster_id = cluster_id_;
    watch_parts_.member_id = id_;
    // The term lives as long as the member, and so do the streams.
    watch_parts_.term = std::shared_ptr<const std::atomic<uint64_t>>(std::shared_ptr<void>(), &term_);
    watch_parts_.max_response_bytes = options_.max_request_bytes + kTransportOverheadBytes;
    watch_parts_.permit = [](const CallContext&, const std::string&, const std::string&) { return Status(); };
    store_->set_commit_listener(watch_parts_.hub.get());

    applier_ = std::make_unique<Applier>(*store_, calls_, id_, cluster_id_, term_, &leases_);
    raft::Transport::Options transport_options;
    transport_options.cluster_id = cluster_id_;
    transport_options.id = raft::NodeId(id_);
    transport_options.listen_urls = options_.listen_peer_urls;
    transport_options.advertise_urls = options_.initial_advertise_peer_urls;
    make_engine(*configuration);
    start_leases();
    auto transport = raft::Transport::start(
        transport_options, [this](std::vector<raft::Message>&& messages) { engine_->deliver(std::move(messages)); },
        [this](raft::NodeId peer) { engine_->unreachable(peer); },
        [this](raft::NodeId peer) { engine_->stream_lost(peer); },
        {.received = [this](raft::NodeId from, std::string_view bytes) { return peer_calls_.receive(from, bytes); },
         .broken = [this](raft::NodeId peer) { peer_calls_.broken(peer); }});
    if (!transport.ok()) return transport.status();
    transport_ = std::move(*transport);
    connect_peers();

    worker_ = std::thread([this] { work(); });
    engine_->start();
    // Alone, there is nobody to wait for.
    if (configuration->voters.size() == 1 && configuration->voters[0] == raft::NodeId(id_))
      engine_->run([](raft::Core& core) { core.campaign(); });
    log_info("member started", {{"name", options_.name},
                                {"member", hex_id(id_)},
                                {"cluster", hex_id(cluster_id_)},
                                {"applied_index", store_->applied_index()},
                                {"revision", store_->revision().value()}});
    return {};
  }

  void stop(int64_t grace_ms) override {
    if (stopped_.exchange(true)) return;
    if (engine_ && grace_ms > 0) hand_over_leadership(grace_ms);
    heavy_work_.close();
    if (engine_) engine_->stop();
    leases_.stop();
    peer_calls_.close();
    if (watch_parts_.hub) watch_parts_.hub->stop(errors::stopped());
    calls_.close(errors::stopped());
    if (worker_.joinable()) worker_.join();
    transfers_.close();
    transport_.reset();
    if (store_) {
      if (const Status flushed = store_->flush(); !flushed.ok())
        log_warning("the state could not be flushed; the next start replays more of the log",
                    {{"error", flushed.text()}});
    }
  }

  // ---- key space ----

  void range(CallPtr call, std::unique_ptr<RangeRequest> request, Done<RangeResponse> done) override {
    if (Status bad = store::check(*request); !bad.ok()) return done(std::move(bad), {});
    if (Status refused = require_leader(*call); !refused.ok()) return done(std::move(refused), {});
    if (request->serializable()) return serve_range(*request, done);
    CallContext& context = *call;
    read_then_post(context, [this, call = std::move(call), request = std::move(request),
                             done = std::move(done)](const Status& status) mutable {
      if (!status.ok()) return done(status, {});
      serve_range(*request, done);
    });
  }

  void range_stream(CallPtr call, std::unique_ptr<RangeRequest> request,
                    std::shared_ptr<Sink<RangeStreamResponse>> sink) override {
    if (Status bad = store::check_stream(*request); !bad.ok()) return sink->finish(std::move(bad));
    if (Status refused = require_leader(*call); !refused.ok()) return sink->finish(std::move(refused));
    CallContext& context = *call;
    const bool serializable = request->serializable();
    auto serve = [this, call = std::move(call), request = std::move(request),
                  sink = std::move(sink)](const Status& ready) mutable {
      if (!ready.ok()) return sink->finish(ready);
      auto cursor = store_->open_range(*request);
      if (!cursor.ok()) return sink->finish(cursor.status());
      run_range_stream(
          std::move(call), *std::move(cursor),
          {.piece_bytes = options_.max_request_bytes, .fill = [this](ResponseHeader* header) { fill(header); }},
          std::move(sink));
    };
    if (serializable) return serve(Status());
    read_then_post(context, std::move(serve));
  }

  void put(CallPtr call, std::unique_ptr<PutRequest> request, Done<PutResponse> done) override {
    if (Status bad = store::check(*request); !bad.ok()) return done(std::move(bad), {});
    kvdpb::Command command;
    command.set_allocated_put(request.release());
    propose(*call, command, std::move(done));
  }

  void delete_range(CallPtr call, std::unique_ptr<DeleteRangeRequest> request,
                    Done<DeleteRangeResponse> done) override {
    if (Status bad = store::check(*request); !bad.ok()) return done(std::move(bad), {});
    kvdpb::Command command;
    command.set_allocated_delete_range(request.release());
    propose(*call, command, std::move(done));
  }

  void txn(CallPtr call, std::unique_ptr<TxnRequest> request, Done<TxnResponse> done) override {
    if (Status bad = store::check(*request, options_.max_txn_ops); !bad.ok()) return done(std::move(bad), {});
    if (store::is_read_only(*request)) return read_txn(std::move(call), std::move(request), std::move(done));
    kvdpb::Command command;
    command.set_allocated_txn(request.release());
    propose(*call, command, std::move(done));
  }

  void compact(CallPtr call, std::unique_ptr<CompactionRequest> request, Done<CompactionResponse> done) override {
    const bool physical = request->physical();
    const int64_t revision = request->revision();
    kvdpb::Command command;
    command.set_allocated_compact(request.release());
    if (!physical) return propose(*call, command, std::move(done));
    propose<CompactionResponse>(
        *call, command, [this, revision, done = std::move(done)](Status status, CompactionResponse&& response) mutable {
          if (!status.ok()) return done(std::move(status), std::move(response));
          auto shared = std::make_shared<std::pair<Done<CompactionResponse>, CompactionResponse>>(std::move(done),
                                                                                                  std::move(response));
          store_->wait_compacted(
              revision, [shared](Status compacted) { shared->first(std::move(compacted), std::move(shared->second)); });
        });
  }

  // ---- leases ----

  void lease_grant(CallPtr call, std::unique_ptr<LeaseGrantRequest> request, Done<LeaseGrantResponse> done) override {
    if (Status bad = store::check(*request); !bad.ok()) return done(std::move(bad), {});
    // What members could decide differently is decided here: the id, and the least TTL, which is etcd's.
    while (request->id() == 0) request->set_id(static_cast<int64_t>(random_number() >> 1));
    request->set_ttl(std::max(request->ttl(), min_lease_ttl_s()));
    kvdpb::Command command;
    command.set_allocated_lease_grant(request.release());
    propose(*call, command, std::move(done));
  }

  void lease_revoke(CallPtr call, std::unique_ptr<LeaseRevokeRequest> request,
                    Done<LeaseRevokeResponse> done) override {
    kvdpb::Command command;
    command.set_allocated_lease_revoke(request.release());
    propose(*call, command, std::move(done));
  }

  void lease_keep_alive(CallPtr call, std::unique_ptr<LeaseKeepAliveRequest> request,
                        Done<LeaseKeepAliveResponse> done) override {
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

  void lease_time_to_live(CallPtr call, std::unique_ptr<LeaseTimeToLiveRequest> request,
                          Done<LeaseTimeToLiveResponse> done) override {
    kvdpb::PeerRequest question;
    question.set_allocated_lease_time_to_live(request.release());
    ask_leader(std::move(call), std::move(question),
               [this, done = std::move(done)](Status status, kvdpb::PeerResponse&& answer) mutable {
                 fill(answer.mutable_lease_time_to_live()->mutable_header());
                 done(std::move(status), std::move(*answer.mutable_lease_time_to_live()));
               });
  }

  void lease_leases(CallPtr call, std::unique_ptr<LeaseLeasesRequest>, Done<LeaseLeasesResponse> done) override {
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

  std::unique_ptr<WatchStream> watch(CallPtr call, std::shared_ptr<WatchStream::Responses> sink) override {
    const bool needs_leader = call->has_leader;
    if (Status refused = require_leader(*call); !refused.ok()) {
      sink->finish(std::move(refused));
      return nullptr;
    }
    auto stream = std::make_unique<WatchStream>(watch_parts_, std::move(call), std::move(sink));
    if (needs_leader) stream->end_without(leaderless_);
    return stream;
  }

  // ---- cluster and maintenance ----

  void member_list(CallPtr call, std::unique_ptr<MemberListRequest> request, Done<MemberListResponse> done) override {
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
    read_then_post(context, [call = std::move(call), answer = std::move(answer)](const Status& status) mutable {
      answer(status);
    });
  }

  void status(CallPtr, std::unique_ptr<StatusRequest>, Done<StatusResponse> done) override {
    StatusResponse response;
    fill(response.mutable_header());
    const store::StoreStats stats = store_->stats();
    response.set_version(std::string(kServerVersion));
    response.set_storageversion(std::string(kClusterVersion));
    response.set_dbsize(static_cast<int64_t>(stats.bytes_on_disk));
    response.set_dbsizeinuse(static_cast<int64_t>(stats.bytes_in_use));
    response.set_leader(leader());
    response.set_raftindex(engine_->commit_index());
    response.set_raftterm(term_.load(std::memory_order_relaxed));
    response.set_raftappliedindex(engine_->applied_index());
    for (const etcdserverpb::Member& member : members(*store_))
      if (member.id() == id_) response.set_islearner(member.islearner());
    if (leader() == 0) response.add_errors(errors::no_leader().text());
    done(Status(), std::move(response));
  }

  void hash(CallPtr call, std::unique_ptr<HashRequest>, Done<HashResponse> done) override {
    hash_kv(std::move(call), std::make_unique<HashKVRequest>(),
            [done = std::move(done)](Status status, HashKVResponse&& hashed) mutable {
              HashResponse response;
              *response.mutable_header() = hashed.header();
              response.set_hash(hashed.hash());
              done(std::move(status), std::move(response));
            });
  }

  void hash_kv(CallPtr, std::unique_ptr<HashKVRequest> request, Done<HashKVResponse> done) override {
    // A scan: not on a door's thread.
    auto shared = std::make_shared<Done<HashKVResponse>>(std::move(done));
    const bool taken = heavy_work_.push([this, revision = request->revision(), shared]() mutable {
      HashKVResponse response;
      const auto hashed = store_->hash_kv(revision);
      if (!hashed.ok()) return (*shared)(hashed.status(), std::move(response));
      fill(response.mutable_header());
      response.mutable_header()->set_revision(hashed->revision);
      response.set_hash(hashed->hash);
      response.set_compact_revision(hashed->compact_revision);
      response.set_hash_revision(hashed->hash_revision);
      (*shared)(Status(), std::move(response));
    });
    if (!taken) (*shared)(stopped_ ? errors::stopped() : errors::too_many_requests(), {});
  }

  void alarm(CallPtr, std::unique_ptr<AlarmRequest> request, Done<AlarmResponse> done) override {
    AlarmResponse response;
    // Nothing raises an alarm yet, so there is none to list and none to end.
    if (request->action() == AlarmRequest::ACTIVATE) return done({Code::kUnimplemented, "etcdserver: not capable"}, {});
    fill(response.mutable_header());
    done(Status(), std::move(response));
  }

  void move_leader(CallPtr, std::unique_ptr<MoveLeaderRequest> request, Done<MoveLeaderResponse> done) override {
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

  void auth_status(CallPtr, std::unique_ptr<AuthStatusRequest>, Done<AuthStatusResponse> done) override {
    AuthStatusResponse response;
    fill(response.mutable_header());
    done(Status(), std::move(response));
  }

  // ---- facts ----

  uint64_t id() const override { return id_; }
  uint64_t cluster_id() const override { return cluster_id_; }
  Leaderless& leaderless() override { return leaderless_; }
  uint64_t leader() const override { return engine_->soft_state().leader.value(); }
  std::string cluster_version() const override { return store_->record(kClusterVersionRecord).value_or("not_decided"); }

  void check_health(bool serializable, std::function<void(Status)> done) override {
    if (leader() == 0) return done(errors::no_leader());
    if (serializable) return done(Status());
    Engine::ReadReady ready = [done](const Status& status) { done(status); };
    if (const Status refused = engine_->read(ready); !refused.ok()) done(refused);
  }

  std::vector<uint16_t> peer_ports() const override { return transport_->bound_ports(); }

 private:
  static int64_t now_ms() { return Clock::system().monotonic_ms(); }

  int64_t request_timeout_ms() const { return kDispatchTimeoutMs + 2 * options_.election_timeout_ms; }

  void make_engine(const raft::Configuration& configuration) {
    EngineOptions engine;
    engine.core.id = raft::NodeId(id_);
    engine.core.heartbeat_ticks = 1;
    engine.core.election_ticks =
        static_cast<uint32_t>(std::max<int64_t>(2, options_.election_timeout_ms / options_.heartbeat_interval_ms));
    engine.core.pre_vote = options_.pre_vote;
    engine.core.seed = random_number();
    engine.initial.hard_state = log_->hard_state();
    engine.initial.configuration = configuration;
    engine.initial.applied = raft::Index(store_->applied_index());
    engine.tick_ms = options_.heartbeat_interval_ms;
    engine.pipeline_threads = pipeline_threads(options_);
    engine.request_timeout_ms = request_timeout_ms();
    engine.sync = !options_.unsafe_no_fsync;

    Engine::Ports ports;
    ports.log = log_.get();
    ports.applier = applier_.get();
    ports.calls = &calls_;
    ports.clock = &Clock::system();
    ports.send = [this](std::vector<raft::Message> messages) { transport_->send(std::move(messages)); };
    ports.failed = [this](Status status) {
      log_error("this member cannot go on", {{"error", status.text()}});
      calls_.close(errors::stopped());
      failed_(std::move(status));
    };
    ports.soft_state_changed = [this](raft::SoftState soft, raft::Term term) { on_soft_state(soft, term); };
    ports.configuration_changed = [](const raft::Configuration&) {};
    engine_ = std::make_unique<Engine>(engine, std::move(ports), term_);
  }

  PeerCalls::Ports peer_call_ports() {
    PeerCalls::Ports ports;
    ports.send = [this](raft::NodeId to, std::string bytes) { return transport_->send_payload(to, std::move(bytes)); };
    ports.serve = [this](raft::NodeId, kvdpb::PeerRequest&& request, int64_t expires_ms, PeerCalls::Reply reply) {
      leases_.serve(std::move(request), expires_ms, std::move(reply));
    };
    ports.clock = &Clock::system();
    return ports;
  }

  static LeaseCalls::Options lease_options(const MemberOptions& options) {
    LeaseCalls::Options leases;
    leases.lessor.checkpoints = options.lease_checkpoints;
    leases.lessor.checkpoint_interval_ms = options.lease_checkpoint_interval_ms;
    return leases;
  }

  void start_leases() {
    LeaseCalls::Ports ports;
    ports.store = store_.get();
    ports.engine = engine_.get();
    ports.peers = &peer_calls_;
    ports.clock = &Clock::system();
    ports.self = raft::NodeId(id_);
    ports.run_slowly = [this](absl::AnyInvocable<void()> work) { return heavy_work_.push(std::move(work)); };
    leases_.start(ports);
  }

  // One and a half election timeouts, rounded up to seconds: nobody could keep a shorter lease alive over an election.
  int64_t min_lease_ttl_s() const {
    const int64_t ticks = options_.election_timeout_ms / options_.heartbeat_interval_ms;
    return (3 * ticks / 2 * options_.heartbeat_interval_ms + 999) / 1000;
  }

  void connect_peers() {
    for (const etcdserverpb::Member& member : members(*store_)) {
      if (member.id() == id_) continue;
      transport_->add_peer({raft::NodeId(member.id()), {member.peerurls().begin(), member.peerurls().end()}});
    }
  }

  // On the engine's thread.
  void on_soft_state(raft::SoftState soft, raft::Term term) {
    static Gauge& has_leader = Metrics::global().gauge("etcd_server_has_leader", "Whether a leader is known");
    static Gauge& is_leader = Metrics::global().gauge("etcd_server_is_leader", "Whether this member leads");
    static Counter& changes =
        Metrics::global().counter("etcd_server_leader_changes_seen_total", "Leader changes this member has seen");
    leases_.soft_state_changed(soft, term);
    peer_calls_.leader_is(soft.leader);
    has_leader.set(soft.leader ? 1 : 0);
    leaderless_.leader_known(static_cast<bool>(soft.leader), now_ms());
    is_leader.set(soft.role == raft::Role::kLeader ? 1 : 0);
    if (soft.leader) {
      changes.add();
      log_info("a leader is known",
               {{"leader", hex_id(soft.leader.value())}, {"term", term.value()}, {"role", raft::role_name(soft.role)}});
      transfers_.leader_is(soft.leader.value());
      introduce_myself();
    } else {
      log_warning("no leader", {{"term", term.value()}, {"role", raft::role_name(soft.role)}});
    }
  }

  // Tells the cluster how this member is called and where its clients reach it, when the list says otherwise, and
  // as the leader which API level is served. On the engine's thread, whenever a leader is known: a command that was
  // lost is sent again with the next leader, and retried by the worker until the list is right.
  void introduce_myself() {
    (void)heavy_work_.push([this] { introduce_until_known(); });
  }

  void introduce_until_known() {
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
    if (engine_->soft_state().role == raft::Role::kLeader && !store_->record(kClusterVersionRecord)) {
      kvdpb::Command command;
      command.set_origin(id_);
      command.mutable_cluster_version()->set_version(std::string(kClusterVersion));
      (void)engine_->propose(command.SerializeAsString());
    }
  }

  void hand_over_leadership(int64_t grace_ms) {
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

  // ---- the ways of a call ----

  Status require_leader(const CallContext& call) const {
    return call.has_leader && leader() == 0 ? errors::no_leader() : Status();
  }

  void fill(ResponseHeader* header) const {
    header->set_cluster_id(cluster_id_);
    header->set_member_id(id_);
    header->set_raft_term(term_.load(std::memory_order_relaxed));
    if (header->revision() == 0) header->set_revision(store_->revision().value());
  }

  void serve_range(const RangeRequest& request, Done<RangeResponse>& done) {
    RangeResponse response;
    Status status = store_->range(request, &response);
    if (status.ok()) fill(response.mutable_header());
    done(std::move(status), std::move(response));
  }

  // A transaction of ranges only needs no log entry.
  void read_txn(CallPtr call, std::unique_ptr<TxnRequest> request, Done<TxnResponse> done) {
    if (Status refused = require_leader(*call); !refused.ok()) return done(std::move(refused), {});
    const auto serializable = [](const auto& ops) {
      return std::all_of(ops.begin(), ops.end(), [](const RequestOp& op) { return op.request_range().serializable(); });
    };
    // etcd also answers a transaction without any operation from the member's own state, where a compare can be
    // stale without anybody having asked for that; here it must have been asked for.
    const bool asked = request->success_size() + request->failure_size() > 0;
    const bool local = asked && serializable(request->success()) && serializable(request->failure());
    auto serve = [this, request = std::move(request), done = std::move(done)](const Status& ready) mutable {
      TxnResponse response;
      Status status = ready.ok() ? store_->txn(*request, &response) : ready;
      if (status.ok()) fill(response.mutable_header());
      done(std::move(status), std::move(response));
    };
    if (local) return serve(Status());
    CallContext& context = *call;
    read_then_post(context,
                   [call = std::move(call), serve = std::move(serve)](const Status& status) mutable { serve(status); });
  }

  // Waits for a confirmed read, then goes on with `next` on the call's own thread. `next` keeps the call alive.
  template <typename Next>
  void read_then_post(CallContext& call, Next next) {
    auto shared = std::make_shared<Next>(std::move(next));
    Engine::ReadReady ready = [&call, shared](Status status) {
      call.post([shared, status = std::move(status)] { (*shared)(status); });
    };
    if (const Status refused = engine_->read(ready); !refused.ok()) (*shared)(refused);
  }

  void ask_leader(CallPtr call, kvdpb::PeerRequest question, LeaseCalls::Done done) {
    if (Status refused = require_leader(*call); !refused.ok()) return done(std::move(refused), {});
    leases_.ask(std::move(question), std::move(call), now_ms() + request_timeout_ms(), std::move(done));
  }

  template <typename Response>
  void propose(const CallContext& call, kvdpb::Command& command, Done<Response> done) {
    if (Status refused = require_leader(call); !refused.ok()) return done(std::move(refused), {});
    const size_t bytes = command.ByteSizeLong();
    if (bytes > options_.max_request_bytes) return done(errors::too_large(), {});
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
    if (!engine_->propose(command.SerializeAsString())) {
      for (Completion& taken : calls_.take({*number}))
        if (taken) taken(errors::stopped(), nullptr);
    }
  }

  void compact_when_due() {
    if (const CompactionEnd end = compaction_end_.exchange(CompactionEnd::kNone); end != CompactionEnd::kNone)
      auto_compaction_.ended(now_ms(), end == CompactionEnd::kDone);
    const bool leading = engine_->soft_state().role == raft::Role::kLeader;
    const int64_t revision = auto_compaction_.poll(now_ms(), store_->revision().value(), leading);
    if (revision == 0) return;
    auto request = std::make_unique<CompactionRequest>();
    request->set_revision(revision);
    compact(std::make_shared<OwnCall>(), std::move(request), [this, revision](Status status, CompactionResponse&&) {
      // What somebody else has compacted further is done as well.
      const bool done = status.ok() || status.code() == Code::kOutOfRange;
      if (done) {
        log_info("history compacted by itself", {{"revision", revision}});
      } else {
        log_warning("history could not be compacted; it is tried again",
                    {{"revision", revision}, {"error", status.text()}});
      }
      compaction_end_ = done ? CompactionEnd::kDone : CompactionEnd::kFailed;
    });
  }

  // The worker: what takes long and must hold up neither a door nor the engine.
  void work() {
    name_this_thread("kvd-worker");
    std::vector<absl::AnyInvocable<void()>> jobs;
    // Looks after transfers that time out, after an introduction that was lost on its way, and whether history is old
    // enough to go.
    const auto next_look = [this] {
      const int64_t wait_ms = std::min<int64_t>(500, std::max<int64_t>(1, auto_compaction_.next_ms() - now_ms()));
      return std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
    };
    while (heavy_work_.take_all(jobs, next_look())) {
      for (auto& job : jobs) job();
      transfers_.expire(now_ms());
      compact_when_due();
      peer_calls_.expire();
      leaderless_.expire(now_ms());
      if (jobs.empty() && leader() != 0) introduce_until_known();
    }
    for (auto& job : jobs) job();
  }

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
  Transfers transfers_;
  Leaderless leaderless_;
  WatchStream::Parts watch_parts_;
  Inbox<absl::AnyInvocable<void()>> heavy_work_{1024};
  std::unique_ptr<raft::LogStore> log_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Applier> applier_;
  std::unique_ptr<raft::Transport> transport_;
  std::unique_ptr<Engine> engine_;
  std::thread worker_;
};

}  // namespace

Result<std::unique_ptr<Member>> Member::start(const MemberOptions& options, std::function<void(Status)> failed) {
  auto member = std::make_unique<LocalMember>(options, std::move(failed));
  KV_RETURN_IF_ERROR(member->open());
  return std::unique_ptr<Member>(std::move(member));
}

}  // namespace kv::server
