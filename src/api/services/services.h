// etcd's v3 services as rows of the call table: each row names the call, the right it needs, and the member's
// method that answers it. No rule of the key space lives here.
#pragma once

#include "api/call_table.h"
#include "server/member.h"

namespace kv::api {

// `member` must outlive the table.
void add_kv(CallTable& table, server::Member& member);
void add_lease(CallTable& table, server::Member& member);
void add_watch(CallTable& table, server::Member& member);
void add_cluster(CallTable& table, server::Member& member);
void add_maintenance(CallTable& table, server::Member& member);
void add_auth(CallTable& table, server::Member& member);

// The row of a call that a method of the member answers.
template <typename Request, typename Response>
Row member_row(std::string path, Right right, server::Member& member,
               void (server::Member::*method)(CallPtr, std::unique_ptr<Request>, Done<Response>)) {
  return unary_row<Request, Response>(
      std::move(path), right, [&member, method](CallPtr call, std::unique_ptr<Request> request, Done<Response> done) {
        (member.*method)(std::move(call), std::move(request), std::move(done));
      });
}

}  // namespace kv::api
