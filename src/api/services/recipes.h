// The Lock and Election services as rows of the call table. Their rights are those to the keys that they put and read.
#pragma once

#include "api/call_table.h"
#include "server/elections.h"
#include "server/locks.h"

namespace kv::api {

// The services must outlive the table.
void add_lock(CallTable& table, server::Locks& locks);
void add_election(CallTable& table, server::Elections& elections);

}  // namespace kv::api
