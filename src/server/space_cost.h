// What a command costs of the store's space, as etcd estimates it for its quota.
#pragma once

#include <cstddef>

#include "kvdpb/command.pb.h"

namespace kv::server {

// A put: its key, its value and 256 bytes; a transaction: its larger branch; a lease: 64 bytes. 0: it needs no room.
size_t space_cost(const kvdpb::Command& command);

}  // namespace kv::server
