#include "cluster.h"

#include <algorithm>
#include <utility>

#include "digest.h"
#include "nemesis.h"

namespace kv::sim {

using raft::NodeId;
using raft::SnapshotMeta;

Cluster::Cluster(const SimOptions& options, Trace::Text text)
    : options_(draw_options(options)),
      trace_(text),
      checker_(options.check_promises),
      history_(&checker_),
      random_(seed_for(options.seed, 3)) {
  network_ = std::make_unique<SimNetwork>(
      &events_, seed_for(options_.seed, 1), options_.network,
      [this](raft::Message message) { deliver(std::move(message)); },
      [this](NodeId from, NodeId to) {
        if (!chance(random_, options_.nemesis.report_unreachable_ppm)) return;
        events_.after(1 + random_.below(5'000), [this, from, to] {
          if (SimNode* sender = node(from)) sender->unreachable(to);
        });
      });
  machine_ = options_.machine->make(*this);
  surroundings_ = {
      .options = &options_,
      .events = &events_,
      .trace = &trace_,
      .machine = machine_.get(),
      .checker = &checker_,
      .history = &history_,
      .counters = &counters_,
      .send = [this](raft::Message message) { network_->send(std::move(message)); },
      .weak_moment = [this](SimNode& weak, uint64_t n) { nemesis_->weak_moment(&weak, n); },
      .fetch_snapshot = [this](SimNode& to, NodeId from, const SnapshotMeta& meta) { fetch_snapshot(to, from, meta); },
  };
  nemesis_ = std::make_unique<Nemesis>(this, seed_for(options_.seed, 2));
}

Cluster::~Cluster() = default;

SimNode* Cluster::node(NodeId id) {
  const auto it = nodes_.find(id);
  return it == nodes_.end() ? nullptr : it->second.get();
}

std::vector<SimNode*> Cluster::all_nodes() {
  std::vector<SimNode*> out;
  for (auto& [id, node] : nodes_) out.push_back(node.get());
  return out;
}

std::vector<SimNode*> Cluster::running_nodes() {
  std::vector<SimNode*> out = all_nodes();
  std::erase_if(out, [](SimNode* node) { return !node->running(); });
  return out;
}

SimNode* Cluster::some_leader(Random& random) {
  std::vector<SimNode*> leaders = running_nodes();
  std::erase_if(leaders, [](SimNode* node) { return !node->core().is_leader(); });
  return leaders.empty() ? nullptr : leaders[random.below(leaders.size())];
}

// ---- the start ---------------------------------------------------------------------------------------------

void Cluster::boot() {
  origin_.index = raft::Index(options_.origin_index);
  origin_.term = raft::Term(options_.origin_index == 0 ? 0 : 1);
  for (uint32_t i = 1; i <= options_.voters; ++i) origin_.configuration.voters.push_back(NodeId(i));
  checker_.set_origin(origin_);
  LogImage log;
  log.start = origin_;
  log.hard_state = {origin_.term, NodeId(0), origin_.index};
  for (NodeId id : origin_.configuration.voters) {
    make_node(id, log, origin_);
  }
  const uint64_t skew = options_.nemesis.clock_skew_percent;
  for (auto& [id, node] : nodes_) {
    node->set_tick_us(options_.tick_us * (100 - skew / 2 + random_.below(skew + 1)) / 100);
    events_.after(random_.below(options_.tick_us), [n = node.get()] {
      if (!n->running()) n->start();
    });
  }
}

SimNode* Cluster::make_node(NodeId id, const LogImage& log, const SnapshotMeta& start) {
  auto& node = nodes_[id];
  node = std::make_unique<SimNode>(id, &surroundings_, log, machine_->make_state(id, start));
  node->set_service(machine_->make_service(*node));
  return node.get();
}

// Who joins starts with nothing. Where the group's log begins at index 0, everybody knows the configuration that it
// begins with; otherwise a snapshot must bring one.
void Cluster::ensure_node(NodeId id) {
  auto& node = nodes_[id];
  if (!node) {
    const SnapshotMeta start = options_.origin_index == 0 ? origin_ : SnapshotMeta();
    LogImage log;
    log.start = start;
    make_node(id, log, start);
  }
  if (!node->running()) {
    events_.after(1 + random_.below(options_.tick_us), [n = node.get()] {
      if (!n->running()) n->start();
    });
  }
}

// ---- what flows --------------------------------------------------------------------------------------------

void Cluster::deliver(raft::Message message) {
  if (options_.broken == Break::kMisdeliver && std::holds_alternative<raft::VoteReply>(message.body)) {
    message.from = NodeId(1 + random_.below(options_.voters));
    if (message.from == message.to) return;
  }
  if (SimNode* receiver = node(message.to)) receiver->receive(std::move(message));
}

void Cluster::fetch_snapshot(SimNode& to, NodeId from, const SnapshotMeta& meta) {
  const uint64_t run = to.run();
  const NodeId id = to.id();
  const Range transfer_us = faults_on_ ? options_.nemesis.snapshot_transfer_us : Range{500, 2'000};
  // The states travel on connections of their own: one in some is open already and outlives a partition.
  const bool cut_matters = !random_.one_in(3);
  const bool fails = faults_on_ && chance(random_, options_.nemesis.snapshot_fail_ppm);
  const uint64_t asked_after_us = 1 + transfer_us.draw(random_) / 2;
  const uint64_t transfer_takes_us = transfer_us.draw(random_);
  events_.after(asked_after_us, [=, this, index = meta.index] {
    SimNode* sender = node(from);
    std::shared_ptr<const StateImage> image;
    const bool reached = !cut_matters || network_->connected(id, from);
    if (sender && sender->running() && !sender->paused() && reached) image = sender->checkpoint();
    if (image && image->meta().index < index) image = nullptr;
    events_.after(transfer_takes_us, [=, this] {
      // It fails half-way when the link breaks, and sometimes without a reason.
      const bool arrives = !fails && (!cut_matters || network_->connected(from, id));
      node(id)->snapshot_arrived(run, arrives ? image : nullptr);
    });
  });
}

SimNode* Cluster::pick_for_client() {
  if (options_.clients.to_leader_only && !random_.one_in(10)) {
    if (SimNode* leader = some_leader(random_)) return leader;
  }
  std::vector<SimNode*> running = running_nodes();
  return running.empty() ? nullptr : running[random_.below(running.size())];
}

void Cluster::client_writes() {
  if (!faults_on_) return;
  for (uint64_t i = 1 + random_.below(options_.clients.burst_max); i > 0; --i) {
    SimNode* node = pick_for_client();
    const uint32_t key = static_cast<uint32_t>(random_.below(options_.clients.keys));
    const size_t padding = random_.below(options_.clients.padding_bytes_max + 1);
    if (node) node->write(key, padding);
  }
  events_.after(around(random_, options_.clients.write_us), [this] { client_writes(); });
}

void Cluster::client_reads() {
  if (!faults_on_) return;
  for (uint64_t i = 1 + random_.below(options_.clients.burst_max); i > 0; --i) {
    SimNode* node = pick_for_client();
    const uint32_t key = static_cast<uint32_t>(random_.below(options_.clients.keys));
    if (node) node->read(key);
  }
  events_.after(around(random_, options_.clients.read_us), [this] { client_reads(); });
}

// ---- the end of the faults ---------------------------------------------------------------------------------

void Cluster::heal() {
  note(1, [] { return "the faults stop, all is mended"; });
  // A follower with tiny windows gets one entry a round trip; and a member that disturbs without pre-vote costs an
  // election or two.
  uint64_t last = 0;
  uint64_t applied = UINT64_MAX;
  for (auto& [id, node] : nodes_) {
    last = std::max(last, node->disk().written().last_index().value());
    applied = std::min(applied, node->state().durable().index.value());
  }
  recovery_max_us_ =
      40 * election_timeout_us() + (last - applied) * options_.tick_us + machine_->settling_max_us();
  faults_on_ = false;
  healed_at_us_ = events_.now_us();
  network_->calm(options_.tick_us);
  for (auto& [id, node] : nodes_) {
    node->calm();
    node->set_tick_us(options_.tick_us * (95 + random_.below(11)) / 100);
    if (!node->running()) node->start();
    node->resume();
  }
  machine_->heal();
}

// A removed member's process is ended by its operator, once the others know that it is out: without pre-vote
// and check-quorum it could disturb them for ever (4.2.3).
void Cluster::run_members_only() {
  const raft::Configuration& configuration = checker_.configuration();
  std::vector<NodeId> members = configuration.voters;
  members.insert(members.end(), configuration.outgoing.begin(), configuration.outgoing.end());
  members.insert(members.end(), configuration.learners.begin(), configuration.learners.end());
  for (NodeId id : members) ensure_node(id);
  for (NodeId id : members) {
    if (node(id)->state().applied().index < checker_.configuration_index()) return;
  }
  for (auto& [id, node] : nodes_) {
    const bool member = std::find(members.begin(), members.end(), id) != members.end();
    if (!member && node->running()) node->crash();
  }
}

bool Cluster::all_is_well() {
  if (!last_write_index_ || history_.reads_waiting() != 0) return false;
  for (auto& [id, node] : nodes_) {
    if (node->running() && node->state().applied().index < last_write_index_) return false;
  }
  if (last_reads_asked_) return machine_->settled();
  last_reads_asked_ = true;
  for (auto& [id, node] : nodes_) node->read(0);
  return false;
}

// Calls of a client that tries until it succeeds, as clients do.
void Cluster::settle() {
  for (uint64_t id : last_writes_) {
    if (const auto index = history_.acknowledged_at(id)) last_write_index_ = std::max(last_write_index_, *index);
  }
  run_members_only();
  if (events_.now_us() < next_attempt_us_ || last_write_index_) return;
  next_attempt_us_ = events_.now_us() + election_timeout_us() / 4;
  std::vector<SimNode*> running = running_nodes();
  last_writes_.push_back(running[random_.below(running.size())]->write(0, 0));
}

std::string Cluster::describe_members() {
  std::string out = "configuration " + describe(checker_.configuration());
  for (auto& [id, node] : nodes_) {
    out += "\n    n" + to_string(id) + ": ";
    if (!node->running()) {
      out += "down";
      continue;
    }
    const raft::CoreStatus status = node->core().status();
    out += std::string(role_name(status.soft_state.role)) + " of " + to_string(status.soft_state.leader) + ", term " +
           to_string(status.term) + ", commit " + to_string(status.commit) + ", applied " + to_string(status.applied) +
           ", last " + to_string(status.last_index) + ", state at " + to_string(node->state().applied().index) + " " +
           describe(status.configuration);
    static constexpr const char* kStates[] = {"probe", "replicate", "snapshot"};
    for (const raft::PeerStatus& peer : status.peers) {
      out += "\n        peer " + to_string(peer.id) + " match " + to_string(peer.match) + " next " +
             to_string(peer.next) + " " + kStates[static_cast<int>(peer.state)] +
             (peer.recently_active ? " active" : " silent");
    }
  }
  return out + "\n    reads waiting: " + std::to_string(history_.reads_waiting()) + ", first " +
         history_.describe_waiting_read() + machine_->describe_unsettled();
}

Outcome Cluster::run() {
  boot();
  client_writes();
  client_reads();
  machine_->begin();
  nemesis_->begin();
  while (!checker_.violation() && events_.events_run() < options_.steps) events_.run_next();

  if (!checker_.violation()) heal();
  while (!checker_.violation()) {
    settle();
    if (all_is_well()) break;
    events_.run_next();
    if (events_.now_us() > healed_at_us_ + recovery_max_us_) {
      checker_.fail("liveness", "all is mended since " + std::to_string((events_.now_us() - healed_at_us_) / 1000) +
                                    " ms, and still not all members go on together\n    " + describe_members());
    }
  }
  if (!checker_.violation()) history_.judge();
  if (!checker_.violation()) machine_->judge();

  Outcome outcome;
  outcome.violation = checker_.violation();
  outcome.stats = {
      .trace_hash = trace_.hash(),
      .events = events_.events_run(),
      .simulated_us = events_.now_us(),
      .recovery_timeouts =
          static_cast<double>(events_.now_us() - healed_at_us_) / static_cast<double>(election_timeout_us()),
      .counters = counters_,
      .leaders = checker_.leaders_seen(),
      .committed = checker_.commit().value() - origin_.index.value(),
      .messages = network_->delivered(),
      .writes_acknowledged = history_.writes_acknowledged(),
      .reads_answered = history_.reads_answered(),
      .reads_refused = history_.reads_refused(),
  };
  machine_->count(&outcome.stats);
  return outcome;
}

}  // namespace kv::sim
