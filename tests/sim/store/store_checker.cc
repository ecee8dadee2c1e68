#include "sim/store/store_checker.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "sim/draw.h"

namespace kv::sim {

using raft::Index;
using raft::NodeId;
using raft::Term;

std::string quoted(const std::string& bytes) {
  std::string out = "\"";
  for (const char c : bytes) {
    if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      char code[8];
      std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned char>(c));
      out += code;
    }
  }
  return out + "\"";
}

namespace {

uint64_t digest_of(int64_t id, int64_t ttl_s, int64_t remaining_s) {
  return mix(mix(mix(1, static_cast<uint64_t>(id)), static_cast<uint64_t>(ttl_s)), static_cast<uint64_t>(remaining_s));
}

}  // namespace

void StoreChecker::committed(const raft::Entry& entry, const std::optional<raft::Configuration>& configuration) {
  if (!log_.empty() && entry.index <= log_.back().entry.index) return;
  log_.push_back({entry, configuration});
  if (entry.type == raft::EntryType::kCommand) {
    kvdpb::Batch batch;
    if (!batch.ParseFromString(*entry.data)) fail("bad entry", to_string(entry.index));
    for (int i = 0; i < batch.commands_size(); ++i) {
      const int64_t since = model_.revision();
      apply(batch.commands(i), entry.term, {entry.index, static_cast<size_t>(i)});
      collect_changes(since);
    }
  }
  Mark mark{model_.revision(), model_.compact_revision(), 0};
  for (const auto& [id, ttl] : model_.leases()) mark.leases = mix(mark.leases, digest_of(id, ttl.first, ttl.second));
  marks_.push_back(mark);
}

template <typename Response, typename Apply>
void StoreChecker::apply_call(const kvdpb::Command& command, LeasePlace place, Apply apply) {
  auto response = std::make_unique<Response>();
  Status status = apply(response.get());
  if (command.call() == 0) return;
  const int64_t lease = command.has_lease_grant() && status.ok() ? command.lease_grant().id() : 0;
  answers_[{command.origin(), command.call()}] = {std::move(status), std::move(response), place, lease};
}

void StoreChecker::apply(const kvdpb::Command& command, Term term, LeasePlace place) {
  switch (command.request_case()) {
    case kvdpb::Command::kPut:
      return apply_call<etcdserverpb::PutResponse>(command, place,
                                                   [&](auto* r) { return model_.put(command.put(), r); });
    case kvdpb::Command::kDeleteRange:
      return apply_call<etcdserverpb::DeleteRangeResponse>(
          command, place, [&](auto* r) { return model_.delete_range(command.delete_range(), r); });
    case kvdpb::Command::kTxn:
      return apply_call<etcdserverpb::TxnResponse>(command, place,
                                                   [&](auto* r) { return model_.txn(command.txn(), r); });
    case kvdpb::Command::kCompact:
      return apply_call<etcdserverpb::CompactionResponse>(command, place,
                                                          [&](auto* r) { return model_.compact(command.compact(), r); });
    case kvdpb::Command::kLeaseGrant:
      return apply_call<etcdserverpb::LeaseGrantResponse>(command, place, [&](auto* r) {
        Status status = model_.lease_grant(command.lease_grant(), r);
        if (status.ok()) {
          leases_->granted(r->id(), r->ttl(), place);
          grants_[r->id()] = ++grants_made_;
        }
        return status;
      });
    case kvdpb::Command::kLeaseRevoke:
      return apply_call<etcdserverpb::LeaseRevokeResponse>(command, place, [&](auto* r) {
        Status status = model_.lease_revoke(command.lease_revoke(), r);
        if (status.ok()) leases_->revoked(command.lease_revoke().id(), place);
        return status;
      });
    case kvdpb::Command::kLeaseExpiry: {
      const kvdpb::LeaseExpiry& expiry = command.lease_expiry();
      if (expiry.term() != term.value()) return;
      for (int i = 0; i < expiry.ids_size(); ++i) {
        const int64_t id = expiry.ids(i);
        if (grants_[id] != expiry.grants(i)) continue;  // it was granted anew
        etcdserverpb::LeaseRevokeRequest request;
        request.set_id(id);
        etcdserverpb::LeaseRevokeResponse response;
        if (model_.lease_revoke(request, &response).ok()) leases_->expired(id, place, term, expiry.number());
      }
      return;
    }
    case kvdpb::Command::kLeaseCheckpoints: {
      const kvdpb::LeaseCheckpoints& checkpoints = command.lease_checkpoints();
      if (checkpoints.term() != term.value()) return;
      for (int i = 0; i < checkpoints.checkpoints_size(); ++i) {
        const auto& c = checkpoints.checkpoints(i);
        if (!model_.leases().contains(c.id()) || grants_[c.id()] != checkpoints.grants(i)) continue;
        leases_->checkpointed(c.id(), place, term, checkpoints.number(), c.remaining_ttl());
        etcdserverpb::LeaseCheckpointRequest request;
        *request.add_checkpoints() = c;
        etcdserverpb::LeaseCheckpointResponse response;
        (void)model_.lease_checkpoint(request, &response);
      }
      return;
    }
    default: fail("bad entry", "a command that the simulator never makes, at " + to_string(place.first));
  }
}

void StoreChecker::collect_changes(int64_t since) {
  if (model_.revision() == since) return;
  std::vector<std::pair<int64_t, Change>> found;  // with their places within the revision
  for (const auto& [key, versions] : model_.versions()) {
    for (auto v = versions.rbegin(); v != versions.rend() && v->main > since; ++v) {
      Change change{.main = v->main, .tombstone = v->tombstone, .kv = v->kv, .prev = std::nullopt};
      if (v->tombstone) {
        change.kv.set_key(key);
        change.kv.set_mod_revision(v->main);
      }
      const auto before = std::find_if(v, versions.rend(), [v](const auto& older) { return older.main < v->main; });
      if (before != versions.rend() && !before->tombstone) change.prev = before->kv;
      found.emplace_back(v->sub, std::move(change));
    }
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.main, a.first) < std::pair(b.second.main, b.first);
  });
  for (auto& [sub, change] : found) changes_.push_back(std::move(change));
}

size_t StoreChecker::changes_from(int64_t revision) const {
  return static_cast<size_t>(
      std::partition_point(changes_.begin(), changes_.end(), [&](const Change& c) { return c.main < revision; }) -
      changes_.begin());
}

std::vector<server::CommittedEntry> StoreChecker::log(Index upto) const {
  return {log_.begin(), log_.begin() + static_cast<ptrdiff_t>(upto - origin_)};
}

void StoreChecker::answered(uint64_t origin, uint64_t call, const Status& status,
                            const google::protobuf::Message* response) {
  const auto it = answers_.find({origin, call});
  if (it == answers_.end()) return fail("answer to an uncommitted call", "member " + std::to_string(origin));
  const Answer& expected = it->second;
  ++answers_compared_;
  const std::string where = "the command at " + to_string(expected.place.first) + "." +
                            std::to_string(expected.place.second) + " was answered with ";
  if (status.code() != expected.status.code() || status.text() != expected.status.text()) {
    return fail("wrong answer", where + status.to_string() + " instead of " + expected.status.to_string());
  }
  if (!status.ok()) return;
  // Who answers is not the model's affair.
  const std::unique_ptr<google::protobuf::Message> copy(response->New());
  copy->CopyFrom(*response);
  const auto* header = copy->GetDescriptor()->FindFieldByName("header");
  auto* h = static_cast<etcdserverpb::ResponseHeader*>(copy->GetReflection()->MutableMessage(copy.get(), header));
  h->clear_cluster_id();
  h->clear_member_id();
  h->clear_raft_term();
  if (!google::protobuf::util::MessageDifferencer::Equals(*expected.response, *copy)) {
    fail("wrong answer", where + copy->ShortDebugString() + " instead of " + expected.response->ShortDebugString());
  }
}

std::optional<LeasePlace> StoreChecker::granted_by(uint64_t origin, uint64_t call) const {
  const auto it = answers_.find({origin, call});
  if (it == answers_.end() || it->second.lease == 0) return std::nullopt;
  return it->second.place;
}

void StoreChecker::check_contents(NodeId node, const store::Store& store) {
  const std::string who = "n" + to_string(node) + " at " + std::to_string(store.applied_index()) + ": ";
  const Index first = origin_ + 1;
  Mark mark{1, -1, 0};
  if (Index(store.applied_index()) >= first) {
    const uint64_t at = Index(store.applied_index()) - first;
    if (at >= marks_.size()) return fail("store differs from the model", who + "it has applied what nobody committed");
    mark = marks_[at];
  }
  if (store.revision().value() != mark.revision) {
    return fail("store differs from the model", who + "revision " + std::to_string(store.revision().value()) +
                                                    " instead of " + std::to_string(mark.revision));
  }
  if (store.stats().compact_revision != mark.compact_revision) {
    return fail("store differs from the model",
                who + "compact revision " + std::to_string(store.stats().compact_revision));
  }
  etcdserverpb::RangeRequest all;
  all.set_key(std::string("\0", 1));
  all.set_range_end(std::string("\0", 1));
  etcdserverpb::RangeResponse range;
  if (const Status status = store.range(all, &range); !status.ok()) {
    return fail("store differs from the model", who + status.to_string());
  }
  int at = 0;
  for (const auto& [key, versions] : model_.versions()) {
    const auto newest = std::find_if(versions.rbegin(), versions.rend(),
                                     [&](const auto& version) { return version.main <= mark.revision; });
    if (newest == versions.rend() || newest->tombstone) continue;
    if (at >= range.kvs_size() ||
        !google::protobuf::util::MessageDifferencer::Equals(range.kvs(at), newest->kv)) {
      return fail("store differs from the model",
                  who + (at < range.kvs_size() ? range.kvs(at).ShortDebugString() : std::string("nothing")) +
                      " instead of " + newest->kv.ShortDebugString());
    }
    ++at;
  }
  if (at != range.kvs_size()) {
    return fail("store differs from the model", who + "has key " + quoted(range.kvs(at).key()));
  }
  uint64_t leases = 0;
  for (const store::Lease& lease : store.leases()) {
    leases = mix(leases, digest_of(lease.id, lease.ttl_s, lease.remaining_s));
    const auto keys = store.lease_keys(lease.id);
    if (!keys.ok()) return fail("store differs from the model", who + keys.status().to_string());
    std::vector<std::string> expected;
    for (const auto& kv : range.kvs()) {
      if (kv.lease() == lease.id) expected.push_back(kv.key());
    }
    if (*keys != expected) {
      return fail("store differs from the model", who + "keys of lease " + std::to_string(lease.id));
    }
  }
  if (leases != mark.leases) fail("store differs from the model", who + "leases");
}

}  // namespace kv::sim
