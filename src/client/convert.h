// Between the library's structs and the wire's messages. Internal to the client, and to kvctl's protobuf output.
#pragma once

#include "client/lease.h"
#include "client/txn.h"
#include "client/types.h"
#include "client/watch.h"
#include "etcdserverpb/rpc.pb.h"

namespace kv::client {

etcdserverpb::RangeRequest to_proto(std::string_view key, const GetOptions& options);
etcdserverpb::PutRequest to_proto(std::string_view key, std::string_view value, const PutOptions& options);
etcdserverpb::DeleteRangeRequest to_proto(std::string_view key, const RemoveOptions& options);
etcdserverpb::TxnRequest to_proto(const Txn& txn);

GetResponse from_proto(etcdserverpb::RangeResponse&& from);
PutResponse from_proto(etcdserverpb::PutResponse&& from);
RemoveResponse from_proto(etcdserverpb::DeleteRangeResponse&& from);
TxnResponse from_proto(etcdserverpb::TxnResponse&& from);
CompactResponse from_proto(etcdserverpb::CompactionResponse&& from);
MemberStatus from_proto(etcdserverpb::StatusResponse&& from);
HashKvResponse from_proto(etcdserverpb::HashKVResponse&& from);
MemberListResponse from_proto(etcdserverpb::MemberListResponse&& from);
MemberListResponse from_proto(etcdserverpb::MemberRemoveResponse&& from);
MemberListResponse from_proto(etcdserverpb::MemberUpdateResponse&& from);
MemberListResponse from_proto(etcdserverpb::MemberPromoteResponse&& from);
MemberAddResponse from_proto(etcdserverpb::MemberAddResponse&& from);
AlarmListResponse from_proto(etcdserverpb::AlarmResponse&& from);
ResponseHeader from_proto(const etcdserverpb::ResponseHeader& from);
WatchResponse from_proto(etcdserverpb::WatchResponse&& from);  // header and events
LeaseGrantResponse from_proto(etcdserverpb::LeaseGrantResponse&& from);
LeaseRevokeResponse from_proto(etcdserverpb::LeaseRevokeResponse&& from);
LeaseKeepAliveResponse from_proto(etcdserverpb::LeaseKeepAliveResponse&& from);
LeaseTimeToLiveResponse from_proto(etcdserverpb::LeaseTimeToLiveResponse&& from);
LeaseListResponse from_proto(etcdserverpb::LeaseLeasesResponse&& from);

etcdserverpb::RangeResponse to_proto(const GetResponse& from);
etcdserverpb::PutResponse to_proto(const PutResponse& from);
etcdserverpb::DeleteRangeResponse to_proto(const RemoveResponse& from);
etcdserverpb::TxnResponse to_proto(const TxnResponse& from);
etcdserverpb::MemberListResponse to_proto(const MemberListResponse& from);
etcdserverpb::AlarmResponse to_proto(const AlarmListResponse& from);
etcdserverpb::MoveLeaderResponse to_proto(const MoveLeaderResponse& from);
etcdserverpb::DowngradeResponse to_proto(const DowngradeResponse& from);
etcdserverpb::MemberAddResponse to_proto(const MemberAddResponse& from);
etcdserverpb::ResponseHeader to_proto(const ResponseHeader& from);
etcdserverpb::WatchResponse to_proto(const WatchResponse& from);

}  // namespace kv::client
