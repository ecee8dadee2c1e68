#include "server/alarms.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/check.h"
#include "base/log.h"
#include "server/errors.h"
#include "server/space_cost.h"

namespace kv::server {
namespace {

using etcdserverpb::AlarmMember;
using etcdserverpb::AlarmRequest;

constexpr std::string_view kByDisk = "disk";

std::string record_name(int type, uint64_t member) {
  char name[64];
  std::snprintf(name, sizeof name, "alarm/%d/%016" PRIx64, type, member);
  return name;
}

AlarmMember alarm_member(int type, uint64_t member) {
  AlarmMember alarm;
  alarm.set_memberid(member);
  alarm.set_alarm(static_cast<etcdserverpb::AlarmType>(type));
  return alarm;
}

}  // namespace

void Alarms::load(const store::Store& store, uint64_t self) {
  std::map<Key, Cause> found;
  for (const auto& [name, value] : store.records(kAlarmPrefix)) {
    int type = 0;
    uint64_t member = 0;
    KV_CHECK(std::sscanf(name.c_str(), "alarm/%d/%" SCNx64, &type, &member) == 2, "the record " + name + " is damaged");
    found.emplace(Key{type, member}, value == kByDisk ? Cause::kDisk : Cause::kAsked);
  }
  const std::lock_guard lock(mutex_);
  set_ = std::move(found);
  self_ = self;
  publish_locked();
}

void Alarms::publish_locked() {
  bool nospace = false, corrupt = false, self_corrupt = false;
  for (const auto& [key, cause] : set_) {
    nospace |= key.first == etcdserverpb::NOSPACE;
    corrupt |= key.first == etcdserverpb::CORRUPT;
    self_corrupt |= key.first == etcdserverpb::CORRUPT && (key.second == self_ || key.second == 0);
  }
  nospace_.store(nospace, std::memory_order_relaxed);
  corrupt_.store(corrupt, std::memory_order_relaxed);
  self_corrupt_.store(self_corrupt, std::memory_order_relaxed);
}

void Alarms::put(const Key& key, Cause cause, store::ApplyBatch& batch) {
  batch.put_record(record_name(key.first, key.second), cause == Cause::kDisk ? kByDisk : "");
  const std::lock_guard lock(mutex_);
  set_[key] = cause;
  publish_locked();
}

Status Alarms::apply(const AlarmRequest& request, store::ApplyBatch& batch, etcdserverpb::AlarmResponse* response) {
  const Key key{request.alarm(), request.memberid()};
  // Only this thread changes the set, so it may look without holding the lock over both steps.
  bool there;
  size_t count;
  {
    const std::lock_guard lock(mutex_);
    there = set_.contains(key);
    count = set_.size();
  }
  if (request.action() == AlarmRequest::ACTIVATE) {
    if (request.alarm() == etcdserverpb::NONE) return {};
    if (!there && count >= kMaxAlarms) return errors::too_many_requests();
    put(key, Cause::kAsked, batch);
    if (!there) {
      log_warning("an alarm is raised",
                  {{"alarm", etcdserverpb::AlarmType_Name(request.alarm())}, {"member", hex_id(request.memberid())}});
    }
  } else {
    if (!there) return {};
    batch.delete_record(record_name(key.first, key.second));
    log_info("an alarm is over",
             {{"alarm", etcdserverpb::AlarmType_Name(request.alarm())}, {"member", hex_id(request.memberid())}});
    const std::lock_guard lock(mutex_);
    set_.erase(key);
    publish_locked();
  }
  *response->add_alarms() = alarm_member(key.first, key.second);
  return {};
}

void Alarms::apply(const kvdpb::DiskAlarm& alarm, store::ApplyBatch& batch) {
  const Key key{etcdserverpb::NOSPACE, alarm.member()};
  const bool by_disk = raised_by_disk(alarm.member());
  if (alarm.raised()) {
    // What was raised for another reason stays, and needs an operator.
    if (raised(alarm.member(), etcdserverpb::NOSPACE)) return;
    put(key, Cause::kDisk, batch);
    log_warning("an alarm is raised: a member's disk is nearly full",
                {{"alarm", "NOSPACE"}, {"member", hex_id(alarm.member())}});
  } else if (by_disk) {
    batch.delete_record(record_name(key.first, key.second));
    log_info("an alarm is over: a member's disk has room again",
             {{"alarm", "NOSPACE"}, {"member", hex_id(alarm.member())}});
    const std::lock_guard lock(mutex_);
    set_.erase(key);
    publish_locked();
  }
}

Status Alarms::refuses(const kvdpb::Command& command) const {
  using Command = kvdpb::Command;
  if (corrupt_.load(std::memory_order_relaxed)) {
    switch (command.request_case()) {
      case Command::kPut:
      case Command::kDeleteRange:
      case Command::kTxn:
      case Command::kNode:
      case Command::kCompact:
      case Command::kLeaseGrant:
      case Command::kLeaseRevoke:
      case Command::kLeaseExpiry: return errors::corrupt();
      default: break;
    }
  }
  if (nospace_.load(std::memory_order_relaxed) && space_cost(command) > 0) return errors::no_space();
  return {};
}

Status Alarms::refuses_reads() const {
  return self_corrupt_.load(std::memory_order_relaxed) ? errors::corrupt() : Status();
}

std::vector<AlarmMember> Alarms::list(etcdserverpb::AlarmType type) const {
  std::vector<AlarmMember> alarms;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, cause] : set_) {
    if (type == etcdserverpb::NONE || type == key.first) alarms.push_back(alarm_member(key.first, key.second));
  }
  return alarms;
}

bool Alarms::raised(uint64_t member, etcdserverpb::AlarmType type) const {
  const std::lock_guard lock(mutex_);
  return set_.contains({type, member});
}

bool Alarms::raised_by_disk(uint64_t member) const {
  const std::lock_guard lock(mutex_);
  const auto found = set_.find({etcdserverpb::NOSPACE, member});
  return found != set_.end() && found->second == Cause::kDisk;
}

}  // namespace kv::server
