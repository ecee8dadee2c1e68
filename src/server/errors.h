// The member's own errors, in etcd's words: clients compare them letter by letter.
#pragma once

#include "base/status.h"

namespace kv::server::errors {

// For a call that this version knows and does not serve.
inline Status not_served() { return {Code::kUnimplemented, "etcdserver: not capable"}; }
inline Status stopped() { return {Code::kUnavailable, "etcdserver: server stopped"}; }
inline Status timed_out() { return {Code::kUnavailable, "etcdserver: request timed out"}; }
inline Status timed_out_applying() {
  return {Code::kUnavailable, "etcdserver: request timed out, waiting for the applied index took too long"};
}
inline Status timed_out_connection() {
  return {Code::kUnavailable, "etcdserver: request timed out, possibly due to connection lost"};
}
inline Status no_leader() { return {Code::kUnavailable, "etcdserver: no leader"}; }
inline Status leader_changed() { return {Code::kUnavailable, "etcdserver: leader changed"}; }
inline Status state_replaced() {
  return {Code::kUnavailable, "etcdserver: this member has installed a snapshot of the leader's state meanwhile"};
}
inline Status too_many_requests() { return {Code::kResourceExhausted, "etcdserver: too many requests"}; }
inline Status too_large() { return {Code::kInvalidArgument, "etcdserver: request is too large"}; }
inline Status no_space() { return {Code::kResourceExhausted, "etcdserver: mvcc: database space exceeded"}; }
inline Status corrupt() { return {Code::kDataLoss, "etcdserver: corrupt cluster"}; }
inline Status not_leader() { return {Code::kFailedPrecondition, "etcdserver: not leader"}; }
inline Status bad_transferee() { return {Code::kFailedPrecondition, "etcdserver: bad leader transferee"}; }
inline Status member_not_found() { return {Code::kNotFound, "etcdserver: member not found"}; }

}  // namespace kv::server::errors
