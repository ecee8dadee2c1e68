#include "sim_node.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "digest.h"

namespace kv::sim {

using raft::Entry;
using raft::Index;
using raft::Message;
using raft::NodeId;
using raft::Ready;
using raft::SnapshotMeta;
using raft::Term;

SimNode::SimNode(NodeId id, Surroundings* world, const LogImage& log, std::unique_ptr<StateMachine> state)
    : id_(id),
      world_(world),
      random_(seed_for(world->options->seed, 1000 + id.value())),
      options_(world->options->node),
      broken_(world->options->broken),
      disk_(options_.visibility, broken_, log),
      state_(std::move(state)),
      clock_stands_in_pauses_(seed_for(world->options->seed, 2000 + id.value()) % 2 == 0),
      tick_us_(world->options->tick_us) {
  set_tick_us(tick_us_);
}

void SimNode::set_tick_us(uint64_t tick_us) {
  tick_us_ = tick_us;
  const bool stands = paused_ && clock_stands_in_pauses_;
  clock_.set_rate(world_->events->now_us(), world_->options->tick_us, stands ? 0 : tick_us);
}

namespace {
// Marks the ids of confirm() among those of reads.
constexpr uint64_t kConfirmation = 1ULL << 63;
}  // namespace

template <typename Line>
void SimNode::note(uint64_t digest, Line&& line) {
  world_->trace->note(world_->events->now_us(), id_.value(), digest, std::forward<Line>(line));
}

// ---- the process -------------------------------------------------------------------------------------------

void SimNode::start() {
  KV_CHECK(!running(), "it runs already");
  ++run_;
  make_log_follow_state();
  raft::CoreOptions core_options = world_->options->core;
  core_options.id = id_;
  core_options.seed = random_.next();
  const SnapshotMeta& applied = state_->applied();
  const raft::HardState& hard_state = disk_.durable().hard_state;
  note(mix(11, run_), [&] {
    return "starts with " + describe(hard_state) + ", log [" + to_string(disk_.durable().first_index()) + ", " +
           to_string(disk_.durable().last_index()) + "], applied " + to_string(applied.index) + " " +
           describe(applied.configuration);
  });
  if (world_->checker->violation()) return;
  core_ = std::make_unique<raft::Core>(
      core_options,
      raft::InitialState{.hard_state = hard_state, .configuration = applied.configuration, .applied = applied.index},
      disk_);
  if (disk_.durable().start.index) core_->log_compacted(disk_.durable().start);
  handed_out_ = applied.index;
  last_commit_ = core_->commit();
  world_->checker->started(id_, *core_, disk_, *state_);
  later(random_.below(tick_us_), [this] { schedule_tick(); });
  if (service_) service_->started();
  after_input();
}

// The state machine is replaced before the log (install()); a crash between the two is put right here.
void SimNode::make_log_follow_state() {
  const SnapshotMeta& applied = state_->applied();
  const LogImage& log = disk_.durable();
  if (applied.index < log.start.index) {
    world_->checker->fail("log truncated beyond the state", "n" + to_string(id_) + "'s log begins after " +
                                                                to_string(log.start.index) + ", its state is at " +
                                                                to_string(applied.index));
  } else if (log.term(applied.index) != applied.term) {
    if (!installing_ || installing_->index != applied.index) {
      world_->checker->fail("state ahead of its log", "n" + to_string(id_) + " has applied " +
                                                          to_string(applied.index) + " and its log ends at " +
                                                          to_string(log.last_index()));
    }
    disk_.sync(disk_.begin_after(applied));
  }
  installing_.reset();
}

void SimNode::crash() {
  if (!running()) return;
  const size_t lost = disk_.crash(random_, chance(random_, world_->options->nemesis.torn_ppm));
  note(mix(12, lost), [&] { return "crashes and loses " + std::to_string(lost) + " writes"; });
  ++run_;
  if (service_) service_->crashed();
  core_.reset();
  state_->crash();
  const bool was_paused = paused_;
  paused_ = drain_scheduled_ = syncing_ = apply_scheduled_ = snapshot_wanted_ = false;
  inbox_.clear();
  outstanding_.clear();
  to_apply_.clear();
  reads_.clear();
  indexed_reads_.clear();
  writes_.clear();
  applied_term_ = Term();
  accepted_.clear();
  while (!flushed_.empty() && flushed_.back().index > state_->durable().index) flushed_.pop_back();
  ++world_->counters->crashes;
  world_->counters->writes_lost += lost;
  if (installing_) ++world_->counters->installs_interrupted;
  if (was_paused) set_tick_us(tick_us_);
  world_->history->node_crashed(id_);
  world_->checker->crashed(id_);
}

void SimNode::pause() {
  if (!running() || paused_) return;
  paused_ = true;
  paused_at_us_ = world_->events->now_us();
  set_tick_us(tick_us_);
  ++world_->counters->pauses;
  note(13, [] { return "is paused"; });
}

void SimNode::resume() {
  if (!running() || !paused_) return;
  paused_ = false;
  set_tick_us(tick_us_);
  note(14, [&] { return "wakes up, " + std::to_string(inbox_.size()) + " inputs wait"; });
  // Clients may reach it before what the network has kept for it does.
  if (random_.one_in(3)) {
    for (size_t i = inbox_.size(); i > 1; --i) std::swap(inbox_[i - 1], inbox_[random_.below(i)]);
  }
  // Its timer may make up for the ticks it missed.
  if (random_.one_in(3)) {
    const uint64_t missed = std::min<uint64_t>((world_->events->now_us() - paused_at_us_) / tick_us_, 40);
    for (uint64_t i = 0; i < missed; ++i) core_->tick();
    after_input();
  }
  while (running() && !paused_ && !inbox_.empty()) {
    EventQueue::Action action = std::move(inbox_.front());
    inbox_.pop_front();
    action();
  }
}

void SimNode::calm() {
  slowness_ = 1;
  options_.sync_us = {50, 200};
  options_.apply_us = {10, 50};
  options_.drain_us = {0, 0};
}

void SimNode::later(uint64_t delay_us, EventQueue::Action action) {
  world_->events->after(delay_us, [this, run = run_, action = std::move(action)]() mutable {
    if (run != run_ || !running()) return;
    input(std::move(action));
  });
}

void SimNode::input(EventQueue::Action action) {
  if (!running()) return;
  if (paused_) {
    inbox_.push_back(std::move(action));
  } else {
    action();
  }
}

void SimNode::after_input() {
  world_->checker->stepped(id_, *core_);
  if (service_) service_->stepped();
  if (!disk_.misread().empty()) world_->checker->fail("log read out of bounds", disk_.misread());
  if (options_.drain_us.max == 0) {
    drain();
  } else if (!drain_scheduled_ && core_->has_ready()) {
    drain_scheduled_ = true;
    later(options_.drain_us.draw(random_), [this] {
      drain_scheduled_ = false;
      drain();
    });
  }
}

void SimNode::schedule_tick() {
  core_->tick();
  propose_again(broken_ == Break::kProposeAgainEarly && core_->leader() ? core_->term() : Term(1));
  if (service_) service_->ticked();
  later(tick_us_, [this] { schedule_tick(); });
  after_input();
}

// ---- inputs ------------------------------------------------------------------------------------------------

void SimNode::receive(Message message) {
  input([this, message = std::move(message)] {
    note(digest(message), [&] { return "receives " + describe(message); });
    core_->step(message);
    after_input();
  });
}

uint64_t SimNode::write(uint32_t key, size_t padding_bytes) {
  const uint64_t id = world_->history->begin_write(id_, key);
  input([this, id, key, padding_bytes] {
    const Command command{.id = id, .key = key, .value = id};
    Write write;
    write.command = std::make_shared<const std::string>(world_->machine->encode_write(command, padding_bytes));
    const Index index = propose_write(id, write);
    if (!write.term) {
      ++world_->counters->writes_refused;
      world_->history->refused(id);
    } else if (index && broken_ == Break::kAckAtPropose) {
      world_->history->acknowledged(id, index);
    } else {
      writes_[id] = std::move(write);
    }
    after_input();
  });
  return id;
}

Index SimNode::propose_write(uint64_t id, Write& write) {
  const Result<Index> result = core_->propose(write.command);
  note(mix(21, mix(id, result.ok() ? result.value().value() : UINT64_MAX)), [&] {
    return "proposes call " + std::to_string(id) + ": " +
           (result.ok() ? "index " + to_string(result.value()) : result.status().to_string());
  });
  write.term = result.ok() ? core_->term() : Term();
  const Index index = result.ok() ? result.value() : Index(0);
  if (index) accepted_[index] = {core_->term(), id};
  return index;
}

// As server/proposal_queue.h has it: an entry of `term` is applied, so what left in earlier terms and is not applied
// never will be.
void SimNode::propose_again(Term term) {
  for (auto& [id, write] : writes_) {
    if (write.of_unknown_fate || write.term >= term) continue;
    ++world_->counters->writes_proposed_again;
    propose_write(id, write);
  }
}

void SimNode::read(uint32_t key) {
  const uint64_t id = world_->history->begin_read(id_, key);
  if (!running()) world_->history->node_crashed(id_);
  input([this, id, key] {
    note(mix(22, id), [&] { return "is asked to read, call " + std::to_string(id); });
    reads_[id] = key;
    if (broken_ == Break::kStaleRead) {
      read_answered({.id = id, .index = state_->applied().index});
      return;
    }
    core_->read_index(id);
    after_input();
  });
}

void SimNode::ask(EventQueue::Action action) {
  input([this, action = std::move(action)] {
    action();
    if (running()) after_input();
  });
}

Result<Index> SimNode::propose(std::string data) {
  KV_CHECK(running() && !paused_, "a member that does not run can't propose");
  return core_->propose(std::make_shared<const std::string>(std::move(data)));
}

void SimNode::confirm(uint64_t id) {
  KV_CHECK(running() && !paused_, "a member that does not run can't ask");
  core_->read_index(id | kConfirmation);
}

void SimNode::transfer(NodeId to) {
  input([this, to] {
    note(mix(23, to.value()), [&] { return "shall hand its leadership to n" + to_string(to); });
    core_->transfer_leadership(to);
    after_input();
  });
}

void SimNode::campaign() {
  input([this] {
    note(24, [] { return "shall stand for election"; });
    core_->campaign();
    after_input();
  });
}

void SimNode::step_down() {
  input([this] {
    note(25, [] { return "shall step down"; });
    core_->step_down();
    after_input();
  });
}

void SimNode::unreachable(NodeId peer) {
  input([this, peer] {
    note(mix(26, peer.value()), [&] { return "is told that n" + to_string(peer) + " is unreachable"; });
    core_->unreachable(peer);
    after_input();
  });
}

Result<Index> SimNode::propose_change(const raft::ConfigChange& change) {
  KV_CHECK(running() && !paused_, "a member that does not run can't answer");
  Result<Index> result = core_->propose_change(change);
  note(mix(27, result.ok() ? result.value().value() : UINT64_MAX), [&] {
    return "proposes " + describe(change) + ": " +
           (result.ok() ? "index " + to_string(result.value()) : result.status().to_string());
  });
  after_input();
  return result;
}

// ---- Readys ------------------------------------------------------------------------------------------------

void SimNode::drain() {
  while (running() && outstanding_.size() < options_.outstanding_readys_max && core_->has_ready() &&
         !world_->checker->violation()) {
    handle(core_->take_ready());
  }
}

void SimNode::handle(Ready ready) {
  ++world_->counters->readys;
  note(digest(ready), [&] { return describe(ready); });
  if (ready.soft_state && ready.soft_state->role != raft::Role::kFollower) world_->weak_moment(*this, 8);
  send(std::move(ready.messages));

  std::optional<uint64_t> written = disk_.written_to();
  if (ready.hard_state || !ready.entries.empty()) written = disk_.write(ready.hard_state, ready.entries);
  if (!written) {
    world_->checker->fail("log continuity", "n" + to_string(id_) + " writes " + describe(ready.entries) +
                                                " to a log of [" + to_string(disk_.written().first_index()) + ", " +
                                                to_string(disk_.written().last_index()) + "]");
    return;
  }
  world_->checker->took_ready(id_, *core_, ready);
  check_accepted(ready.entries);
  if (broken_ == Break::kPromiseBeforeSync) send(std::exchange(ready.messages_after_persist, {}));
  outstanding_.push_back({ready.number, *written, ready.must_sync, std::move(ready.messages_after_persist)});

  for (const raft::ReadState& read : ready.reads) read_answered(read);
  queue_to_apply(ready.committed);
  if (ready.hard_state && ready.hard_state->commit > last_commit_) {
    last_commit_ = ready.hard_state->commit;
    if (core_->is_leader()) world_->weak_moment(*this, 100);
  }
  if (ready.snapshot_to_install) {
    world_->weak_moment(*this, 10);
    if (snapshot_wanted_) world_->checker->fail("two snapshots at once", "n" + to_string(id_));
    snapshot_wanted_ = true;
    snapshot_written_ = *written;
    snapshot_offered_ = *ready.snapshot_to_install;
    world_->fetch_snapshot(*this, ready.snapshot_from, *ready.snapshot_to_install);
  }
  acknowledge_disk();
  sync_if_needed();
}

void SimNode::send(std::vector<Message> messages) {
  for (Message& message : messages) {
    world_->checker->sends(id_, message);
    world_->send(std::move(message));
  }
}

// On the leader propose() has said where a write will be; there it must be, as long as the term lasts.
void SimNode::check_accepted(const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    const auto it = accepted_.find(entry.index);
    if (it == accepted_.end()) continue;
    const auto [term, id] = it->second;
    accepted_.erase(it);
    if (term != entry.term) continue;
    const auto command = entry.data ? world_->machine->decode_write(*entry.data) : std::nullopt;
    if (!command || command->id != id) {
      world_->checker->fail(
          "proposal at another index",
          "n" + to_string(id_) + " said that call " + std::to_string(id) + " would be at " + to_string(entry.index));
    }
  }
}

// ---- disk --------------------------------------------------------------------------------------------------

// One sync at a time; it covers all that was written before it began.
void SimNode::sync_if_needed() {
  if (syncing_ || disk_.durable_to() == disk_.written_to()) return;
  const bool wanted = std::any_of(outstanding_.begin(), outstanding_.end(), [this](const Outstanding& ready) {
    return ready.must_sync && ready.written > disk_.durable_to();
  });
  // What needs no sync may wait for one that comes anyway.
  if (!wanted && !random_.one_in(4)) return;
  syncing_ = true;
  const uint64_t number = disk_.written_to();
  // The disk works on while the process is paused; only its answer waits.
  world_->events->after(options_.sync_us.draw(random_) * slowness_, [this, run = run_, number] {
    if (run != run_) return;
    disk_.sync(number);
    world_->checker->synced(id_);
    note(mix(31, number), [&] { return "has synced up to write " + std::to_string(number); });
    input([this] {
      syncing_ = false;
      acknowledge_disk();
      sync_if_needed();
      after_input();
    });
  });
}

void SimNode::acknowledge_disk() {
  std::vector<Message> messages;
  std::optional<uint64_t> number;
  while (!outstanding_.empty()) {
    Outstanding& front = outstanding_.front();
    const bool durable = front.written <= disk_.durable_to() || !front.must_sync;
    if (!durable && broken_ != Break::kPersistedBeforeSync) break;
    number = front.number;
    std::move(front.messages.begin(), front.messages.end(), std::back_inserter(messages));
    outstanding_.pop_front();
    if (options_.acknowledge_each) core_->persisted(*number);
  }
  if (!number) return;
  if (broken_ == Break::kStopPersisted && ++acknowledged_ > 50) return;
  if (!options_.acknowledge_each) core_->persisted(*number);
  world_->checker->stepped(id_, *core_);
  if (!messages.empty()) world_->weak_moment(*this, 500);
  send(std::move(messages));
}

// ---- applying ----------------------------------------------------------------------------------------------

void SimNode::queue_to_apply(const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    if (entry.index != handed_out_ + 1) {
      world_->checker->fail(
          "committed entries out of order",
          "n" + to_string(id_) + " was handed " + to_string(entry.index) + " after " + to_string(handed_out_));
    }
    handed_out_ = entry.index;
    if (broken_ != Break::kApplyUnpersisted) to_apply_.push_back(entry);
  }
  if (broken_ == Break::kApplyUnpersisted) apply_unpersisted();
  schedule_apply();
}

void SimNode::apply_unpersisted() {
  Index next = (to_apply_.empty() ? state_->applied().index : to_apply_.back().index) + 1;
  for (; next <= std::min(core_->commit(), disk_.written().last_index()); ++next) {
    if (next >= disk_.written().first_index()) to_apply_.push_back(disk_.written().at(next));
  }
}

void SimNode::schedule_apply() {
  if (apply_scheduled_ || to_apply_.empty()) return;
  apply_scheduled_ = true;
  later(options_.apply_us.draw(random_) * slowness_, [this] {
    apply_scheduled_ = false;
    apply_some();
  });
}

void SimNode::apply_some() {
  if (to_apply_.empty()) return;
  const size_t count = 1 + random_.below(std::min(to_apply_.size(), options_.apply_entries_max));
  const bool one_by_one = random_.one_in(4);
  for (size_t i = 0; i < count; ++i) {
    const Entry entry = std::move(to_apply_.front());
    to_apply_.pop_front();
    const bool ends_batch = one_by_one || i + 1 == count;
    apply_one(entry, ends_batch);
    if (world_->checker->violation()) return;
    if (ends_batch) core_->applied(std::min(entry.index, handed_out_));
  }
  note(mix(41, state_->applied().index.value()),
       [&] { return "has applied up to " + to_string(state_->applied().index); });
  if (chance(random_, options_.flush_ppm)) {
    state_->flush();
    world_->checker->flushed(id_);
    flushed_.push_back(state_->durable());
    if (flushed_.size() > 64) flushed_.pop_front();
    note(mix(42, state_->durable().index.value()), [] { return "has flushed its state"; });
  }
  finish_reads();
  schedule_apply();
  after_input();
}

void SimNode::apply_one(const Entry& entry, bool ends_batch) {
  if (entry.index != state_->applied().index + 1) {
    world_->checker->fail(
        "committed entries out of order",
        "n" + to_string(id_) + " applies " + to_string(entry.index) + " after " + to_string(state_->applied().index));
    return;
  }
  raft::Configuration configuration = state_->applied().configuration;
  if (entry.type == raft::EntryType::kConfigChange) {
    const auto change = raft::decode_config_change(*entry.data);
    if (!change) {
      world_->checker->fail("bad configuration entry", to_string(entry.index));
      return;
    }
    configuration = core_->apply_change(*change);
    world_->checker->stepped(id_, *core_);
    world_->weak_moment(*this, 20);
    note(mix(43, digest(configuration)), [&] {
      return "applies " + describe(*change) + " at " + to_string(entry.index) + " and is in " + describe(configuration);
    });
  }
  state_->apply(entry, configuration);
  if (ends_batch) state_->commit();
  if (entry.term > applied_term_) propose_again(applied_term_ = entry.term);
  ++world_->counters->entries_applied;
  const bool first = world_->checker->applied(id_, entry);
  if (first && entry.type == raft::EntryType::kConfigChange) {
    ++world_->counters->configurations;
    world_->counters->joint_configurations += configuration.joint();
  }
  const auto command =
      entry.type == raft::EntryType::kCommand ? world_->machine->decode_write(*entry.data) : std::nullopt;
  if (!command) return;
  if (first) world_->history->write_committed(command->id, entry.index);
  if (writes_.erase(command->id) != 0) world_->history->acknowledged(command->id, entry.index);
}

// ---- reads -------------------------------------------------------------------------------------------------

void SimNode::read_answered(const raft::ReadState& read) {
  if (broken_ == Break::kLoseRead && random_.one_in(20)) return;
  if (read.id & kConfirmation) {
    if (!read.index) {
      service_->confirmed(read.id & ~kConfirmation, false);
    } else if (read.index <= state_->applied().index) {
      finish_read(read.id);
    } else {
      indexed_reads_.emplace(read.index, read.id);
    }
    return;
  }
  world_->history->read_indexed(read.id, read.index);
  if (broken_ == Break::kReadTwice && random_.one_in(20)) world_->history->read_indexed(read.id, read.index);
  if (!read.index) {
    reads_.erase(read.id);
  } else if (read.index <= state_->applied().index || broken_ == Break::kReadUnapplied) {
    finish_read(read.id);
  } else {
    indexed_reads_.emplace(read.index, read.id);
  }
}

void SimNode::finish_read(uint64_t id) {
  if (id & kConfirmation) {
    service_->confirmed(id & ~kConfirmation, true);
    return;
  }
  const auto it = reads_.find(id);
  if (it == reads_.end()) return;
  world_->history->read_done(id, state_->read(it->second));
  reads_.erase(it);
}

void SimNode::finish_reads() {
  while (!indexed_reads_.empty() && indexed_reads_.begin()->first <= state_->applied().index) {
    finish_read(indexed_reads_.begin()->second);
    indexed_reads_.erase(indexed_reads_.begin());
  }
}

// ---- snapshots and compaction ------------------------------------------------------------------------------

std::shared_ptr<const StateImage> SimNode::checkpoint() {
  if (!running()) return nullptr;
  if (random_.one_in(2)) state_->flush();  // as a checkpoint of a RocksDB does
  return state_->checkpoint();
}

void SimNode::snapshot_arrived(uint64_t run, std::shared_ptr<const StateImage> image) {
  if (run != run_) return;
  input([this, image = std::move(image)] { install(image, snapshot_written_); });
}

// The state is swapped for the new one (durable, all at once), then the log begins anew, then the core is told.
// Each step may be the last before a crash. The term of the offer must be on disk before.
void SimNode::install(std::shared_ptr<const StateImage> image, uint64_t written) {
  if (image && disk_.durable_to() < written) {
    later(options_.sync_us.max * slowness_, [this, image, written] { install(image, written); });
    return;
  }
  if (!image || image->meta().index <= state_->applied().index) {
    note(51, [&] { return image ? "has a state that is newer than the snapshot" : "could not fetch the snapshot"; });
    ++world_->counters->snapshots_failed;
    snapshot_wanted_ = false;
    core_->snapshot_failed();
    after_input();
    return;
  }
  to_apply_.clear();
  state_->install(*image);
  for (auto& [id, write] : writes_) write.of_unknown_fate |= write.term && write.term <= image->meta().term;
  if (service_) service_->state_replaced();
  world_->checker->installed(id_);
  installing_ = image->meta();
  flushed_.clear();
  world_->weak_moment(*this, 2);
  note(mix(52, image->meta().index.value()),
       [&] { return "has swapped in the state at " + to_string(image->meta().index); });
  later(options_.sync_us.draw(random_) * slowness_, [this] { begin_log_after_snapshot(); });
}

void SimNode::begin_log_after_snapshot() {
  const SnapshotMeta meta = *installing_;
  disk_.sync(disk_.begin_after(meta));
  installing_.reset();
  world_->checker->synced(id_);
  world_->checker->log_begins(id_);
  acknowledge_disk();
  note(mix(53, meta.index.value()), [&] { return "has installed the snapshot at " + to_string(meta.index); });
  ++world_->counters->snapshots_installed;
  snapshot_wanted_ = false;
  handed_out_ = meta.index;
  core_->snapshot_installed(meta);
  flushed_.push_back(meta);
  finish_reads();
  after_input();
}

void SimNode::compact() {
  input([this] {
    std::vector<SnapshotMeta> places;
    if (broken_ == Break::kCompactUnflushed) {
      places.push_back(state_->applied());
    } else {
      places.assign(flushed_.begin(), flushed_.end());
    }
    std::erase_if(places, [this](const SnapshotMeta& place) { return place.index <= disk_.written().start.index; });
    if (places.empty() || installing_) return;
    const SnapshotMeta& place = places[random_.below(places.size())];
    core_->log_compacted(place);
    disk_.begin_after(place);
    ++world_->counters->compactions;
    note(mix(54, place.index.value()), [&] { return "truncates its log up to " + to_string(place.index); });
    world_->checker->log_begins(id_);
    sync_if_needed();
    after_input();
  });
}

}  // namespace kv::sim
