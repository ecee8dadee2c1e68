// The output formats. Each prints the same answers; what can't be said in a format is refused before it is asked for.
#pragma once

#include <chrono>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/lease.h"
#include "client/types.h"
#include "client/watch.h"
#include "kvctl/terminal.h"

namespace kv::kvctl {

enum class Printed : uint8_t {
  kKeyValues,
  kLeases,
  kLeaseRevocation,
  kMembers,
  kMemberChanges,
  kEndpoints,
  kSnapshots,
  kAlarms,
  kOperations
};

struct EndpointHealth {
  std::string endpoint{};
  bool health = false;
  std::chrono::nanoseconds took{};
  std::string error{};
};

struct EndpointStatus {
  std::string endpoint{};
  client::MemberStatus status{};
};

struct EndpointHash {
  std::string endpoint{};
  client::HashKvResponse hash{};
};

// What a backup holds, as etcdutl tells it.
struct SnapshotStatus {
  uint32_t hash = 0;
  int64_t revision = 0;
  uint64_t keys = 0;
  uint64_t bytes = 0;
  std::string version{};
};

// A hash of a key space on disk.
struct FileHash {
  uint32_t hash = 0;
  int64_t hash_revision = 0;
  int64_t compact_revision = 0;
};

// An answer to a watch; the last of one that the server ended says why.
struct WatchAnswer {
  client::WatchResponse response{};
  int64_t compact_revision = 0;
  bool canceled = false;
  std::string cancel_reason{};
};

class Printer {
 public:
  virtual ~Printer() = default;

  virtual bool can_print(Printed kind) const = 0;
  // For get --print-value-only; false where a format has no such form.
  virtual bool set_value_only() { return false; }
  // Whether a bare count is seen in this format.
  virtual bool shows_count() const { return false; }

  virtual void get(const client::GetResponse& response) = 0;
  virtual void put(const client::PutResponse& response) = 0;
  virtual void remove(const client::RemoveResponse& response) = 0;
  virtual void txn(const client::TxnResponse& response) = 0;
  virtual void watch(const WatchAnswer& answer) = 0;
  virtual void lease_grant(const client::LeaseGrantResponse& response) = 0;
  virtual void lease_revoke(int64_t id, const client::LeaseRevokeResponse& response) = 0;
  virtual void lease_keep_alive(const client::LeaseKeepAliveResponse& response) = 0;
  virtual void lease_time_to_live(const client::LeaseTimeToLiveResponse& response, bool keys) = 0;
  virtual void lease_list(const client::LeaseListResponse& response) = 0;
  // lease keep-alive's last line, where a format has one.
  virtual void lease_over(int64_t) {}
  virtual void members(const client::MemberListResponse& response) = 0;
  virtual void member_add(const client::MemberAddResponse& response) = 0;
  // `done`: "removed from", "updated in" or "promoted in".
  virtual void member_change(uint64_t id, std::string_view done, const client::MemberListResponse& response) = 0;
  // etcdctl's simple format goes on with how the added member is to be started.
  virtual bool tells_environment() const { return false; }
  virtual void health(const std::vector<EndpointHealth>& endpoints) = 0;
  virtual void status(const std::vector<EndpointStatus>& endpoints) = 0;
  virtual void hash_kv(const std::vector<EndpointHash>& endpoints) = 0;
  virtual void snapshot_status(const SnapshotStatus& status) = 0;
  virtual void file_hash(const FileHash& hash) = 0;
  virtual void alarms(const client::AlarmListResponse& response) = 0;
  // kOperations: what was done to the cluster. `done` is the word for a downgrade: validate, enable, cancel.
  virtual void moved_leader(uint64_t from, uint64_t to, const client::MoveLeaderResponse& response) = 0;
  virtual void downgrade(std::string_view done, const client::DowngradeResponse& response) = 0;
};

// NOSPACE, CORRUPT, NONE; a number for one that is not known.
std::string alarm_name(client::AlarmType type);

// Null for a format that doesn't exist. With `hex`, bytes are printed as \x61. The streams outlive the printer.
std::unique_ptr<Printer> make_printer(std::string_view format, bool hex, std::ostream& out, std::ostream& err);

std::unique_ptr<Printer> make_simple_printer(bool hex, std::ostream& out, std::ostream& err);
std::unique_ptr<Printer> make_fields_printer(bool hex, std::ostream& out);
std::unique_ptr<Printer> make_json_printer(bool hex, std::ostream& out);
std::unique_ptr<Printer> make_protobuf_printer(std::ostream& out);
std::unique_ptr<Printer> make_table_printer(std::ostream& out);
// What is printed when people look at a terminal and asked for no format.
std::unique_ptr<Printer> make_terminal_printer(bool hex, std::ostream& out, std::ostream& err,
                                               const Terminal& terminal);

}  // namespace kv::kvctl
