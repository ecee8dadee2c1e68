// A member that was removed from its cluster must not go on, nor begin again from what it has: its id never comes back,
// and what it would say disturbs the others. So it leaves a note in its data directory, for people too.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"

namespace kv::server {

// FailedPrecondition: why the member stops and what to do. `how`: how it came to know.
Status removed_from_cluster(uint64_t member, uint64_t cluster, const std::string& data_dir, const std::string& how);

// Leaves a note with `status`'s text, durably. What goes wrong is logged: the member stops all the same.
void leave_removal_note(const std::string& data_dir, const Status& status);
// The status of a note that was left.
std::optional<Status> removal_note(const std::string& data_dir);
// For --force-new-cluster, which makes a cluster out of whatever there is.
void delete_removal_note(const std::string& data_dir);

}  // namespace kv::server
