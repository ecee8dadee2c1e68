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
inline Status timed_out_leader() {
  return {Code::kUnavailable, "etcdserver: request timed out, possibly due to previous leader failure"};
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
inline Status bad_member_urls() { return {Code::kInvalidArgument, "etcdserver: given member URLs are invalid"}; }
inline Status peer_urls_exist() { return {Code::kFailedPrecondition, "etcdserver: Peer URLs already exists"}; }
inline Status too_many_learners() {
  return {Code::kFailedPrecondition, "etcdserver: too many learner members in cluster"};
}
inline Status member_not_learner() {
  return {Code::kFailedPrecondition, "etcdserver: can only promote a learner member"};
}
inline Status learner_not_ready() {
  return {Code::kFailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader"};
}
inline Status not_enough_started() {
  return {Code::kFailedPrecondition, "etcdserver: re-configuration failed due to not enough started members"};
}
inline Status unhealthy() { return {Code::kUnavailable, "etcdserver: unhealthy cluster"}; }
inline Status member_not_found() { return {Code::kNotFound, "etcdserver: member not found"}; }

}  // namespace kv::server::errors
