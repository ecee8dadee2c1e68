// What right each command of the log needs, looked up when it is applied: with the users and roles as the commands
// before it have made them, so that a right that was revoked counts from the revocation's own place in the log on.
#pragma once

#include "base/status.h"
#include "kvdpb/command.pb.h"
#include "store/store.h"

namespace kv::server {

// Ok, or what the client is told. The same on every member: it depends on the command and on the state only. A command
// that is not listed is refused.
Status permit(const kvdpb::Command& command, store::ApplyBatch& batch);

}  // namespace kv::server
