#include "client/client.h"

#include <utility>

#include "client/calls.h"
#include "client/convert.h"
#include "client/namespace.h"
#include "client/streams.h"

namespace kv::client {

namespace pb = etcdserverpb;

namespace {

template <typename Response>
Response stripped(const Namespace& space, Response response) {
  if (!space.is_all()) space.strip(response);
  return response;
}

}  // namespace

Result<std::unique_ptr<Client>> Client::create(ClientOptions options) {
  if (options.endpoints.empty()) return Status(Code::kInvalidArgument, "a client needs at least one endpoint");
  auto dialer = Dialer::create(options);
  if (!dialer.ok()) return dialer.status();
  std::vector<std::unique_ptr<Endpoint>> endpoints;
  for (const auto& name : options.endpoints) {
    auto endpoint = dialer->dial(name);
    if (!endpoint.ok()) return endpoint.status();
    endpoints.push_back(*std::move(endpoint));
  }
  auto calls = std::make_shared<Calls>(std::move(options), *std::move(dialer), std::move(endpoints));
  return std::unique_ptr<Client>(new Client(std::move(calls), std::make_shared<Streams>(), {}));
}

Client::Client(std::shared_ptr<Calls> calls, std::shared_ptr<Streams> streams, std::string prefix)
    : calls_(std::move(calls)),
      streams_(std::move(streams)),
      space_(std::make_unique<const Namespace>(std::move(prefix))) {}

Client::~Client() = default;

std::unique_ptr<Client> Client::in_namespace(std::string_view prefix) const {
  return std::unique_ptr<Client>(new Client(calls_, streams_, space_->key(prefix)));
}

const std::string& Client::namespace_prefix() const { return space_->prefix(); }

const std::vector<std::string>& Client::endpoints() const { return calls_->options().endpoints; }

Watcher Client::watch(std::string_view key, WatchOptions options, WatchCallbacks callbacks) {
  // As the server has it, the empty key stands for the smallest there is.
  const std::string smallest = space_->is_all() || !key.empty() ? std::string(key) : unbounded();
  options.range_end = space_->range_end(options.range_end);
  return Watcher(streams_->get(streams_->watches, calls_),
                 std::make_shared<WatchState>(space_->key(smallest), std::move(options), std::move(callbacks),
                                              space_->prefix().size()));
}

KeepAlive Client::keep_alive(int64_t lease, KeepAliveOptions options) {
  return KeepAlive(streams_->get(streams_->keep_alives, calls_),
                   std::make_shared<KeptLease>(lease, std::move(options)));
}

Result<GetResponse> Client::get(std::string_view key, const GetOptions& options, const CallOptions& call) {
  KV_RETURN_IF_ERROR(space_->check(key));
  auto request = to_proto(key, options);
  space_->widen(request);
  pb::RangeResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kSafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.kv->Range(&context, request, &response);
  }));
  return stripped(*space_, from_proto(std::move(response)));
}

Result<PutResponse> Client::put(std::string_view key, std::string_view value, const PutOptions& options,
                                const CallOptions& call) {
  KV_RETURN_IF_ERROR(space_->check(key));
  auto request = to_proto(key, value, options);
  space_->widen(request);
  pb::PutResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kUnsafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.kv->Put(&context, request, &response);
  }));
  return stripped(*space_, from_proto(std::move(response)));
}

Result<RemoveResponse> Client::remove(std::string_view key, const RemoveOptions& options, const CallOptions& call) {
  KV_RETURN_IF_ERROR(space_->check(key));
  auto request = to_proto(key, options);
  space_->widen(request);
  pb::DeleteRangeResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kUnsafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.kv->DeleteRange(&context, request, &response);
  }));
  return stripped(*space_, from_proto(std::move(response)));
}

Result<TxnResponse> Client::commit(const Txn& txn, const CallOptions& call) {
  KV_RETURN_IF_ERROR(space_->check(txn));
  const auto request = to_proto(space_->is_all() ? txn : space_->txn(txn));
  const Repeat repeat = txn.read_only() ? Repeat::kSafe : Repeat::kUnsafe;
  pb::TxnResponse response;
  KV_RETURN_IF_ERROR(calls_->run(repeat, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.kv->Txn(&context, request, &response);
  }));
  return stripped(*space_, from_proto(std::move(response)));
}

Result<CompactResponse> Client::compact(int64_t revision, const CompactOptions& options, const CallOptions& call) {
  pb::CompactionRequest request;
  request.set_revision(revision);
  request.set_physical(options.physical);
  pb::CompactionResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kUnsafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.kv->Compact(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<MemberListResponse> Client::member_list(const MemberListOptions& options, const CallOptions& call) {
  pb::MemberListRequest request;
  request.set_linearizable(!options.serializable);
  pb::MemberListResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kSafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.cluster->MemberList(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<MemberAddResponse> Client::member_add(const std::vector<std::string>& peer_urls, bool learner,
                                             const CallOptions& call) {
  pb::MemberAddRequest request;
  for (const std::string& url : peer_urls) request.add_peerurls(url);
  request.set_islearner(learner);
  pb::MemberAddResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kUnsafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.cluster->MemberAdd(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<MemberListResponse> Client::member_remove(uint64_t id, const CallOptions& call) {
  pb::MemberRemoveRequest request;
  request.set_id(id);
  pb::MemberRemoveResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kUnsafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.cluster->MemberRemove(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<MemberListResponse> Client::member_update(uint64_t id, const std::vector<std::string>& peer_urls,
                                                 const CallOptions& call) {
  pb::MemberUpdateRequest request;
  request.set_id(id);
  for (const std::string& url : peer_urls) request.add_peerurls(url);
  pb::MemberUpdateResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kUnsafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.cluster->MemberUpdate(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<MemberListResponse> Client::member_promote(uint64_t id, const CallOptions& call) {
  pb::MemberPromoteRequest request;
  request.set_id(id);
  pb::MemberPromoteResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kUnsafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.cluster->MemberPromote(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<AlarmListResponse> Client::alarm_list(const CallOptions& call) {
  pb::AlarmRequest request;
  request.set_action(pb::AlarmRequest::GET);
  pb::AlarmResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kSafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.maintenance->Alarm(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<AlarmListResponse> Client::alarm_disarm(const Alarm& alarm, const CallOptions& call) {
  if (alarm.member_id == 0 && alarm.type == AlarmType::kNone) {
    auto listed = alarm_list(call);
    if (!listed.ok()) return listed.status();
    AlarmListResponse all;
    for (const Alarm& one : listed->alarms) {
      if (one.member_id == 0 && one.type == AlarmType::kNone) continue;
      auto ended = alarm_disarm(one, call);
      if (!ended.ok()) return ended.status();
      all.alarms.insert(all.alarms.end(), ended->alarms.begin(), ended->alarms.end());
    }
    return all;
  }
  pb::AlarmRequest request;
  request.set_action(pb::AlarmRequest::DEACTIVATE);
  request.set_memberid(alarm.member_id);
  request.set_alarm(static_cast<pb::AlarmType>(alarm.type));
  pb::AlarmResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kUnsafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.maintenance->Alarm(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<MoveLeaderResponse> Client::move_leader(uint64_t member, const CallOptions& call) {
  pb::MoveLeaderRequest request;
  request.set_targetid(member);
  pb::MoveLeaderResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kUnsafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.maintenance->MoveLeader(&context, request, &response);
  }));
  return MoveLeaderResponse{from_proto(response.header())};
}

Result<DowngradeResponse> Client::downgrade(DowngradeAction action, std::string_view version, const CallOptions& call) {
  pb::DowngradeRequest request;
  request.set_action(static_cast<pb::DowngradeRequest::DowngradeAction>(action));
  request.set_version(std::string(version));
  pb::DowngradeResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kUnsafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.maintenance->Downgrade(&context, request, &response);
  }));
  return DowngradeResponse{from_proto(response.header()), response.version()};
}

Result<MemberStatus> Client::status(std::string_view endpoint, const CallOptions& call) {
  pb::StatusResponse response;
  KV_RETURN_IF_ERROR(calls_->run_on(endpoint, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.maintenance->Status(&context, {}, &response);
  }));
  return from_proto(std::move(response));
}

Result<HashKvResponse> Client::hash_kv(std::string_view endpoint, int64_t revision, const CallOptions& call) {
  pb::HashKVRequest request;
  request.set_revision(revision);
  pb::HashKVResponse response;
  KV_RETURN_IF_ERROR(calls_->run_on(endpoint, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.maintenance->HashKV(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<LeaseGrantResponse> Client::lease_grant(int64_t ttl_s, int64_t id, const CallOptions& call) {
  pb::LeaseGrantRequest request;
  request.set_ttl(ttl_s);
  request.set_id(id);
  pb::LeaseGrantResponse response;
  const Repeat repeat = id == 0 ? Repeat::kSafe : Repeat::kUnsafe;
  KV_RETURN_IF_ERROR(calls_->run(repeat, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.lease->LeaseGrant(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<LeaseRevokeResponse> Client::lease_revoke(int64_t id, const CallOptions& call) {
  pb::LeaseRevokeRequest request;
  request.set_id(id);
  pb::LeaseRevokeResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kSafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.lease->LeaseRevoke(&context, request, &response);
  }));
  return from_proto(std::move(response));
}

Result<LeaseKeepAliveResponse> Client::lease_keep_alive_once(int64_t id, const CallOptions& call) {
  pb::LeaseKeepAliveRequest request;
  request.set_id(id);
  pb::LeaseKeepAliveResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kSafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    const auto stream = e.lease->LeaseKeepAlive(&context);
    const bool answered = stream->Write(request) && stream->Read(&response);
    if (answered) {
      // One answer is all we want: the rest of the stream is not waited for.
      context.TryCancel();
      (void)stream->Finish();
      return grpc::Status::OK;
    }
    const grpc::Status status = stream->Finish();
    return status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server has ended the stream") : status;
  }));
  if (response.ttl() <= 0) return Status(Code::kNotFound, "etcdserver: requested lease not found");
  return from_proto(std::move(response));
}

Result<LeaseTimeToLiveResponse> Client::lease_time_to_live(int64_t id, bool keys, const CallOptions& call) {
  pb::LeaseTimeToLiveRequest request;
  request.set_id(id);
  request.set_keys(keys);
  pb::LeaseTimeToLiveResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kSafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.lease->LeaseTimeToLive(&context, request, &response);
  }));
  return stripped(*space_, from_proto(std::move(response)));
}

Result<LeaseListResponse> Client::lease_list(const CallOptions& call) {
  pb::LeaseLeasesResponse response;
  KV_RETURN_IF_ERROR(calls_->run(Repeat::kSafe, call, [&](Endpoint& e, grpc::ClientContext& context) {
    return e.lease->LeaseLeases(&context, {}, &response);
  }));
  return from_proto(std::move(response));
}

}  // namespace kv::client
