#include "sim/store/store_state_machine.h"

#include <cstdlib>
#include <filesystem>

#include "base/check.h"
#include "server/membership.h"

namespace kv::sim {

using raft::Entry;
using raft::NodeId;
using raft::SnapshotMeta;

class StoreStateMachine::Image final : public StateImage {
 public:
  Image(SnapshotMeta meta, uint64_t hash) : meta_(std::move(meta)), hash_(hash) {}
  const SnapshotMeta& meta() const override { return meta_; }
  uint64_t hash() const { return hash_; }

 private:
  SnapshotMeta meta_;
  uint64_t hash_;
};

StoreStateMachine::StoreStateMachine(NodeId id, const Surroundings& world, const SnapshotMeta& start)
    : id_(id), world_(world), random_(world.seed) {
  open();
  begin_with(start);
  flush();
}

StoreStateMachine::~StoreStateMachine() { close(); }

void StoreStateMachine::must(const Status& status, const char* what) {
  if (!status.ok()) world_.checker->fail("store fails", "n" + to_string(id_) + ", " + what + ": " + status.to_string());
}

void StoreStateMachine::open() {
  store::StoreOptions options;
  options.path = world_.directory + "/" + std::to_string(number_);
  // Nothing is flushed before flush() says so.
  options.write_buffer_bytes = 64 << 20;
  options.block_cache_bytes = 1 << 20;
  options.recent_bytes = world_.options->recent_bytes;
  options.head_cache_bytes = 64 << 10;
  options.keys_per_block = 8;
  options.changes_per_checkpoint = 50;
  options.changes_per_compaction_step = world_.options->changes_per_compaction_step;
  options.flush_on_close = false;
  auto opened = store::Store::open(options);
  KV_CHECK(opened.ok(), "a store can't be opened: " + opened.status().to_string());
  store_ = std::move(*opened);
  ++*world_.stores_opened;
  calls_ = std::make_unique<server::PendingCalls>(1'000, 1 << 20, random_.next());
  applier_ = std::make_unique<server::Applier>(*store_, *calls_, id_.value(), 1, term_, this);
}

void StoreStateMachine::close() {
  applier_.reset();
  calls_.reset();
  store_.reset();
}

void StoreStateMachine::begin_with(const SnapshotMeta& start) {
  const auto batch = store_->begin();
  batch->put_record(server::kConfigurationRecord, server::encode(start.configuration));
  must(batch->commit(start.index.value(), start.term.value()), "first commit");
  applied_ = read_applied();
}

SnapshotMeta StoreStateMachine::read_applied() const {
  SnapshotMeta meta;
  meta.index = raft::Index(store_->applied_index());
  meta.term = raft::Term(store_->applied_term());
  const auto bytes = store_->record(server::kConfigurationRecord);
  if (const auto configuration = bytes ? server::decode_configuration(*bytes) : std::nullopt) {
    meta.configuration = *configuration;
  }
  return meta;
}

void StoreStateMachine::apply(const Entry& entry, const raft::Configuration& configuration) {
  const bool changes = entry.type == raft::EntryType::kConfigChange;
  batch_.push_back({entry, changes ? std::optional(configuration) : std::nullopt});
  applied_ = {entry.index, entry.term, configuration};
}

void StoreStateMachine::commit() {
  for (server::CommittedEntry& entry : batch_) {
    world_.checker->committed(entry.entry, entry.configuration);
    entry.entry = tampered(entry.entry);
  }
  must(applier_->apply(batch_), "applying");
  batch_.clear();
  if (store_->applied_index() != applied_.index.value()) {
    world_.checker->fail("store differs from the model", "n" + to_string(id_) + " has applied " +
                                                             std::to_string(store_->applied_index()) + " instead of " +
                                                             to_string(applied_.index));
  }
  if (observer_ != nullptr) observer_->batch_committed();
  if (random_.one_in(16)) world_.checker->check_contents(id_, *store_);
}

void StoreStateMachine::applied(const server::LeaseNews& news) {
  if (observer_ != nullptr) observer_->leases_changed(news);
}

void StoreStateMachine::flush() {
  must(store_->flush(), "flush");
  durable_ = applied_;
  if (store_->durable_index() != durable_.index.value()) {
    world_.checker->fail("flush is not durable", "n" + to_string(id_) + " has flushed " + to_string(durable_.index) +
                                                     " and has " + std::to_string(store_->durable_index()));
  }
}

void StoreStateMachine::crash() {
  batch_.clear();
  close();
  open();
  applied_ = read_applied();
  if (applied_.index != durable_.index || applied_.term != durable_.term ||
      server::encode(applied_.configuration) != server::encode(durable_.configuration)) {
    world_.checker->fail("state after a crash", "n" + to_string(id_) + " comes back at " + to_string(applied_.index) +
                                                    " and had flushed " + to_string(durable_.index));
  }
  world_.checker->check_contents(id_, *store_);
}

std::shared_ptr<const StateImage> StoreStateMachine::checkpoint() const {
  return std::make_shared<Image>(applied_, full_hash());
}

void StoreStateMachine::install(const StateImage& image) {
  close();
  std::filesystem::remove_all(world_.directory + "/" + std::to_string(number_));
  ++number_;
  open();
  begin_with(world_.origin);
  Observer* const observer = std::exchange(observer_, nullptr);
  must(applier_->apply(world_.checker->log(image.meta().index)), "installing");
  observer_ = observer;
  applied_ = read_applied();
  if (applied_.index != image.meta().index || full_hash() != static_cast<const Image&>(image).hash()) {
    world_.checker->fail("state differs after its way", "n" + to_string(id_) + " at " + to_string(applied_.index));
  }
  world_.checker->check_contents(id_, *store_);
  flush();
}

uint64_t StoreStateMachine::full_hash() const {
  const auto hash = store_->hash_kv(0);
  if (!hash.ok()) {
    world_.checker->fail("store fails", "hash_kv: " + hash.status().to_string());
    return 0;
  }
  uint64_t out = mix(hash->hash, static_cast<uint64_t>(hash->revision));
  out = mix(out, static_cast<uint64_t>(hash->compact_revision));
  for (const store::Lease& lease : store_->leases()) {
    out = mix(mix(out, static_cast<uint64_t>(lease.id)), static_cast<uint64_t>(lease.remaining_s));
  }
  return out;
}

std::optional<uint64_t> StoreStateMachine::hash() const {
  if (!batch_.empty() || applied_.index.value() % world_.options->hash_every != 0) return std::nullopt;
  return full_hash();
}

uint64_t StoreStateMachine::read(uint32_t key) const {
  etcdserverpb::RangeRequest request;
  request.set_key(register_key(key));
  etcdserverpb::RangeResponse response;
  const Status status = store_->range(request, &response);
  if (!status.ok()) world_.checker->fail("store fails", "a read: " + status.to_string());
  return response.kvs_size() == 0 ? 0 : std::strtoull(response.kvs(0).value().c_str(), nullptr, 10);
}

// The bugs of an applier or a store that Break names.
Entry StoreStateMachine::tampered(const Entry& entry) {
  const bool wanted = world_.broken == Break::kExpiryOfAnyTerm || world_.broken == Break::kRevokeInTwoRevisions ||
                      world_.broken == Break::kPutDiffers || world_.broken == Break::kForgetCompaction;
  if (!wanted || entry.type != raft::EntryType::kCommand) return entry;
  kvdpb::Batch batch;
  KV_CHECK(batch.ParseFromString(*entry.data), "an entry holds a batch");
  kvdpb::Batch out;
  for (kvdpb::Command& command : *batch.mutable_commands()) {
    if (world_.broken == Break::kExpiryOfAnyTerm && command.has_lease_expiry()) {
      command.mutable_lease_expiry()->set_term(entry.term.value());
    }
    if (world_.broken == Break::kRevokeInTwoRevisions && command.has_lease_expiry()) {
      for (const int64_t id : command.lease_expiry().ids()) {
        const auto keys = store_->lease_keys(id);
        if (keys.ok() && keys->size() > 1) {
          out.add_commands()->mutable_delete_range()->set_key(keys->front());
        }
      }
    }
    if (world_.broken == Break::kPutDiffers && command.has_put() && random_.one_in(100)) {
      command.mutable_put()->set_value("0");
    }
    if (world_.broken == Break::kForgetCompaction && command.has_compact() && random_.one_in(4)) continue;
    *out.add_commands() = command;
  }
  Entry changed = entry;
  changed.data = std::make_shared<const std::string>(out.SerializeAsString());
  return changed;
}

}  // namespace kv::sim
