// All that a member serves, in one table: what kvd's doors read, and what the tests of rights walk.
#pragma once

#include <functional>

#include "api/call_table.h"
#include "server/elections.h"
#include "server/locks.h"
#include "server/member.h"

namespace kv::api {

// All must outlive the table. `serving`: what the health service says.
void add_all_services(CallTable& table, server::Member& member, server::Locks& locks, server::Elections& elections,
                      std::function<bool()> serving);

}  // namespace kv::api
