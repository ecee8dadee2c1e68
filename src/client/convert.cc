#include "client/convert.h"

#include <utility>

namespace kv::client {
namespace {

namespace pb = etcdserverpb;

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <typename... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

ResponseHeader header_of(const pb::ResponseHeader& from) {
  return {from.cluster_id(), from.member_id(), from.revision(), from.raft_term()};
}

// An answer without a header stays one without.
template <typename Message>
void set_header(const ResponseHeader& from, Message& to) {
  if (from == ResponseHeader{}) return;
  auto* header = to.mutable_header();
  header->set_cluster_id(from.cluster_id);
  header->set_member_id(from.member_id);
  header->set_revision(from.revision);
  header->set_raft_term(from.raft_term);
}

KeyValue key_value(mvccpb::KeyValue&& from) {
  return {std::move(*from.mutable_key()),
          from.create_revision(),
          from.mod_revision(),
          from.version(),
          std::move(*from.mutable_value()),
          from.lease()};
}

void set_key_value(const KeyValue& from, mvccpb::KeyValue& to) {
  to.set_key(from.key);
  to.set_create_revision(from.create_revision);
  to.set_mod_revision(from.mod_revision);
  to.set_version(from.version);
  to.set_value(from.value);
  to.set_lease(from.lease);
}

pb::RequestOp request_op(const Op& from) {
  pb::RequestOp to;
  std::visit(Overloaded{
                 [&](const GetOp& op) { *to.mutable_request_range() = to_proto(op.key, op.options); },
                 [&](const PutOp& op) { *to.mutable_request_put() = to_proto(op.key, op.value, op.options); },
                 [&](const RemoveOp& op) { *to.mutable_request_delete_range() = to_proto(op.key, op.options); },
                 [&](const Txn& txn) { *to.mutable_request_txn() = to_proto(txn); },
             },
             from.request);
  return to;
}

pb::Compare compare(const Compare& from) {
  pb::Compare to;
  to.set_key(from.key);
  to.set_range_end(from.range_end);
  to.set_result(static_cast<pb::Compare::CompareResult>(from.comparison));
  to.set_target(static_cast<pb::Compare::CompareTarget>(from.target));
  const int64_t number = std::holds_alternative<int64_t>(from.operand) ? std::get<int64_t>(from.operand) : 0;
  switch (from.target) {
    case CompareTarget::kVersion: to.set_version(number); break;
    case CompareTarget::kCreateRevision: to.set_create_revision(number); break;
    case CompareTarget::kModRevision: to.set_mod_revision(number); break;
    case CompareTarget::kLease: to.set_lease(number); break;
    case CompareTarget::kValue:
      to.set_value(std::holds_alternative<std::string>(from.operand) ? std::get<std::string>(from.operand) : "");
      break;
  }
  return to;
}

OpResponse op_response(pb::ResponseOp&& from) {
  switch (from.response_case()) {
    case pb::ResponseOp::kResponseRange: return {from_proto(std::move(*from.mutable_response_range()))};
    case pb::ResponseOp::kResponsePut: return {from_proto(std::move(*from.mutable_response_put()))};
    case pb::ResponseOp::kResponseDeleteRange: return {from_proto(std::move(*from.mutable_response_delete_range()))};
    case pb::ResponseOp::kResponseTxn: return {from_proto(std::move(*from.mutable_response_txn()))};
    case pb::ResponseOp::RESPONSE_NOT_SET: break;
  }
  return {};
}

std::vector<std::string> strings(const google::protobuf::RepeatedPtrField<std::string>& from) {
  return {from.begin(), from.end()};
}

Member member_of(const pb::Member& from) {
  return {from.id(), from.name(), strings(from.peerurls()), strings(from.clienturls()), from.islearner()};
}

std::vector<Member> members_of(const google::protobuf::RepeatedPtrField<pb::Member>& from) {
  std::vector<Member> to;
  for (const auto& m : from) to.push_back(member_of(m));
  return to;
}

template <typename Response>
MemberListResponse member_list(const Response& from) {
  return {header_of(from.header()), members_of(from.members())};
}

void set_member(const Member& from, pb::Member* to) {
  to->set_id(from.id);
  to->set_name(from.name);
  for (const auto& url : from.peer_urls) to->add_peerurls(url);
  for (const auto& url : from.client_urls) to->add_clienturls(url);
  to->set_islearner(from.is_learner);
}

}  // namespace

pb::RangeRequest to_proto(std::string_view key, const GetOptions& options) {
  pb::RangeRequest to;
  to.set_key(key.data(), key.size());
  to.set_range_end(options.range_end);
  to.set_limit(options.limit);
  to.set_revision(options.revision);
  // By key ascending is how ranges come anyway; said as "no order" it saves the server a sort of the whole range.
  const bool natural = options.sort_target == SortTarget::kKey && options.sort_order == SortOrder::kAscend;
  if (!natural) to.set_sort_order(static_cast<pb::RangeRequest::SortOrder>(options.sort_order));
  to.set_sort_target(static_cast<pb::RangeRequest::SortTarget>(options.sort_target));
  to.set_serializable(options.serializable);
  to.set_keys_only(options.keys_only);
  to.set_count_only(options.count_only);
  to.set_min_mod_revision(options.min_mod_revision);
  to.set_max_mod_revision(options.max_mod_revision);
  to.set_min_create_revision(options.min_create_revision);
  to.set_max_create_revision(options.max_create_revision);
  return to;
}

pb::PutRequest to_proto(std::string_view key, std::string_view value, const PutOptions& options) {
  pb::PutRequest to;
  to.set_key(key.data(), key.size());
  to.set_value(value.data(), value.size());
  to.set_lease(options.lease);
  to.set_prev_kv(options.prev_kv);
  to.set_ignore_value(options.ignore_value);
  to.set_ignore_lease(options.ignore_lease);
  return to;
}

pb::DeleteRangeRequest to_proto(std::string_view key, const RemoveOptions& options) {
  pb::DeleteRangeRequest to;
  to.set_key(key.data(), key.size());
  to.set_range_end(options.range_end);
  to.set_prev_kv(options.prev_kv);
  return to;
}

pb::TxnRequest to_proto(const Txn& txn) {
  pb::TxnRequest to;
  for (const auto& c : txn.compares()) *to.add_compare() = compare(c);
  for (const auto& op : txn.success()) *to.add_success() = request_op(op);
  for (const auto& op : txn.failure()) *to.add_failure() = request_op(op);
  return to;
}

GetResponse from_proto(pb::RangeResponse&& from) {
  GetResponse to{header_of(from.header()), {}, from.more(), from.count()};
  to.kvs.reserve(static_cast<size_t>(from.kvs_size()));
  for (auto& kv : *from.mutable_kvs()) to.kvs.push_back(key_value(std::move(kv)));
  return to;
}

PutResponse from_proto(pb::PutResponse&& from) {
  PutResponse to{header_of(from.header()), {}};
  if (from.has_prev_kv()) to.prev_kv = key_value(std::move(*from.mutable_prev_kv()));
  return to;
}

RemoveResponse from_proto(pb::DeleteRangeResponse&& from) {
  RemoveResponse to{header_of(from.header()), from.deleted(), {}};
  to.prev_kvs.reserve(static_cast<size_t>(from.prev_kvs_size()));
  for (auto& kv : *from.mutable_prev_kvs()) to.prev_kvs.push_back(key_value(std::move(kv)));
  return to;
}

TxnResponse from_proto(pb::TxnResponse&& from) {
  TxnResponse to{header_of(from.header()), from.succeeded(), {}};
  to.responses.reserve(static_cast<size_t>(from.responses_size()));
  for (auto& op : *from.mutable_responses()) to.responses.push_back(op_response(std::move(op)));
  return to;
}

CompactResponse from_proto(pb::CompactionResponse&& from) { return {header_of(from.header())}; }

MemberStatus from_proto(pb::StatusResponse&& from) {
  MemberStatus to;
  to.header = header_of(from.header());
  to.version = from.version();
  to.db_size = from.dbsize();
  to.leader = from.leader();
  to.raft_index = from.raftindex();
  to.raft_term = from.raftterm();
  to.raft_applied_index = from.raftappliedindex();
  to.errors = strings(from.errors());
  to.db_size_in_use = from.dbsizeinuse();
  to.is_learner = from.islearner();
  to.storage_version = from.storageversion();
  to.db_size_quota = from.dbsizequota();
  if (from.has_downgradeinfo()) {
    to.downgrade_info = DowngradeInfo{from.downgradeinfo().enabled(), from.downgradeinfo().targetversion()};
  }
  return to;
}

HashKvResponse from_proto(pb::HashKVResponse&& from) {
  return {header_of(from.header()), from.hash(), from.compact_revision(), from.hash_revision()};
}

MemberListResponse from_proto(pb::MemberListResponse&& from) { return member_list(from); }
MemberListResponse from_proto(pb::MemberRemoveResponse&& from) { return member_list(from); }
MemberListResponse from_proto(pb::MemberUpdateResponse&& from) { return member_list(from); }
MemberListResponse from_proto(pb::MemberPromoteResponse&& from) { return member_list(from); }

MemberAddResponse from_proto(pb::MemberAddResponse&& from) {
  return {header_of(from.header()), member_of(from.member()), members_of(from.members())};
}

AlarmListResponse from_proto(pb::AlarmResponse&& from) {
  AlarmListResponse to{header_of(from.header()), {}};
  for (const auto& a : from.alarms()) to.alarms.push_back({a.memberid(), static_cast<AlarmType>(a.alarm())});
  return to;
}

ResponseHeader from_proto(const pb::ResponseHeader& from) { return header_of(from); }

WatchResponse from_proto(pb::WatchResponse&& from) {
  WatchResponse to{header_of(from.header()), {}};
  to.events.reserve(static_cast<size_t>(from.events_size()));
  for (auto& event : *from.mutable_events()) {
    auto& out = to.events.emplace_back();
    out.type = event.type() == mvccpb::Event::DELETE ? EventType::kDelete : EventType::kPut;
    out.kv = key_value(std::move(*event.mutable_kv()));
    if (event.has_prev_kv()) out.prev_kv = key_value(std::move(*event.mutable_prev_kv()));
  }
  return to;
}

LeaseGrantResponse from_proto(pb::LeaseGrantResponse&& from) {
  return {header_of(from.header()), from.id(), from.ttl()};
}

LeaseRevokeResponse from_proto(pb::LeaseRevokeResponse&& from) { return {header_of(from.header())}; }

LeaseKeepAliveResponse from_proto(pb::LeaseKeepAliveResponse&& from) {
  return {header_of(from.header()), from.id(), from.ttl()};
}

LeaseTimeToLiveResponse from_proto(pb::LeaseTimeToLiveResponse&& from) {
  return {header_of(from.header()), from.id(), from.ttl(), from.grantedttl(), strings(from.keys())};
}

LeaseListResponse from_proto(pb::LeaseLeasesResponse&& from) {
  LeaseListResponse to{header_of(from.header()), {}};
  for (const auto& lease : from.leases()) to.ids.push_back(lease.id());
  return to;
}

pb::ResponseHeader to_proto(const ResponseHeader& from) {
  pb::PutResponse holder;
  set_header(from, holder);
  return holder.header();
}

pb::WatchResponse to_proto(const WatchResponse& from) {
  pb::WatchResponse to;
  set_header(from.header, to);
  for (const auto& event : from.events) {
    auto* out = to.add_events();
    out->set_type(event.type == EventType::kDelete ? mvccpb::Event::DELETE : mvccpb::Event::PUT);
    set_key_value(event.kv, *out->mutable_kv());
    if (event.prev_kv) set_key_value(*event.prev_kv, *out->mutable_prev_kv());
  }
  return to;
}

pb::RangeResponse to_proto(const GetResponse& from) {
  pb::RangeResponse to;
  set_header(from.header, to);
  for (const auto& kv : from.kvs) set_key_value(kv, *to.add_kvs());
  to.set_more(from.more);
  to.set_count(from.count);
  return to;
}

pb::PutResponse to_proto(const PutResponse& from) {
  pb::PutResponse to;
  set_header(from.header, to);
  if (from.prev_kv) set_key_value(*from.prev_kv, *to.mutable_prev_kv());
  return to;
}

pb::DeleteRangeResponse to_proto(const RemoveResponse& from) {
  pb::DeleteRangeResponse to;
  set_header(from.header, to);
  to.set_deleted(from.deleted);
  for (const auto& kv : from.prev_kvs) set_key_value(kv, *to.add_prev_kvs());
  return to;
}

pb::TxnResponse to_proto(const TxnResponse& from) {
  pb::TxnResponse to;
  set_header(from.header, to);
  to.set_succeeded(from.succeeded);
  for (const auto& op : from.responses) {
    auto* out = to.add_responses();
    std::visit(Overloaded{
                   [](const std::monostate&) {},
                   [&](const GetResponse& r) { *out->mutable_response_range() = to_proto(r); },
                   [&](const PutResponse& r) { *out->mutable_response_put() = to_proto(r); },
                   [&](const RemoveResponse& r) { *out->mutable_response_delete_range() = to_proto(r); },
                   [&](const TxnResponse& r) { *out->mutable_response_txn() = to_proto(r); },
               },
               op.answer);
  }
  return to;
}

pb::MemberListResponse to_proto(const MemberListResponse& from) {
  pb::MemberListResponse to;
  set_header(from.header, to);
  for (const auto& m : from.members) set_member(m, to.add_members());
  return to;
}

pb::MemberAddResponse to_proto(const MemberAddResponse& from) {
  pb::MemberAddResponse to;
  set_header(from.header, to);
  set_member(from.member, to.mutable_member());
  for (const auto& m : from.members) set_member(m, to.add_members());
  return to;
}

pb::AlarmResponse to_proto(const AlarmListResponse& from) {
  pb::AlarmResponse to;
  set_header(from.header, to);
  for (const auto& a : from.alarms) {
    auto* out = to.add_alarms();
    out->set_memberid(a.member_id);
    out->set_alarm(static_cast<pb::AlarmType>(a.type));
  }
  return to;
}

pb::MoveLeaderResponse to_proto(const MoveLeaderResponse& from) {
  pb::MoveLeaderResponse to;
  set_header(from.header, to);
  return to;
}

pb::DowngradeResponse to_proto(const DowngradeResponse& from) {
  pb::DowngradeResponse to;
  set_header(from.header, to);
  to.set_version(from.version);
  return to;
}

}  // namespace kv::client
