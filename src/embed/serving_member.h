// A member and its doors, put together: what kvd runs, and what kv::Server (server.h) holds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "api/call_table.h"
#include "api/net/server.h"
#include "base/status.h"
#include "server/elections.h"
#include "server/locks.h"
#include "server/member.h"
#include "server/options.h"

namespace kv::embed {

class ServingMember {
 public:
  // The member first, then its doors, which serve when this returns. `failed` is as in server::Member::start(); so are
  // the errors, and Unavailable for a client address that can't be bound.
  static Result<std::unique_ptr<ServingMember>> start(const server::MemberOptions& member,
                                                      const api::ServerOptions& doors,
                                                      std::function<void(Status)> failed);
  // Stops at once.
  ~ServingMember();
  ServingMember(const ServingMember&) = delete;
  ServingMember& operator=(const ServingMember&) = delete;

  // Calls in flight may end for `drain_ms`, then leadership may move for `hand_over_ms`. Blocks. Once.
  void stop(int64_t drain_ms, int64_t hand_over_ms);

  server::Member& member() { return *member_; }
  api::Server& doors() { return *doors_; }

 private:
  explicit ServingMember(std::unique_ptr<server::Member> member);

  // Each uses those above it.
  const std::unique_ptr<server::Member> member_;
  server::Locks locks_;
  server::Elections elections_;
  api::CallTable table_;
  std::unique_ptr<api::Server> doors_{};
};

}  // namespace kv::embed
