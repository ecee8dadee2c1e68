#include "sim/store/store_machine.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <vector>

#include "sim/store/lease_client.h"
#include "sim/store/store_client.h"
#include "sim/store/store_service.h"
#include "sim/store/store_world.h"
#include "sim/store/watch_client.h"

namespace kv::sim {

using raft::NodeId;
using raft::SnapshotMeta;

namespace {

// Of one process; in memory where there is such a place.
std::filesystem::path directory_of(pid_t process) {
  std::error_code error;
  const std::filesystem::path memory = "/dev/shm";
  const bool there = std::filesystem::is_directory(memory, error) && ::access(memory.c_str(), W_OK) == 0;
  return (there ? memory : std::filesystem::temp_directory_path()) / ("kvd_sim." + std::to_string(process));
}

class StoreMachine final : public Machine {
 public:
  explicit StoreMachine(Cluster* cluster)
      : world_(cluster),
        store_clients_(&world_),
        lease_clients_(&world_),
        directory_(directory_of(::getpid()) / std::to_string(++machines_)) {
    std::filesystem::create_directories(directory_);
    for (uint64_t i = 1; i <= world_.options.watch_clients; ++i) {
      watch_clients_.push_back(std::make_unique<WatchClient>(&world_, i));
    }
  }
  ~StoreMachine() override {
    std::error_code error;
    std::filesystem::remove_all(directory_, error);
    // With the last one of this process; another may be there still.
    std::filesystem::remove(directory_.parent_path(), error);
  }

  std::unique_ptr<StateMachine> make_state(NodeId id, const SnapshotMeta& start) override {
    world_.checker.set_origin(world_.cluster->origin().index);
    return std::make_unique<StoreStateMachine>(
        id,
        StoreStateMachine::Surroundings{
            .directory = directory_ / to_string(id),
            .options = &world_.options,
            .checker = &world_.checker,
            .origin = world_.cluster->origin(),
            .broken = world_.broken(),
            .seed = seed_for(world_.cluster->options().seed, 7000 + id.value()),
            .stores_opened = &world_.stores_opened,
        },
        start);
  }
  std::unique_ptr<Service> make_service(SimNode& node) override {
    return std::make_unique<StoreService>(&node, &static_cast<StoreStateMachine&>(node.state()), &world_);
  }

  std::string encode_write(const Command& command, size_t padding_bytes) const override {
    kvdpb::Batch batch;
    auto* put = batch.add_commands()->mutable_put();
    put->set_key(StoreStateMachine::register_key(command.key));
    put->set_value(std::to_string(command.value) + ":" + std::string(padding_bytes, '.'));
    return batch.SerializeAsString();
  }
  std::optional<Command> decode_write(std::string_view entry) const override {
    kvdpb::Batch batch;
    if (!batch.ParseFromArray(entry.data(), static_cast<int>(entry.size())) || batch.commands_size() != 1) {
      return std::nullopt;
    }
    const etcdserverpb::PutRequest& put = batch.commands(0).put();
    if (!put.key().starts_with("R/")) return std::nullopt;
    const uint64_t value = std::strtoull(put.value().c_str(), nullptr, 10);
    return Command{.id = value,
                   .key = static_cast<uint32_t>(std::strtoul(put.key().c_str() + 2, nullptr, 10)),
                   .value = value};
  }

  void begin() override {
    store_clients_.begin();
    lease_clients_.begin();
    for (auto& client : watch_clients_) client->begin();
  }
  void heal() override {
    store_clients_.heal();
    lease_clients_.heal();
    for (auto& client : watch_clients_) client->heal();
  }

  // Leases end within their TTL and what it takes to propose that; watchers see all of it.
  uint64_t settling_max_us() const override {
    return 2'000'000 + static_cast<uint64_t>(world_.options.ttl_s_max) * 1'100'000;
  }
  bool settled() override {
    if (world_.checker.leases() > 0) return false;
    for (SimNode* node : world_.cluster->running_nodes()) {
      if (node->state().applied().index < world_.cluster->checker().commit()) return false;
    }
    for (auto& client : watch_clients_) {
      if (!client->caught_up()) return false;
    }
    return true;
  }
  std::string describe_unsettled() const override {
    std::string out = "\n    leases: " + std::to_string(world_.checker.leases());
    for (const auto& client : watch_clients_) out += "\n    " + client->describe();
    return out;
  }
  void judge() override {
    std::optional<uint64_t> hash;
    for (SimNode* node : world_.cluster->running_nodes()) {
      auto& state = static_cast<StoreStateMachine&>(node->state());
      world_.checker.check_contents(node->id(), state.store());
      const uint64_t own = state.full_hash();
      if (hash && *hash != own) world_.checker.fail("state machine safety", "hash of n" + to_string(node->id()));
      hash = own;
    }
  }
  void count(RunStats* stats) const override {
    stats->revisions = static_cast<uint64_t>(world_.checker.revision());
    stats->answers = world_.checker.answers_compared();
    stats->stores_opened = world_.stores_opened;
    stats->keep_alives = world_.leases.keep_alives();
    stats->leases_expired = world_.leases.expiries();
    stats->leases_checkpointed = world_.leases.checkpoints();
    stats->watch_events = world_.watch_events;
    stats->watches_resumed = world_.watches_resumed;
    stats->watches_compacted = world_.watches_compacted;
    stats->progress_notes = world_.progress_notes;
  }

 private:
  static inline uint64_t machines_ = 0;

  StoreWorld world_;
  StoreClients store_clients_;
  LeaseClients lease_clients_;
  std::vector<std::unique_ptr<WatchClient>> watch_clients_;
  std::filesystem::path directory_;
};

}  // namespace

StoreWorld::StoreWorld(Cluster* c)
    : cluster(c),
      options(draw_store_options(c->options())),
      random(seed_for(c->options().seed, 11)),
      leases(&c->checker(), [c](NodeId id) -> const SimClock& { return c->node(id)->clock(); }),
      checker(&c->checker(), &leases) {}

SimNode* StoreWorld::some_node(Random& random_for_it) {
  const std::vector<SimNode*> running = cluster->running_nodes();
  return running.empty() ? nullptr : running[random_for_it.below(running.size())];
}

void StoreWorld::send(NodeId from, NodeId to, std::function<void(SimNode&, StoreService&)> arrive) {
  const NetworkOptions& network = cluster->options().network;
  const bool good = !cluster->faults_on();
  if (!cluster->network().connected(from, to) || (!good && chance(random, network.drop_ppm))) return;
  const uint64_t delay_us = good ? 500 : network.delay_us.draw(random);
  cluster->events().after(delay_us, [this, from, to, arrive = std::move(arrive)] {
    SimNode* node = cluster->node(to);
    if (node == nullptr || !cluster->network().connected(from, to)) return;
    node->ask([node, arrive] { arrive(*node, static_cast<StoreService&>(*node->service())); });
  });
}

void StoreWorld::propose_later(raft::Term term, std::string data, int attempts) {
  if (attempts == 0) return;
  cluster->events().after(1'000 + random.below(200'000), [this, term, data = std::move(data), attempts]() mutable {
    if (cluster->checker().highest_leader_term() <= term) return propose_later(term, std::move(data), attempts - 1);
    if (SimNode* node = some_node(random)) {
      node->ask([node, data = std::move(data)] { (void)node->propose(data); });
    }
  });
}

const MachineKind kStoreMachine = {
    .name = "store",
    .adjust = adjust_for_store,
    .make = [](Cluster& cluster) -> std::unique_ptr<Machine> { return std::make_unique<StoreMachine>(&cluster); },
    .clean_up =
        [](pid_t process) {
          std::error_code error;
          std::filesystem::remove_all(directory_of(process), error);
        },
};

}  // namespace kv::sim
