#include "sim/store/store_client.h"

#include <algorithm>

#include "sim/store/store_service.h"

namespace kv::sim {

StoreClients::StoreClients(StoreWorld* world)
    : world_(world),
      random_(seed_for(world->cluster->options().seed, 13)),
      requests_(seed_for(world->cluster->options().seed, 14)) {}

void StoreClients::act() {
  if (healed_) return;
  std::vector<StoreService::Call> calls(1 + random_.below(world_->options.commands_per_entry));
  for (StoreService::Call& call : calls) call.command = command();
  if (SimNode* node = world_->some_node(random_)) {
    auto shared = std::make_shared<std::vector<StoreService::Call>>(std::move(calls));
    node->ask([node, shared] { static_cast<StoreService*>(node->service())->propose(std::move(*shared)); });
  }
  world_->cluster->events().after(around(random_, world_->options.call_us), [this] { act(); });
}

kvdpb::Command StoreClients::command() {
  kvdpb::Command command;
  const int64_t revision = world_->checker.revision();
  const int64_t compacted = std::max<int64_t>(world_->checker.compact_revision(), 0);
  if (chance(random_, world_->options.compact_ppm)) {
    command.mutable_compact()->set_revision(requests_.revision_near(revision, compacted));
    return command;
  }
  switch (random_.below(8)) {
    case 0: *command.mutable_delete_range() = requests_.delete_range(); break;
    case 1:
    case 2: *command.mutable_txn() = requests_.txn(revision, compacted); break;
    default: *command.mutable_put() = requests_.put();
  }
  return command;
}

}  // namespace kv::sim
