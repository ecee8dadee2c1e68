// What a backup is made of: a checkpoint of the state, and what the backup's header says of it.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "store/backup_file.h"
#include "store/store.h"

namespace kv::server {

// Makes the checkpoint at `path` (Store::checkpoint). `cluster_id` and `member_id`: whose state it is. Any thread.
Result<store::BackupInfo> checkpoint_for_backup(store::Store& state, const std::string& path, uint64_t cluster_id,
                                                uint64_t member_id);

}  // namespace kv::server
