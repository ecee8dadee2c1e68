#include "sim/store/lease_client.h"

#include "sim/store/store_service.h"

namespace kv::sim {

LeaseClients::LeaseClients(StoreWorld* world)
    : world_(world), random_(seed_for(world->cluster->options().seed, 12)), owners_(world->options.lease_ids) {
  for (size_t i = 0; i < owners_.size(); ++i) owners_[i].id = static_cast<int64_t>(i) + 1;
}

void LeaseClients::begin() {
  for (size_t i = 0; i < owners_.size(); ++i) again(i, random_.below(500'000));
}

void LeaseClients::again(size_t owner, uint64_t delay_us) {
  world_->cluster->events().after(delay_us, [this, owner] { act(owner); });
}

void LeaseClients::act(size_t index) {
  if (healed_) return;
  Owner& owner = owners_[index];
  if (!owner.held) {
    grant(owner);
    again(index, 50'000 + random_.below(500'000));
  } else if (owner.keep_alives > 0) {
    --owner.keep_alives;
    keep_alive(owner);
    again(index, 20'000 + random_.below(400'000));
  } else {
    if (random_.one_in(3)) revoke(owner);
    owner.held = false;
    ++owner.round;
    again(index, random_.below(1'500'000));
  }
}

SimNode* LeaseClients::member_of(Owner& owner) {
  for (SimNode* const node : world_->cluster->running_nodes()) {
    if (node->id() == owner.at && !random_.one_in(10)) return node;
  }
  SimNode* const node = world_->some_node(random_);
  owner.at = node != nullptr ? node->id() : raft::NodeId();
  return node;
}

void LeaseClients::grant(Owner& owner) {
  SimNode* node = member_of(owner);
  if (node == nullptr) return;
  const int64_t ttl_s = 1 + static_cast<int64_t>(random_.below(static_cast<uint64_t>(world_->options.ttl_s_max)));
  node->ask([this, &owner, node, ttl_s, asked_us = world_->cluster->events().now_us(), round = owner.round] {
    std::vector<StoreService::Call> calls(1);
    auto* request = calls[0].command.mutable_lease_grant();
    request->set_id(owner.id);
    request->set_ttl(ttl_s);
    calls[0].answered = [this, &owner, asked_us, round](const Status& status, std::optional<LeasePlace> place) {
      if (status.ok()) world_->leases.grant_answered(owner.id, *place, asked_us);
      if (round != owner.round || owner.held) return;
      // One that is there already is its own, from a call that got no answer, or an old one that it takes up again.
      owner.held = status.ok() || status.code() == Code::kFailedPrecondition;
      owner.keep_alives = 1 + random_.below(16);
    };
    static_cast<StoreService*>(node->service())->propose(std::move(calls));
  });
}

void LeaseClients::revoke(Owner& owner) {
  SimNode* node = world_->some_node(random_);
  if (node == nullptr) return;
  node->ask([node, id = owner.id] {
    std::vector<StoreService::Call> calls(1);
    calls[0].command.mutable_lease_revoke()->set_id(id);
    static_cast<StoreService*>(node->service())->propose(std::move(calls));
  });
}

void LeaseClients::keep_alive(Owner& owner) {
  SimNode* node = member_of(owner);
  if (node == nullptr) return;
  const uint64_t asked_us = world_->cluster->events().now_us();
  node->ask([&owner, node, asked_us, round = owner.round] {
    static_cast<StoreService*>(node->service())
        ->leases()
        .keep_alive(owner.id, asked_us, [&owner, round](int64_t ttl_s) {
          if (ttl_s == 0 && round == owner.round) owner.held = false;
        });
  });
}

}  // namespace kv::sim
