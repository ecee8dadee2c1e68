// Copies of a state at one point, and what such a directory holds.
#pragma once

#include <string>

#include "base/status.h"
#include "store/database.h"
#include "store/store.h"

namespace kv::store {

// Store::checkpoint(). Any thread; several at a time, with different paths.
Result<StateInfo> make_checkpoint(const Database& database, const std::string& path);

// What meta says of the state. DataLoss when a record of it can't be read.
Result<StateInfo> read_state_info(const Database& database);

}  // namespace kv::store
