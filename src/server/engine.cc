#include "server/engine.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "server/errors.h"
#include "server/proposal_queue.h"
#include "server/read_queue.h"
#include "server/stages.h"

namespace kv::server {
namespace {

using raft::Index;
using raft::Message;
using raft::Ready;

// Messages from peers that may wait for the engine. Beyond it they are dropped, which raft allows.
constexpr size_t kMaxWaitingMessageBytes = 256 << 20;

// What followers forwarded that may wait for the core to take it (leadership is moving, too much is uncommitted).
// Beyond it they are dropped.
constexpr size_t kMaxForwardedBytes = 64 << 20;

size_t approximate_bytes(const Message& message) {
  size_t bytes = 128;
  if (const auto* append = std::get_if<raft::AppendRequest>(&message.body)) {
    for (const raft::Entry& entry : append->entries) bytes += entry.bytes();
  } else if (const auto* forward = std::get_if<raft::Forward>(&message.body)) {
    bytes += forward->data ? forward->data->size() : 0;
  }
  return bytes;
}

struct EngineMetrics {
  Counter& late_heartbeats = Metrics::global().counter(
      "etcd_server_heartbeat_send_failures_total",
      "The total number of leader heartbeat send failures (likely overloaded from slow disk).");
  // Counted by SlowCalls, and shown from the start.
  Counter& slow_applies = Metrics::global().counter(
      "etcd_server_slow_apply_total", "The total number of slow apply requests (likely overloaded from slow disk).");
};

// What the apply stage is handed: entries, or a state that takes the place of the present one.
struct ApplyWork {
  std::vector<CommittedEntry> entries;
  std::unique_ptr<store::NextState> next;
};

struct Applied {
  Index index;
  Status status;
  bool installed = false;
};

struct Persisted {
  uint64_t number;
  std::vector<Message> then_send;
  Status status;
  std::optional<Index> begun_after;
};

}  // namespace

// All that the engine's thread owns, and the inbox (guarded by mutex_) through which others reach it.
class Engine::Loop {
 public:
  Loop(Engine& engine, const EngineOptions& options, Ports ports)
      : engine_(engine),
        options_(options),
        ports_(std::move(ports)),
        core_(options.core, options.initial, *ports_.log),
        applied_(options.initial.applied),
        proposals_(*ports_.calls),
        truncation_(options.truncation, ports_.log->first_index(), ports_.log->last_index(),
                    ports_.log->loaded_bytes()),
        configurations_{{options.initial.applied, options.initial.configuration}},
        log_stage_("kvd-log", options.pipeline_threads > 1, [this](auto&& w) { write_log(std::move(w)); }),
        apply_stage_("kvd-apply", options.pipeline_threads > 1, [this](auto&& work) { apply(std::move(work)); }) {}

  // The engine's thread.
  void on_fetched(Result<FetchedState>&& state);

  // ---- any thread ----

  bool propose(std::string&& command, uint64_t call) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return false;
      arrivals_.proposals.emplace_back(std::move(command), call);
      if (!arm_locked()) return true;
    }
    wake_.notify_one();
    return true;
  }

  Status read(ReadReady& ready) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return errors::stopped();
      if (arrivals_.reads.size() + reads_.size() >= options_.max_waiting_reads) return errors::too_many_requests();
      arrivals_.reads.push_back(std::move(ready));
      if (!arm_locked()) return {};
    }
    wake_.notify_one();
    return {};
  }

  void deliver(std::vector<Message>&& messages) {
    size_t bytes = 0;
    for (const Message& m : messages) bytes += approximate_bytes(m);
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || arrivals_.message_bytes + bytes > kMaxWaitingMessageBytes) return;
      arrivals_.message_bytes += bytes;
      std::move(messages.begin(), messages.end(), std::back_inserter(arrivals_.messages));
      if (!arm_locked()) return;
    }
    wake_.notify_one();
  }

  void run(absl::AnyInvocable<void(raft::Core&)>&& work) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      arrivals_.work.push_back(std::move(work));
      if (!arm_locked()) return;
    }
    wake_.notify_one();
  }

  void start() {
    thread_ = std::thread([this] { loop(); });
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

 private:
  struct Arrivals {
    std::vector<std::pair<std::string, uint64_t>> proposals;  // commands and the numbers of their calls
    std::vector<ReadReady> reads;
    std::vector<Message> messages;
    size_t message_bytes = 0;
    std::vector<absl::AnyInvocable<void(raft::Core&)>> work;
    std::vector<Persisted> persisted;
    std::vector<Applied> applied;

    bool empty() const {
      return proposals.empty() && reads.empty() && messages.empty() && work.empty() && persisted.empty() &&
             applied.empty();
    }
  };

  // True when the sleeping engine must be woken.
  bool arm_locked() {
    const bool was = sleeping_;
    sleeping_ = false;
    return was;
  }

  // ---- the engine's thread ----

  void loop() {
    name_this_thread("kvd-engine");
    using Clock = std::chrono::steady_clock;
    const auto tick = std::chrono::milliseconds(options_.tick_ms);
    auto next_tick = Clock::now() + tick;
    Arrivals arrived;
    publish(core_.status().soft_state, /*log=*/false);
    while (true) {
      {
        std::unique_lock lock(mutex_);
        if (arrivals_.empty() && !closed_) {
          sleeping_ = true;
          wake_.wait_until(lock, next_tick, [this] { return closed_ || !arrivals_.empty(); });
          sleeping_ = false;
        }
        if (closed_) break;
        std::swap(arrived, arrivals_);
      }
      now_ms_ = ports_.clock->monotonic_ms();
      take_in(arrived);
      // One tick at most, after the messages that waited: a member that was held up must not take the time that
      // it slept for the leader's silence.
      if (const auto now = Clock::now(); now >= next_tick) {
        // A whole interval late: the followers have missed a heartbeat, as etcd counts it.
        if (now >= next_tick + tick && core_.is_leader()) metrics_.late_heartbeats.add();
        next_tick = std::max(next_tick + tick, now + tick / 2);
        on_tick();
      }
      do {
        propose_again_ = false;
        propose_what_waits();
        work_off_readys();
      } while (propose_again_);
    }
    end_reads(errors::stopped());
  }

  void take_in(Arrivals& arrived) {
    for (Persisted& p : arrived.persisted) on_persisted(std::move(p));
    for (const Applied& a : arrived.applied) on_applied(a);
    for (Message& message : arrived.messages) step(std::move(message));
    for (auto& work : arrived.work) work(core_);
    const int64_t expires_ms = now_ms_ + options_.request_timeout_ms;
    for (auto& [command, call] : arrived.proposals) proposals_.add(std::move(command), call, expires_ms);
    if (!arrived.reads.empty()) core_.read_index(reads_.add(std::move(arrived.reads), expires_ms));
    arrived = Arrivals();
  }

  void step(Message&& message) {
    // A follower's proposals join ours in one entry instead of making one each. Only those of this term: what came too
    // late is proposed again by whoever sent it, and must not come into the log twice.
    if (auto* forward = std::get_if<raft::Forward>(&message.body);
        forward && forward->type == raft::EntryType::kCommand && forward->data && core_.is_leader() &&
        message.term == core_.term()) {
      forget_forwarded_of_another_term();
      if (forwarded_bytes_ + forward->data->size() > kMaxForwardedBytes) propose_what_waits();
      if (forwarded_bytes_ > 0 && forwarded_bytes_ + forward->data->size() > kMaxForwardedBytes) return;
      forwarded_bytes_ += forward->data->size();
      forwarded_.emplace_back(std::move(forward->data), now_ms_ + options_.request_timeout_ms);
      return;
    }
    core_.step(std::move(message));
  }

  void on_tick() {
    core_.tick();
    ask_again();
    reads_.expire(now_ms_);
    ports_.calls->expire(now_ms_);
    proposals_.expire(now_ms_);
    for (; !forwarded_.empty() && forwarded_.front().second <= now_ms_; forwarded_.pop_front())
      forwarded_bytes_ -= forwarded_.front().first->size();
    truncate_log();
  }

  // Joins all commands that wait into as few entries as the limit allows. What can't go (no leader, no stream to it,
  // too much uncommitted) stays and is tried again at the next turn, until its time is up.
  void propose_what_waits() {
    forget_forwarded_of_another_term();
    if (!core_.leader()) return;
    using Forwards = raft::Transport::Forwards;
    const Forwards forwards = core_.is_leader() ? Forwards::kInTheirTerm : ports_.forwards_to(core_.leader());
    // It is known, but what it is sent now would be lost: at the next turn there may be a stream to it.
    if (forwards == Forwards::kLost) return;
    bool our_turn = false;  // an entry full of others' went before
    while (!forwarded_.empty() || proposals_.waits()) {
      // Neither those of others nor our own keep the others waiting.
      const size_t share = proposals_.waits() ? options_.max_entry_bytes / 2 : options_.max_entry_bytes;
      std::string batch;
      size_t of_others = 0;
      for (const auto& [commands, expires_ms] : forwarded_) {
        if (our_turn || (of_others > 0 && batch.size() + commands->size() > share)) break;
        batch += *commands;
        ++of_others;
      }
      const size_t bytes_of_others = batch.size();
      const size_t ours = proposals_.join(batch, options_.max_entry_bytes);
      if (!core_.propose(std::make_shared<const std::string>(std::move(batch))).ok()) return;
      forwarded_.erase(forwarded_.begin(), forwarded_.begin() + static_cast<ptrdiff_t>(of_others));
      forwarded_bytes_ -= bytes_of_others;
      proposals_.proposed(ours, core_.term(),
                          forwards == Forwards::kInTheirTerm ? ProposalQueue::Kept::kYes : ProposalQueue::Kept::kNo);
      our_turn = ours == 0 && proposals_.waits();
    }
  }

  void forget_forwarded_of_another_term() {
    if (forwarded_term_ == core_.term() && core_.is_leader()) return;
    forwarded_term_ = core_.term();
    forwarded_.clear();
    forwarded_bytes_ = 0;
  }

  void work_off_readys() {
    while (!failed_ && core_.has_ready()) {
      Ready ready = core_.take_ready();
      if (ready.soft_state) publish(*ready.soft_state, /*log=*/true);
      if (ready.hard_state) engine_.term_.store(ready.hard_state->term.value(), std::memory_order_relaxed);
      engine_.commit_.store(core_.commit().value(), std::memory_order_relaxed);
      if (!ready.messages.empty()) ports_.send(std::move(ready.messages));
      take_read_states(ready.reads);
      // A leader of several answers its clients first: its own disk is not what they wait for. A follower writes
      // first: the leader waits for its disk.
      const bool apply_first = core_.is_leader() && !ready.committed.empty() && several_voters_;
      if (apply_first) hand_to_apply(std::move(ready.committed));
      LogWrite write{.number = ready.number,
                     .hard_state = ready.hard_state,
                     .entries = std::move(ready.entries),
                     .sync = ready.must_sync && options_.sync,
                     .then_send = std::move(ready.messages_after_persist)};
      if (!write.entries.empty()) {
        size_t bytes = 0;
        for (const raft::Entry& entry : write.entries) bytes += entry.bytes();
        truncation_.appended(write.entries.front().index, write.entries.back().index, bytes);
      }
      log_stage_.push(std::move(write));
      if (!apply_first) hand_to_apply(std::move(ready.committed));
      if (ready.snapshot_to_install) fetch(*ready.snapshot_to_install, ready.snapshot_from);
    }
  }

  void publish(raft::SoftState soft, bool log) {
    const uint64_t before = engine_.leader_.exchange(soft.leader.value());
    engine_.role_.store(static_cast<uint8_t>(soft.role));
    const raft::CoreStatus status = core_.status();
    several_voters_ = status.configuration.voters.size() > 1;
    engine_.term_.store(status.term.value(), std::memory_order_relaxed);
    if (log) ports_.soft_state_changed(soft, status.term);
    // A new leader may know what the old one could not confirm.
    if (before != soft.leader.value() && soft.leader) ask_again();
  }

  // ---- log stage ----

  // On the log thread, or the engine's when it has none.
  void write_log(std::vector<LogWrite>&& writes) {
    for (LogWrite& write : join(std::move(writes))) {
      Status status;
      std::optional<Index> begun_after;
      if (write.begin_after) {
        status = ports_.log->truncate_prefix(*write.begin_after);
        begun_after = write.begin_after->index;
      } else if (!write.empty()) {
        status = ports_.log->write(write.hard_state, write.entries, write.sync);
      }
      Persisted done{write.number, std::move(write.then_send), std::move(status), begun_after};
      const bool failed = !done.status.ok();
      if (options_.pipeline_threads > 1) {
        report([&](Arrivals& a) { a.persisted.push_back(std::move(done)); });
      } else {
        on_persisted(std::move(done));
      }
      if (failed) return;
    }
  }

  void on_persisted(Persisted&& done) {
    if (!done.status.ok()) return fail(done.status);
    if (failed_) return;
    if (done.begun_after) return log_begun(*done.begun_after);
    core_.persisted(done.number);
    if (!done.then_send.empty()) ports_.send(std::move(done.then_send));
  }

  // ---- apply stage ----

  void hand_to_apply(std::vector<raft::Entry>&& entries) {
    if (entries.empty() || failed_) return;
    std::vector<CommittedEntry> committed;
    committed.reserve(entries.size());
    for (raft::Entry& entry : entries) {
      CommittedEntry& c = committed.emplace_back(CommittedEntry{std::move(entry), std::nullopt});
      if (c.entry.type != raft::EntryType::kConfigChange) continue;
      const auto change = raft::decode_config_change(*c.entry.data);
      if (!change) {
        return fail({Code::kDataLoss, "log entry " + to_string(c.entry.index) + " holds no valid change of members"});
      }
      c.configuration = core_.apply_change(*change);
      several_voters_ = c.configuration->voters.size() > 1;
      configurations_.emplace_back(c.entry.index, *c.configuration);
    }
    note_new_term(committed);
    apply_stage_.push(ApplyWork{std::move(committed), nullptr});
  }

  void note_new_term(const std::vector<CommittedEntry>& committed) {
    const raft::Term term = committed.back().entry.term;
    if (term == last_term_) return;
    last_term_ = term;
    const auto first = std::find_if(committed.begin(), committed.end(),
                                    [term](const CommittedEntry& c) { return c.entry.term == term; });
    new_term_ = {first->entry.index, term};
  }

  // On the apply thread, or the engine's when it has none.
  void apply(std::vector<ApplyWork>&& rounds) {
    std::vector<CommittedEntry> entries;
    for (ApplyWork& round : rounds) {
      std::move(round.entries.begin(), round.entries.end(), std::back_inserter(entries));
      if (!round.next) continue;
      apply_entries(std::exchange(entries, {}));
      const Index index(round.next->info().applied_index);
      ports_.applier->install(std::move(round.next));
      tell_applied({index, Status(), /*installed=*/true});
    }
    apply_entries(std::move(entries));
  }

  void apply_entries(std::vector<CommittedEntry>&& entries) {
    if (entries.empty()) return;
    tell_applied({entries.back().entry.index, ports_.applier->apply(entries)});
  }

  void tell_applied(Applied&& done) {
    if (done.status.ok()) engine_.applied_.store(done.index.value(), std::memory_order_release);
    if (options_.pipeline_threads > 1) {
      report([&](Arrivals& a) { a.applied.push_back(std::move(done)); });
    } else {
      on_applied(done);
    }
  }

  void on_applied(const Applied& done) {
    if (!done.status.ok()) return fail(done.status);
    if (failed_) return;
    applied_ = done.index;
    if (done.installed) {
      installed();
    } else {
      core_.applied(done.index);
    }
    if (new_term_ && new_term_->first <= applied_)
      propose_again_ |= proposals_.term_applied(std::exchange(new_term_, std::nullopt)->second);
    proposals_.forget_answered();
    reads_.serve(applied_);
  }

  // ---- snapshots ----
  //
  // The engine's part of an installation (snapshot_files.h): the fetched state has its place already; now the log
  // begins after it, then, when all entries that were handed out are applied, the state is replaced, then raft is told.

  void fetch(const raft::SnapshotMeta& offered, raft::NodeId from) {
    if (!ports_.fetch_snapshot) return core_.snapshot_failed();
    log_info("too far behind for the leader's log: a snapshot is fetched",
             {{"applied", applied_.value()}, {"offered", offered.index.value()}, {"from", from.value()}});
    ports_.fetch_snapshot(offered, from);
  }

  void log_begun(Index index) {
    truncation_.began_after(index);
    truncating_ = false;
    if (!fetched_ || index != fetched_->meta.index) return;
    apply_stage_.push(ApplyWork{{}, std::move(fetched_->next)});
  }

  void installed() {
    static Counter& count = Metrics::global().counter("kvd_snapshots_installed_total",
                                                      "Snapshots of other members that this member has installed");
    count.add();
    const raft::SnapshotMeta meta = std::exchange(fetched_, std::nullopt)->meta;
    core_.snapshot_installed(meta);
    for (Completion& call : ports_.calls->take(proposals_.state_replaced(meta.term)))
      if (call) call(errors::state_replaced(), nullptr);
    configurations_.assign(1, {meta.index, meta.configuration});
    several_voters_ = meta.configuration.voters.size() > 1;
    engine_.commit_.store(core_.commit().value(), std::memory_order_relaxed);
    log_info("a snapshot is installed", {{"index", meta.index.value()}, {"term", meta.term.value()}});
    if (ports_.snapshot_installed) ports_.snapshot_installed(meta);
  }

  // At each tick.
  void truncate_log() {
    const Index first = ports_.log->first_index();
    if (failed_ || truncating_ || fetched_ || !truncation_.due(first, applied_)) return;
    const LogTruncation::Place place{first, applied_, ports_.applier->durable_index(), needed_after()};
    if (truncation_.wants_flush(place) && ports_.flush_state) ports_.flush_state();
    const std::optional<Index> index = truncation_.cut(place);
    if (!index) return;
    // The configuration as of that entry. What it was before this start is not known; soon nobody asks.
    while (configurations_.size() > 1 && configurations_[1].first <= *index) configurations_.pop_front();
    const std::optional<raft::Term> term = ports_.log->term(*index);
    if (configurations_.front().first > *index || !term) return;
    const raft::SnapshotMeta meta{*index, *term, configurations_.front().second};
    truncating_ = true;
    core_.log_compacted(meta);
    LogWrite write;
    write.begin_after = meta;
    log_stage_.push(std::move(write));
  }

  // What followers that are served have, the one that has least: it needs what comes after.
  std::optional<Index> needed_after() const {
    std::optional<Index> lowest;
    if (ports_.snapshots_need_after) lowest = ports_.snapshots_need_after();
    if (!core_.is_leader()) return lowest;
    for (const raft::PeerStatus& peer : core_.status().peers) {
      if (!peer.recently_active || peer.state == raft::ProgressState::kSnapshot) continue;
      lowest = lowest ? std::min(*lowest, peer.match) : peer.match;
    }
    return lowest;
  }

  template <typename Put>
  void report(Put put) {
    {
      const std::lock_guard lock(mutex_);
      put(arrivals_);
      if (!arm_locked()) return;
    }
    wake_.notify_one();
  }

  // The disk or the state can't be trusted: nothing is written, applied or answered from here on.
  void fail(const Status& status) {
    if (failed_) return;
    failed_ = true;
    ports_.failed(status);
  }

  // ---- reads ----

  void ask_again() {
    for (const uint64_t id : reads_.ask_again()) core_.read_index(id);
  }

  void take_read_states(const std::vector<raft::ReadState>& states) {
    for (const raft::ReadState& state : states) reads_.answered(state.id, state.index);
    if (!states.empty()) reads_.serve(applied_);
  }

  void end_reads(const Status& status) {
    reads_.end(status);
    Arrivals left;
    {
      const std::lock_guard lock(mutex_);
      std::swap(left, arrivals_);
    }
    for (ReadReady& ready : left.reads) ready(status);
  }

  Engine& engine_;
  EngineMetrics metrics_;
  const EngineOptions options_;
  const Ports ports_;

  std::mutex mutex_;  // guards arrivals_, closed_, sleeping_
  std::condition_variable wake_;
  Arrivals arrivals_;
  bool closed_ = false;
  bool sleeping_ = false;

  // The engine's thread only, from here on.
  raft::Core core_;
  Index applied_;
  int64_t now_ms_ = 0;
  bool failed_ = false;
  bool several_voters_ = false;
  ProposalQueue proposals_;
  bool propose_again_ = false;
  // By followers in forwarded_term_, which this member leads; and until when they wait.
  std::deque<std::pair<raft::Payload, int64_t>> forwarded_;
  size_t forwarded_bytes_ = 0;
  raft::Term forwarded_term_;
  raft::Term last_term_;                                  // of what was handed to the apply stage
  std::optional<std::pair<Index, raft::Term>> new_term_;  // where it began, until that is applied
  ReadQueue reads_;
  LogTruncation truncation_;
  bool truncating_ = false;  // the log stage has been told to
  // Configurations and since which entry each was in force: what is needed to name that of any later entry.
  std::deque<std::pair<Index, raft::Configuration>> configurations_;
  std::optional<FetchedState> fetched_;  // being installed

  // Declared last, so that their threads end before what they use goes.
  Stage<LogWrite> log_stage_;
  Stage<ApplyWork> apply_stage_;
  std::thread thread_;
};

void Engine::Loop::on_fetched(Result<FetchedState>&& state) {
  if (failed_) return;
  if (!state.ok()) {
    if (state.status().code() != Code::kUnavailable) return fail(state.status());
    log_warning("a snapshot could not be fetched", {{"error", state.status().text()}});
    return core_.snapshot_failed();
  }
  fetched_ = *std::move(state);
  LogWrite write;
  write.begin_after = fetched_->meta;
  log_stage_.push(std::move(write));
}

Engine::Engine(const EngineOptions& options, Ports ports, std::atomic<uint64_t>& term)
    : term_(term), applied_(options.initial.applied.value()) {
  loop_ = std::make_unique<Loop>(*this, options, std::move(ports));
}

Engine::~Engine() { stop(); }

void Engine::start() { loop_->start(); }
void Engine::stop() { loop_->stop(); }
bool Engine::propose(std::string command, uint64_t call) { return loop_->propose(std::move(command), call); }
Status Engine::read(ReadReady& ready) { return loop_->read(ready); }
void Engine::deliver(std::vector<raft::Message>&& messages) { loop_->deliver(std::move(messages)); }
void Engine::run(absl::AnyInvocable<void(raft::Core&)> work) { loop_->run(std::move(work)); }
void Engine::unreachable(raft::NodeId peer) {
  loop_->run([peer](raft::Core& core) { core.unreachable(peer); });
}
void Engine::stream_lost(raft::NodeId peer) {
  loop_->run([peer](raft::Core& core) { core.stream_lost(peer); });
}
void Engine::snapshot_fetched(Result<FetchedState> state) {
  loop_->run(
      [loop = loop_.get(), state = std::move(state)](raft::Core&) mutable { loop->on_fetched(std::move(state)); });
}
raft::SoftState Engine::soft_state() const {
  return {static_cast<raft::Role>(role_.load()), raft::NodeId(leader_.load())};
}

}  // namespace kv::server
