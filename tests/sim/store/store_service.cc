#include "sim/store/store_service.h"

namespace kv::sim {

StoreService::StoreService(SimNode* node, StoreStateMachine* state, StoreWorld* world)
    : node_(node), state_(state), world_(world), random_(seed_for(world->cluster->options().seed, 6000 + node->id().value())),
      leases_(node, state, world), watches_(node, state, world) {
  state_->set_observer(this);
}

bool StoreService::propose(std::vector<Call> calls) {
  constexpr int64_t kTimeoutMs = 5'000;
  kvdpb::Batch batch;
  for (Call& call : calls) {
    // The number is known only when the call has been added.
    auto number_of = std::make_shared<uint64_t>(0);
    server::Completion done = [this, number_of, answered = std::move(call.answered)](
                                  const Status& status, google::protobuf::Message* response) mutable {
      const uint64_t origin = node_->id().value();
      if (status.code() == Code::kUnavailable) return;  // it took too long
      if (world_->broken() == Break::kWrongAnswer && response != nullptr && random_.one_in(20)) {
        if (auto* put = dynamic_cast<etcdserverpb::PutResponse*>(response)) {
          put->mutable_header()->set_revision(put->header().revision() - 1);
        }
      }
      world_->checker.answered(origin, *number_of, status, response);
      if (answered) answered(status, world_->checker.granted_by(origin, *number_of));
    };
    auto number = state_->calls().add(call.command.ByteSizeLong(), node_->now_ms() + kTimeoutMs, done);
    if (!number.ok()) continue;
    *number_of = *number;
    call.command.set_origin(node_->id().value());
    call.command.set_call(*number);
    *batch.add_commands() = std::move(call.command);
  }
  return batch.commands_size() > 0 && node_->propose(batch.SerializeAsString()).ok();
}

void StoreService::started() {
  leases_.started();
  watches_.started();
}

void StoreService::crashed() {
  leases_.crashed();
  watches_.crashed();
}

void StoreService::stepped() { leases_.stepped(); }

void StoreService::ticked() {
  state_->calls().expire(node_->now_ms());
  leases_.ticked();
  watches_.ticked();
}

void StoreService::state_replaced() { watches_.state_replaced(); }

void StoreService::confirmed(uint64_t id, bool ok) { leases_.confirmed(id, ok); }

void StoreService::leases_changed(const server::LeaseNews& news) { leases_.leases_changed(news); }

void StoreService::batch_committed() { watches_.committed(); }

}  // namespace kv::sim
