// The state of a member that does not run, brought up to what its log says: the state itself is behind by what was in
// memory when the process died.
//
// Works on a copy (hard links) beside the state, so that the member's own files stay as they are. Holds the member's
// log meanwhile, so that nobody starts it.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "store/backup_file.h"
#include "store/store.h"

namespace kv::raft {
class LogStore;
}

namespace kv::server {

class ColdState {
 public:
  // Unavailable while a process holds the directory; NotFound when it is no member's; DataLoss when it is damaged.
  static Result<std::unique_ptr<ColdState>> open(const std::string& data_dir);
  ~ColdState();  // removes the copy
  ColdState(const ColdState&) = delete;
  ColdState& operator=(const ColdState&) = delete;

  store::Store& state() { return *state_; }
  uint64_t cluster_id() const { return cluster_id_; }
  uint64_t member_id() const { return member_id_; }
  // A directory that goes with this object, for what is made of the state.
  const std::string& workplace() const { return workplace_; }

 private:
  ColdState() = default;
  Status copy_state(const std::string& from, const std::string& to);
  // `began_alone`: what the configuration was where the state has none yet, since nothing of it was flushed.
  Status replay(bool began_alone);

  std::string workplace_;
  std::unique_ptr<raft::LogStore> log_;
  std::unique_ptr<store::Store> state_;
  uint64_t cluster_id_ = 0;
  uint64_t member_id_ = 0;
};

// A hash of the key space in `path`, a backup or the data directory of a member that does not run: the same as
// Maintenance.HashKV tells of a member with this state. `revision` 0: the newest. A backup is unpacked beside itself
// for that, in `path`.unpacked, which is removed again.
Result<store::HashResult> hash_offline(const std::string& path, int64_t revision);

// Store::defragment() on the data directory of a member that does not run.
Status defragment_offline(const std::string& data_dir);

}  // namespace kv::server
