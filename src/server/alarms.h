// The cluster's alarms, as etcd has them: a set of (member, type) that every member agrees on, and what they keep
// clients from. A record each of the store, so they survive restarts; a view in memory, so asking costs nothing.
//
// NOSPACE of any member: nobody may write more. Reads, deletions, compaction and the end of leases go on, because they
// are what makes room. CORRUPT of any member: nobody may change the key space at all, and the member that the alarm
// names (0: every one) answers no reads either, which etcd's still does: what it would say is known to be doubtful.
//
// Whether a command is refused is decided when it is applied, by the set as the log has made it, so that members agree.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "etcdserverpb/rpc.pb.h"
#include "kvdpb/command.pb.h"
#include "store/store.h"

namespace kv::server {

// Records "alarm/<type>/<16 hex digits of the member>" hold "disk" or nothing.
inline constexpr std::string_view kAlarmPrefix = "alarm/";

class Alarms {
 public:
  // A root client may name members that there aren't, as in etcd; but not without end.
  static constexpr size_t kMaxAlarms = 1000;

  // Takes what the state holds: before anything is applied, and when the state was replaced. `self`: this member.
  void load(const store::Store& store, uint64_t self);

  // ---- the thread that applies ----
  // As etcd's applier: ACTIVATE and DEACTIVATE answer with the alarm that there is, or was; with none when nothing is
  // changed. ResourceExhausted beyond kMaxAlarms.
  Status apply(const etcdserverpb::AlarmRequest& request, store::ApplyBatch& batch,
               etcdserverpb::AlarmResponse* response);
  void apply(const kvdpb::DiskAlarm& alarm, store::ApplyBatch& batch);

  // ---- any thread ----
  // "etcdserver: mvcc: database space exceeded" or "etcdserver: corrupt cluster" for a command that may not be applied
  // now; asked before it is proposed too, which spares the log.
  Status refuses(const kvdpb::Command& command) const;
  // Whether this member may answer reads.
  Status refuses_reads() const;
  // All of a type, or with NONE all, by type and then by member.
  std::vector<etcdserverpb::AlarmMember> list(etcdserverpb::AlarmType type = etcdserverpb::NONE) const;
  bool raised(uint64_t member, etcdserverpb::AlarmType type) const;
  // Whether that member's NOSPACE came of its disk.
  bool raised_by_disk(uint64_t member) const;

 private:
  enum class Cause : uint8_t { kAsked, kDisk };
  using Key = std::pair<int, uint64_t>;  // type, member

  void put(const Key& key, Cause cause, store::ApplyBatch& batch);
  void publish_locked();

  mutable std::mutex mutex_;  // guards set_, self_
  std::map<Key, Cause> set_;
  uint64_t self_ = 0;
  // What set_ says, for those who ask often.
  std::atomic<bool> nospace_{false};
  std::atomic<bool> corrupt_{false};
  std::atomic<bool> self_corrupt_{false};
};

}  // namespace kv::server
