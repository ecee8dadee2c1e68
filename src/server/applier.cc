#include "server/applier.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/io/coded_stream.h>

#include "base/log.h"
#include "kvdpb/command.pb.h"
#include "kvdpb/peer.pb.h"
#include "server/command_rights.h"
#include "server/errors.h"
#include "server/membership.h"
#include "store/auth_changes.h"
#include "store/auth_errors.h"

namespace kv::server {
namespace {

using google::protobuf::Arena;
using google::protobuf::Message;
using kvdpb::Command;

// Entries of one apply() that may share a store batch, so that a follower that catches up works in large steps
// and still in bounded memory.
constexpr size_t kMaxBatchBytes = 4 << 20;

// Doors let in messages that are nested as deep as protobuf parses by itself (100). Here they stand inside of two more,
// so the deepest of them need a larger limit; without it a transaction of 49 levels would stop every member.
bool parse(const std::string& bytes, kvdpb::Batch* out) {
  if (out->ParseFromString(bytes)) return true;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  in.SetRecursionLimit(110);
  return out->ParseFromCodedStream(&in) && in.ConsumedEntireMessage();
}

void apply_member_attributes(const kvdpb::MemberAttributes& attributes, MemberRecords& members) {
  auto member = members.find(attributes.id());
  // A member that was removed in the meantime stays removed.
  if (!member) return;
  member->set_name(attributes.name());
  *member->mutable_clienturls() = attributes.client_urls();
  members.put(*member);
}

Status apply_member_update(const etcdserverpb::MemberUpdateRequest& request, MemberRecords& members) {
  auto member = members.find(request.id());
  if (!member) return errors::member_not_found();
  *member->mutable_peerurls() = request.peerurls();
  members.put(*member);
  return {};
}

void note(LeaseNews* news, LeaseEvent::Kind kind, const store::Lease& lease) { news->events.push_back({kind, lease}); }

// What a leader knew of the time is worth nothing under the next one, who may have answered keep-alives since: a
// command that was decided in one term and stands in an entry of another does nothing (etcd 12528, 15247).
void apply_lease_expiry(const kvdpb::LeaseExpiry& expiry, raft::Term term, store::ApplyBatch& batch, LeaseNews* news) {
  if (expiry.term() != term.value()) return;
  for (int i = 0; i < expiry.ids_size(); ++i) {
    const int64_t id = expiry.ids(i);
    // A client may have revoked it meanwhile, and even had its id granted anew.
    const std::optional<store::Lease> lease = batch.lease(id);
    if (!lease || i >= expiry.grants_size() || lease->grant != expiry.grants(i)) continue;
    etcdserverpb::LeaseRevokeRequest request;
    request.set_id(id);
    etcdserverpb::LeaseRevokeResponse response;
    if (batch.lease_revoke(request, &response).ok()) note(news, LeaseEvent::Kind::kExpired, {id, 0, 0});
  }
  news->resolved = expiry.number();
}

void apply_lease_checkpoints(const kvdpb::LeaseCheckpoints& checkpoints, raft::Term term, store::ApplyBatch& batch,
                             LeaseNews* news) {
  if (checkpoints.term() != term.value()) return;
  etcdserverpb::LeaseCheckpointRequest request;
  for (int i = 0; i < checkpoints.checkpoints_size(); ++i) {
    const std::optional<store::Lease> lease = batch.lease(checkpoints.checkpoints(i).id());
    if (!lease || i >= checkpoints.grants_size() || lease->grant != checkpoints.grants(i)) continue;
    *request.add_checkpoints() = checkpoints.checkpoints(i);
  }
  etcdserverpb::LeaseCheckpointResponse response;
  if (!batch.lease_checkpoint(request, &response).ok()) return;
  for (const auto& c : request.checkpoints()) {
    note(news, LeaseEvent::Kind::kCheckpointed, {c.id(), 0, c.remaining_ttl()});
  }
  news->resolved = checkpoints.number();
}

// Returns what the change carries besides raft's own part.
kvdpb::MemberChange apply_configuration(const CommittedEntry& e, MemberRecords& members) {
  members.set_configuration(*e.configuration);
  const auto change = raft::decode_config_change(*e.entry.data);
  kvdpb::MemberChange context;
  if (!change || !context.ParseFromString(change->context)) return {};
  for (const raft::SingleChange& single : change->changes) {
    if (single.type == raft::ChangeType::kRemove) {
      members.remove(single.node.value());
    } else if (context.member().id() == single.node.value()) {
      members.put(context.member());
    }
  }
  return context;
}

// Who answers, for response headers; the store has set their revision.
struct Header {
  uint64_t cluster_id;
  uint64_t member_id;
  uint64_t term;
};

// Applies one command by `apply`; its response lives on the arena.
template <typename Response, typename Apply>
Status answer(Arena& arena, const Header& header, Message** out, Apply apply) {
  auto* response = Arena::CreateMessage<Response>(&arena);
  *out = response;
  Status status = apply(response);
  auto* h = response->mutable_header();
  h->set_cluster_id(header.cluster_id);
  h->set_member_id(header.member_id);
  h->set_raft_term(header.term);
  return status;
}

// A change of users or roles.
template <typename Response, typename Request>
Status change_auth(store::ApplyBatch& batch, const Request& request, Arena& arena, const Header& header,
                   Message** out) {
  return answer<Response>(arena, header, out, [&](Response* response) {
    response->mutable_header()->set_revision(batch.revision());
    return batch.auth().apply(request);
  });
}

// Tokens that are issued by what is applied; told of before the state shows it.
using Tokens = std::vector<std::pair<std::string, store::Identity>>;

// What the member that compared the password has seen must still be so.
Status issue_token(const Command& command, const raft::Entry& entry, store::ApplyBatch& batch,
                   etcdserverpb::AuthenticateResponse* response, Tokens* tokens) {
  const store::AuthState& state = batch.auth().now();
  if (!state.enabled()) return store::auth_not_enabled_error();
  store::Identity identity{command.auth_token().user(), command.auth_revision()};
  KV_RETURN_IF_ERROR(state.permit_user(identity));
  response->mutable_header()->set_revision(batch.revision());
  response->set_token(command.auth_token().prefix() + "." + to_string(entry.index));
  tokens->emplace_back(response->token(), std::move(identity));
  return {};
}

// `response` stays null when the command has none.
Status apply_command(const Command& command, const raft::Entry& entry, store::ApplyBatch& batch, MemberRecords& members,
                     Arena& arena, const Header& header, Message** response, LeaseNews* news, Tokens* tokens,
                     Alarms* alarms) {
  const raft::Term term = entry.term;
  if (alarms != nullptr) {
    if (Status refused = alarms->refuses(command); !refused.ok()) {
      // The leader learns that this came to nothing, and tries again later.
      if (command.has_lease_expiry() && command.lease_expiry().term() == term.value())
        news->resolved = command.lease_expiry().number();
      return refused;
    }
  }
  KV_RETURN_IF_ERROR(permit(command, batch));
  switch (command.request_case()) {
    case Command::kPut:
      return answer<etcdserverpb::PutResponse>(arena, header, response,
                                               [&](auto* r) { return batch.put(command.put(), r); });
    case Command::kDeleteRange:
      return answer<etcdserverpb::DeleteRangeResponse>(
          arena, header, response, [&](auto* r) { return batch.delete_range(command.delete_range(), r); });
    case Command::kTxn:
      return answer<etcdserverpb::TxnResponse>(arena, header, response,
                                               [&](auto* r) { return batch.txn(command.txn(), r); });
    case Command::kCompact:
      return answer<etcdserverpb::CompactionResponse>(arena, header, response,
                                                      [&](auto* r) { return batch.compact(command.compact(), r); });
    case Command::kLeaseGrant:
      return answer<etcdserverpb::LeaseGrantResponse>(arena, header, response, [&](auto* r) {
        Status status = batch.lease_grant(command.lease_grant(), r);
        if (status.ok()) note(news, LeaseEvent::Kind::kGranted, *batch.lease(r->id()));
        return status;
      });
    case Command::kLeaseRevoke:
      return answer<etcdserverpb::LeaseRevokeResponse>(arena, header, response, [&](auto* r) {
        Status status = batch.lease_revoke(command.lease_revoke(), r);
        if (status.ok()) note(news, LeaseEvent::Kind::kRevoked, {command.lease_revoke().id(), 0, 0});
        return status;
      });
    case Command::kNode:
      return answer<kvdpb::NodeResponse>(arena, header, response, [&](auto* r) {
        Status status = batch.node(command.node(), r);
        if (!status.ok()) return status;
        r->set_raft_index(static_cast<int64_t>(entry.index.value()));
        if (const auto lease = batch.lease(command.node().lease()); lease && r->error_code() == 0)
          note(news, LeaseEvent::Kind::kGranted, *lease);
        for (const int64_t id : r->revoked_leases()) note(news, LeaseEvent::Kind::kRevoked, {id, 0, 0});
        return status;
      });
    case Command::kLeaseExpiry: apply_lease_expiry(command.lease_expiry(), term, batch, news); return {};
    case Command::kLeaseCheckpoints: apply_lease_checkpoints(command.lease_checkpoints(), term, batch, news); return {};
    case Command::kMemberAttributes: apply_member_attributes(command.member_attributes(), members); return {};
    case Command::kMemberUpdate:
      *response = Arena::CreateMessage<kvdpb::MembershipResponse>(&arena);
      return apply_member_update(command.member_update(), members);
    case Command::kClusterVersion:
      batch.put_record(kClusterVersionRecord, command.cluster_version().version());
      return {};
    case Command::kAlarm:
      return answer<etcdserverpb::AlarmResponse>(arena, header, response, [&](auto* r) {
        return alarms != nullptr ? alarms->apply(command.alarm(), batch, r) : Status();
      });
    case Command::kDiskAlarm:
      if (alarms != nullptr) alarms->apply(command.disk_alarm(), batch);
      return {};
    case Command::kDowngradeTarget:
      return answer<etcdserverpb::DowngradeResponse>(arena, header, response, [&](auto*) {
        const std::string& version = command.downgrade_target().version();
        version.empty() ? batch.delete_record(kDowngradeRecord) : batch.put_record(kDowngradeRecord, version);
        return Status();
      });
    case Command::kAuthEnable:
      return change_auth<etcdserverpb::AuthEnableResponse>(batch, command.auth_enable(), arena, header, response);
    case Command::kAuthDisable:
      return change_auth<etcdserverpb::AuthDisableResponse>(batch, command.auth_disable(), arena, header, response);
    case Command::kAuthUserAdd:
      return change_auth<etcdserverpb::AuthUserAddResponse>(batch, command.auth_user_add(), arena, header, response);
    case Command::kAuthUserDelete:
      return change_auth<etcdserverpb::AuthUserDeleteResponse>(batch, command.auth_user_delete(), arena, header,
                                                               response);
    case Command::kAuthUserChangePassword:
      return change_auth<etcdserverpb::AuthUserChangePasswordResponse>(batch, command.auth_user_change_password(),
                                                                       arena, header, response);
    case Command::kAuthUserGrantRole:
      return change_auth<etcdserverpb::AuthUserGrantRoleResponse>(batch, command.auth_user_grant_role(), arena, header,
                                                                  response);
    case Command::kAuthUserRevokeRole:
      return change_auth<etcdserverpb::AuthUserRevokeRoleResponse>(batch, command.auth_user_revoke_role(), arena,
                                                                   header, response);
    case Command::kAuthRoleAdd:
      return change_auth<etcdserverpb::AuthRoleAddResponse>(batch, command.auth_role_add(), arena, header, response);
    case Command::kAuthRoleDelete:
      return change_auth<etcdserverpb::AuthRoleDeleteResponse>(batch, command.auth_role_delete(), arena, header,
                                                               response);
    case Command::kAuthRoleGrantPermission:
      return change_auth<etcdserverpb::AuthRoleGrantPermissionResponse>(batch, command.auth_role_grant_permission(),
                                                                        arena, header, response);
    case Command::kAuthRoleRevokePermission:
      return change_auth<etcdserverpb::AuthRoleRevokePermissionResponse>(batch, command.auth_role_revoke_permission(),
                                                                         arena, header, response);
    case Command::kAuthToken:
      return answer<etcdserverpb::AuthenticateResponse>(
          arena, header, response, [&](auto* r) { return issue_token(command, entry, batch, r, tokens); });
    default: break;
  }
  KV_CHECK(false, "known_command() let an unknown command through");
}

// False for a newer version's command. To skip it would make members differ.
bool known_command(const Command& command) { return command.request_case() != Command::REQUEST_NOT_SET; }

}  // namespace

struct Applier::Answer {
  Status status;
  Message* response;
};

Applier::Applier(store::Store& store, PendingCalls& calls, uint64_t member_id, uint64_t cluster_id,
                 const std::atomic<uint64_t>& term, LeaseObserver* leases, TokenObserver* tokens, Alarms* alarms,
                 MembershipObserver* members)
    : store_(store),
      calls_(calls),
      member_id_(member_id),
      cluster_id_(cluster_id),
      term_(term),
      leases_(leases),
      tokens_(tokens),
      alarms_(alarms),
      members_(members) {}

Status Applier::apply(const std::vector<CommittedEntry>& entries) {
  const CommittedEntry* first = entries.data();
  const CommittedEntry* const end = first + entries.size();
  while (first != end && first->entry.index.value() <= store_.applied_index()) ++first;
  while (first != end) {
    const CommittedEntry* last = first;
    // A change of members ends its batch: what follows reads the member list as a record of the store.
    for (size_t bytes = 0; last != end && bytes < kMaxBatchBytes;) {
      bytes += last->entry.bytes();
      if ((last++)->configuration) break;
    }
    KV_RETURN_IF_ERROR(apply_batch(first, last));
    first = last;
  }
  return {};
}

Status Applier::apply_batch(const CommittedEntry* first, const CommittedEntry* last) {
  KV_CHECK(first->entry.index.value() == store_.applied_index() + 1, "entry " + to_string(first->entry.index) +
                                                                         " does not follow applied index " +
                                                                         std::to_string(store_.applied_index()));
  const int64_t began_ms = timer_ != nullptr ? timer_->now_ms() : 0;
  const Header header{cluster_id_, member_id_, term_.load(std::memory_order_relaxed)};
  Arena arena;
  const auto batch = store_.begin();
  MemberRecords member_records(store_, *batch);
  std::vector<kvdpb::MembershipResponse*> membership;
  std::vector<uint64_t> numbers;
  std::vector<Answer> answers;
  LeaseNews news;
  Tokens tokens;
  for (const CommittedEntry* e = first; e != last; ++e) {
    // Numbers count within a term.
    if (e->entry.term != news.term) news.resolved = 0;
    news.term = e->entry.term;
    if (e->configuration) {
      const kvdpb::MemberChange change = apply_configuration(*e, member_records);
      if (change.origin() != member_id_) continue;
      membership.push_back(Arena::CreateMessage<kvdpb::MembershipResponse>(&arena));
      *membership.back()->mutable_member() = change.member();
      numbers.push_back(change.call());
      answers.push_back({Status(), membership.back()});
      continue;
    }
    if (e->entry.type != raft::EntryType::kCommand) continue;
    auto* commands = Arena::CreateMessage<kvdpb::Batch>(&arena);
    if (!parse(*e->entry.data, commands))
      return {Code::kDataLoss, "log entry " + to_string(e->entry.index) + " does not hold a batch of commands"};
    for (const Command& command : commands->commands()) {
      if (!known_command(command))
        return {Code::kUnimplemented,
                "log entry " + to_string(e->entry.index) + " holds a command of a newer version: upgrade this member"};
      Message* response = nullptr;
      Status status =
          apply_command(command, e->entry, *batch, member_records, arena, header, &response, &news, &tokens, alarms_);
      if (command.origin() != member_id_) continue;
      if (command.has_member_update() && status.ok())
        membership.push_back(static_cast<kvdpb::MembershipResponse*>(response));
      numbers.push_back(command.call());
      answers.push_back({std::move(status), response});
    }
  }
  const raft::Entry& newest = (last - 1)->entry;
  if (tokens_ != nullptr)
    for (auto& [token, identity] : tokens) tokens_->assigned(token, std::move(identity));
  KV_RETURN_IF_ERROR(batch->commit(newest.index.value(), newest.term.value()));
  if (leases_ != nullptr) leases_->applied(news);
  if (members_ != nullptr && member_records.changed()) members_->members_changed();
  for (kvdpb::MembershipResponse* response : membership)
    for (etcdserverpb::Member& member : members(store_)) *response->add_members() = std::move(member);
  if (timer_ != nullptr) timer_->applied(began_ms, first, last);

  std::vector<Completion> completions = calls_.take(numbers);
  for (size_t i = 0; i < completions.size(); ++i) {
    if (!completions[i]) continue;
    Answer& a = answers[i];
    if (!a.status.ok()) {
      completions[i](std::move(a.status), nullptr);
    } else {
      completions[i](Status(), a.response);
    }
  }
  return {};
}

}  // namespace kv::server
