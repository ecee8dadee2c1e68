// How a member is put together, started and stopped, and its worker.
#include "server/member.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "base/log.h"
#include "base/metrics.h"
#include "server/backup_checkpoint.h"
#include "server/bootstrap.h"
#include "server/identity.h"
#include "server/local_member.h"
#include "server/removal.h"
#include "server/restore.h"

namespace kv::server {
namespace {

int pipeline_threads(const MemberOptions& options) {
  if (options.pipeline_threads != 0) return options.pipeline_threads;
  return std::thread::hardware_concurrency() >= 4 ? 3 : 1;
}

Status make_directory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return {Code::kUnavailable, "cannot make directory " + path + ": " + std::strerror(errno)};
}

}  // namespace

uint64_t random_number() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

Result<std::unique_ptr<Member>> Member::start(const MemberOptions& options, std::function<void(Status)> failed) {
  auto member = std::make_unique<LocalMember>(options, std::move(failed));
  KV_RETURN_IF_ERROR(member->open());
  return std::unique_ptr<Member>(std::move(member));
}

LocalMember::LocalMember(const MemberOptions& options, std::function<void(Status)> failed)
    : options_(options),
      failed_(std::move(failed)),
      auto_compaction_(options.auto_compaction, now_ms()),
      calls_(options.max_pending_calls, options.max_pending_bytes, random_number()),
      peer_calls_(peer_call_ports(), random_number()),
      leases_(lease_options(options)),
      changes_(change_options(options)),
      peer_table_(peer_table_ports()),
      leaderless_(3 * options.election_timeout_ms),
      defragmenter_([this](std::atomic<bool>& cancel) { return defragment_state(cancel); }),
      backups_({.directory = options.data_dir + "/backup", .storage_version = std::string(kClusterVersion)},
               [this](const std::string& path) { return checkpoint_for_backup(*store_, path, cluster_id_, id_); }),
      stats_(Clock::system().wall_ms(), now_ms()),
      passwords_(options.bcrypt_cost),
      space_({.quota_bytes = options.quota_bytes, .min_free_bytes = options.min_free_bytes}, space_ports()),
      slow_calls_(options.slow_call_ms),
      corruption_(corruption_options(options)) {}

Status LocalMember::open() {
  KV_RETURN_IF_ERROR(check_no_restore(options_.data_dir));
  KV_RETURN_IF_ERROR(make_directory(options_.data_dir));
  raft::LogStore::Options log_options;
  log_options.path = options_.data_dir + "/log";
  log_options.sync = !options_.unsafe_no_fsync;
  auto log = raft::LogStore::open(log_options);
  if (!log.ok()) return log.status();
  log_ = std::move(*log);
  if (const auto removal = removal_note(options_.data_dir); removal && !options_.force_new_cluster) return *removal;
  auto bootstrap = identify(*log_, options_);
  if (!bootstrap.ok()) return bootstrap.status();
  id_ = bootstrap->member_id();
  cluster_id_ = bootstrap->cluster_id();
  KV_RETURN_IF_ERROR(recover_snapshots(snapshot_paths_, *log_));

  store::StoreOptions store_options;
  store_options.path = options_.data_dir + "/state";
  store_options.write_buffer_bytes = options_.write_buffer_bytes;
  store_options.block_cache_bytes = options_.block_cache_bytes;
  auto store = store::Store::open(store_options);
  if (!store.ok()) return store.status();
  store_ = std::move(*store);
  auto configuration = prepare_state(*store_, *log_, *bootstrap);
  if (!configuration.ok()) return configuration.status();
  auto authorizer = Authorizer::make(
      {options_.auth_token, options_.auth_token_ttl_ms}, *store_, Clock::system(),
      [this](const std::function<void(const Status&)>& ready) {
        Engine::ReadReady confirmed = [ready](const Status& s) { ready(s); };
        if (const Status s = engine_->read(confirmed); !s.ok()) ready(s);
      },
      [this](CallPtr call, std::string user, Secret password, Proved done) {
        prove(std::move(call), std::move(user), std::move(password), std::move(done));
      },
      [this](std::string_view user, std::string_view peer) { return login_limit_.may_try(user, peer, now_ms()); });
  if (!authorizer.ok()) return authorizer.status();
  authorizer_ = *std::move(authorizer);

  alarms_.load(*store_, id_);
  if (options_.force_new_cluster) KV_RETURN_IF_ERROR(become_the_only_member(*configuration));

  store::WatchHubOptions watch_options;
  watch_options.progress_interval_ms = options_.watch_progress_interval_ms;
  watch_options.seed = random_number();
  watch_parts_.hub = std::make_shared<store::WatchHubThread>(store_->changes(), watch_options, Clock::system());
  watch_parts_.cluster_id = cluster_id_;
  watch_parts_.member_id = id_;
  // The term lives as long as the member, and so do the streams.
  watch_parts_.term = std::shared_ptr<const std::atomic<uint64_t>>(std::shared_ptr<void>(), &term_);
  watch_parts_.max_response_bytes = options_.max_request_bytes + kTransportOverheadBytes;
  watch_parts_.who = [this](const CallContext& call) { return authorizer_->who(call); };
  watch_parts_.permit = [this](const store::Identity& who, const std::string& key, const std::string& range_end) {
    return store_->auth_enabled() ? store_->auth()->permit_read(who, key, range_end) : Status();
  };
  store_->set_commit_listener(watch_parts_.hub.get());

  applier_ = std::make_unique<Applier>(*store_, calls_, id_, cluster_id_, term_, &leases_, &authorizer_->tokens(),
                                       &alarms_, this);
  applier_->time_by(&slow_calls_);
  raft::Transport::Options transport_options;
  transport_options.cluster_id = cluster_id_;
  transport_options.id = raft::NodeId(id_);
  transport_options.listen_urls = options_.listen_peer_urls;
  transport_options.advertise_urls = options_.initial_advertise_peer_urls;
  transport_options.tls = options_.peer_tls;
  transport_options.check_dialler_names = options_.check_peer_names;
  for (const uint64_t id : removed_members(*store_)) transport_options.removed.emplace_back(id);
  for (const uint64_t id : forced_out_) transport_options.removed.emplace_back(id);
  transport_options.answer_http = [this](std::string_view path) { return answer_http(path); };
  transport_options.on_removed = [this](raft::NodeId by) { was_removed("member " + hex_id(by.value()) + " says so"); };
  make_engine(*configuration);
  start_leases();
  start_snapshots();
  start_member_changes();
  auto transport = raft::Transport::start(
      transport_options, [this](std::vector<raft::Message>&& messages) { engine_->deliver(std::move(messages)); },
      [this](raft::NodeId peer) { engine_->unreachable(peer); },
      [this](raft::NodeId peer) { engine_->stream_lost(peer); },
      {.received = [this](raft::NodeId from, std::string_view bytes) { return peer_calls_.receive(from, bytes); },
       .broken = [this](raft::NodeId peer) { peer_calls_.broken(peer); }});
  if (!transport.ok()) return transport.status();
  transport_ = std::move(*transport);
  members_changed();
  metrics_ = std::make_unique<MemberMetrics>(MemberMetrics::Sources{.id = id_,
                                                                    .data_dir = options_.data_dir,
                                                                    .store = *store_,
                                                                    .log = *log_,
                                                                    .transport = *transport_,
                                                                    .engine = *engine_,
                                                                    .calls = calls_,
                                                                    .term = term_,
                                                                    .watches = *watch_parts_.hub,
                                                                    .quota_bytes = options_.quota_bytes});

  KV_RETURN_IF_ERROR(backups_.start());
  worker_ = std::thread([this] { work(); });
  start_corruption_check();
  if (options_.corrupt_check_at_start) KV_RETURN_IF_ERROR(corruption_.check_at_start(request_timeout_ms()));
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

void LocalMember::stop(int64_t grace_ms) {
  if (stopped_.exchange(true)) return;
  if (engine_ && grace_ms > 0) hand_over_leadership(grace_ms);
  metrics_.reset();
  heavy_work_.close();
  defragmenter_.stop();
  backups_.stop();
  passwords_.stop();
  if (engine_) engine_->stop();
  leases_.stop();
  changes_.stop();
  peer_calls_.close();
  if (snapshot_receiver_) snapshot_receiver_->stop();
  if (snapshot_sender_) snapshot_sender_->stop();
  corruption_.stop();
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

void LocalMember::make_engine(const raft::Configuration& configuration) {
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
  engine.core.max_cached_bytes = options_.log_cache_bytes;
  engine.truncation.snapshot_count = options_.snapshot_count;
  engine.truncation.catchup_entries = options_.snapshot_catchup_entries;

  Engine::Ports ports;
  ports.log = log_.get();
  ports.applier = applier_.get();
  ports.calls = &calls_;
  ports.clock = &Clock::system();
  ports.send = [this](std::vector<raft::Message> messages) { transport_->send(std::move(messages)); };
  ports.forwards_to = [this](raft::NodeId leader) { return transport_->forwards_to(leader); };
  ports.failed = [this](Status status) {
    log_error("this member cannot go on", {{"error", status.text()}});
    calls_.close(errors::stopped());
    failed_(std::move(status));
  };
  ports.soft_state_changed = [this](raft::SoftState soft, raft::Term term) { on_soft_state(soft, term); };
  ports.fetch_snapshot = [this](const raft::SnapshotMeta& offered, raft::NodeId from) {
    snapshot_receiver_->fetch(offered, from);
  };
  ports.snapshot_installed = [this](const raft::SnapshotMeta&) {
    (void)heavy_work_.push([this] {
      members_changed();
      introduce_until_known();
    });
  };
  ports.snapshots_need_after = [this] { return snapshot_sender_->needed_after(); };
  ports.flush_state = [this] { flush_soon(); };
  engine_ = std::make_unique<Engine>(engine, std::move(ports), term_);
}

PeerCalls::Ports LocalMember::peer_call_ports() {
  PeerCalls::Ports ports;
  ports.send = [this](raft::NodeId to, std::string bytes) { return transport_->send_payload(to, std::move(bytes)); };
  ports.serve = [this](raft::NodeId from, kvdpb::PeerRequest&& request, int64_t expires_ms, PeerCalls::Reply reply) {
    if (request.has_snapshot_open() || request.has_snapshot_read() || request.has_snapshot_close()) {
      return snapshot_sender_->serve(from, std::move(request), std::move(reply));
    }
    if (request.has_membership())
      return changes_.serve(std::move(*request.mutable_membership()), expires_ms, std::move(reply));
    if (request.has_state_hash()) return corruption_.serve(request.state_hash(), std::move(reply));
    leases_.serve(std::move(request), expires_ms, std::move(reply));
  };
  ports.clock = &Clock::system();
  return ports;
}

void LocalMember::start_snapshots() {
  snapshot_sender_ =
      std::make_unique<SnapshotSender>(snapshot_paths_, *store_, Clock::system(), SnapshotSender::Options());
  snapshot_receiver_ = std::make_unique<SnapshotReceiver>(snapshot_paths_, SnapshotReceiver::Options());
  SnapshotReceiver::Ports ports;
  ports.peers = &peer_calls_;
  ports.store = store_.get();
  ports.clock = &Clock::system();
  ports.fetched = [this](Result<FetchedState> state) { engine_->snapshot_fetched(std::move(state)); };
  snapshot_receiver_->start(std::move(ports));
}

void LocalMember::flush_soon() {
  if (flushing_.exchange(true)) return;
  const bool queued = heavy_work_.push([this] {
    if (const Status flushed = store_->flush(); !flushed.ok()) {
      log_warning("the state could not be flushed; the log is kept meanwhile", {{"error", flushed.text()}});
    }
    flushing_.store(false);
  });
  if (!queued) flushing_.store(false);
}

void LocalMember::on_soft_state(raft::SoftState soft, raft::Term term) {
  static Counter& changes =
      Metrics::global().counter("etcd_server_leader_changes_seen_total", "The number of leader changes seen.");
  leases_.soft_state_changed(soft, term);
  changes_.soft_state_changed(soft, term);
  peer_calls_.leader_is(soft.leader);
  stats_.leader_is(soft.leader.value(), Clock::system().wall_ms(), now_ms());
  leaderless_.leader_known(static_cast<bool>(soft.leader), now_ms());
  if (soft.leader) {
    // A change of role under the same leader is none.
    if (const uint64_t last = std::exchange(last_leader_, soft.leader.value()); last != soft.leader.value()) {
      changes.add();
      if (last != 0) calls_.leader_lost();
      if (std::pair(soft.leader, term) == lost_leader_) {
        // Long enough for what has reached its log to be applied here.
        calls_.leader_returned(now_ms() + 2 * options_.election_timeout_ms);
      } else {
        calls_.leader_found();
      }
    }
    log_info("a leader is known",
             {{"leader", hex_id(soft.leader.value())}, {"term", term.value()}, {"role", raft::role_name(soft.role)}});
    transfers_.leader_is(soft.leader.value());
    introduce_myself();
  } else {
    if (const uint64_t last = std::exchange(last_leader_, 0); last != 0) {
      lost_leader_ = {raft::NodeId(last), term};
      calls_.leader_lost();
    }
    log_warning("no leader", {{"term", term.value()}, {"role", raft::role_name(soft.role)}});
  }
}

void LocalMember::fill(ResponseHeader* header) const {
  header->set_cluster_id(cluster_id_);
  header->set_member_id(id_);
  header->set_raft_term(term_.load(std::memory_order_relaxed));
  if (header->revision() == 0) header->set_revision(store_->revision().value());
}

void LocalMember::work() {
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
    if (snapshot_sender_->needed_after()) snapshot_sender_->expire();
    look_after_space();
    stats_.sample(transport_->stats(), now_ms());
    peer_table_.expire(now_ms());
    stop_if_removed();
    if (jobs.empty() && leader() != 0) introduce_until_known();
  }
  for (auto& job : jobs) job();
}

}  // namespace kv::server
