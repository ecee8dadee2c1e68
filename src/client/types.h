// What the client sends and gets, as plain structs: no gRPC and no protobuf type is needed to use the library.
//
// The fields are etcd's (docs/api.md). Keys and values are bytes in a std::string. A revision is at least 1, a lease
// id is not 0, so 0 says "none" for both.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace kv::client {

// Who answered, and when. All zero when the answer carried no header (inside a transaction only `revision` is set).
struct ResponseHeader {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  int64_t revision = 0;
  uint64_t raft_term = 0;

  bool operator==(const ResponseHeader&) const = default;
};

struct KeyValue {
  std::string key{};
  int64_t create_revision = 0;
  int64_t mod_revision = 0;
  int64_t version = 0;
  std::string value{};
  int64_t lease = 0;

  bool operator==(const KeyValue&) const = default;
};

// The end of the range that holds exactly the keys with this prefix: the prefix with its last byte that can grow
// grown by one. For "" and for 0xff bytes only, "\0": every key from the prefix on.
std::string prefix_end(std::string_view prefix);

// As a range's end: no upper bound. With the key "\0" too, the range is every key.
inline std::string unbounded() { return std::string(1, '\0'); }

enum class SortOrder : uint8_t { kNone = 0, kAscend = 1, kDescend = 2 };
enum class SortTarget : uint8_t { kKey = 0, kVersion = 1, kCreateRevision = 2, kModRevision = 3, kValue = 4 };

struct GetOptions {
  std::string range_end{};  // empty: the one key
  int64_t limit = 0;        // 0: all
  int64_t revision = 0;     // 0: now
  SortOrder sort_order = SortOrder::kNone;
  SortTarget sort_target = SortTarget::kKey;
  bool serializable = false;  // read what the asked member has, which may be old; default is linearizable
  bool keys_only = false;
  bool count_only = false;
  int64_t min_mod_revision = 0;
  int64_t max_mod_revision = 0;
  int64_t min_create_revision = 0;
  int64_t max_create_revision = 0;

  bool operator==(const GetOptions&) const = default;
};

struct GetResponse {
  ResponseHeader header{};
  std::vector<KeyValue> kvs{};
  bool more = false;  // `limit` cut the list
  int64_t count = 0;  // keys in the range, whatever the limit
};

struct PutOptions {
  int64_t lease = 0;
  bool prev_kv = false;
  bool ignore_value = false;  // keep the value, which must be given empty
  bool ignore_lease = false;  // keep the lease, which must be given as 0

  bool operator==(const PutOptions&) const = default;
};

struct PutResponse {
  ResponseHeader header{};
  std::optional<KeyValue> prev_kv{};
};

struct RemoveOptions {
  std::string range_end{};  // empty: the one key
  bool prev_kv = false;

  bool operator==(const RemoveOptions&) const = default;
};

struct RemoveResponse {
  ResponseHeader header{};
  int64_t deleted = 0;
  std::vector<KeyValue> prev_kvs{};
};

struct OpResponse;

struct TxnResponse {
  ResponseHeader header{};
  bool succeeded = false;  // which of the two lists ran
  std::vector<OpResponse> responses{};
};

// The answer to one operation of a transaction. monostate: a kind that this library does not know.
struct OpResponse {
  std::variant<std::monostate, GetResponse, PutResponse, RemoveResponse, TxnResponse> answer;
};

struct CompactOptions {
  bool physical = false;  // wait until the space is free
};

struct CompactResponse {
  ResponseHeader header{};
};

struct DowngradeInfo {
  bool enabled = false;
  std::string target_version{};
};

// What one member says of itself.
struct MemberStatus {
  ResponseHeader header{};
  std::string version{};
  int64_t db_size = 0;
  uint64_t leader = 0;  // 0: it knows of none
  uint64_t raft_index = 0;
  uint64_t raft_term = 0;
  uint64_t raft_applied_index = 0;
  std::vector<std::string> errors{};
  int64_t db_size_in_use = 0;
  bool is_learner = false;
  std::string storage_version{};
  int64_t db_size_quota = 0;
  std::optional<DowngradeInfo> downgrade_info{};
};

struct HashKvResponse {
  ResponseHeader header{};
  uint32_t hash = 0;
  int64_t compact_revision = 0;
  int64_t hash_revision = 0;
};

// A piece of a backup; lives as long as the callback that gets it.
struct SnapshotPart {
  std::string_view bytes{};
  uint64_t remaining_bytes = 0;  // that follow, without the 32 of the sum at the end
  std::string_view version{};    // the storage version of the server; empty before etcd 3.6
};

struct Member {
  uint64_t id = 0;
  std::string name{};  // empty: it has not started yet
  std::vector<std::string> peer_urls{};
  std::vector<std::string> client_urls{};
  bool is_learner = false;
};

struct MemberListOptions {
  bool serializable = false;
};

// Also what removing, promoting and updating a member answers: who takes part afterwards.
struct MemberListResponse {
  ResponseHeader header{};
  std::vector<Member> members{};
};

struct MemberAddResponse {
  ResponseHeader header{};
  Member member{};  // the new one
  std::vector<Member> members{};
};

enum class AlarmType : uint8_t { kNone = 0, kNoSpace = 1, kCorrupt = 2 };

struct Alarm {
  uint64_t member_id = 0;
  AlarmType type = AlarmType::kNone;
};

struct AlarmListResponse {
  ResponseHeader header{};
  std::vector<Alarm> alarms{};
};

struct MoveLeaderResponse {
  ResponseHeader header{};
};

enum class DowngradeAction : uint8_t { kValidate = 0, kEnable = 1, kCancel = 2 };

struct DowngradeResponse {
  ResponseHeader header{};
  std::string version{};  // the cluster's, as "3.6"
};

}  // namespace kv::client
