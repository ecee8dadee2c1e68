#include "server/slow_calls.h"

#include <absl/strings/escaping.h>

#include <algorithm>
#include <ctime>

#include "base/log.h"
#include "base/metrics.h"

namespace kv::server {
namespace {

constexpr int64_t kQuietMs = 1000;
constexpr size_t kMaxKeyBytes = 128;
constexpr size_t kMaxShapeBytes = 1024;  // a transaction may hold very many operations

std::string quoted(std::string_view key) {
  const bool cut = key.size() > kMaxKeyBytes;
  return '"' + absl::CEscape({key.data(), cut ? kMaxKeyBytes : key.size()}) + (cut ? "...\"" : "\"");
}

void add(std::string& out, std::string_view name, int64_t value) {
  if (value != 0) out.append(name).append(":").append(std::to_string(value)).append(" ");
}

void add_key(std::string& out, std::string_view name, std::string_view key) {
  if (!key.empty()) out.append(name).append(":").append(quoted(key)).append(" ");
}

std::string put_shape(const etcdserverpb::PutRequest& put) {
  std::string out;
  add_key(out, "key", put.key());
  out.append("value_size:").append(std::to_string(put.value().size())).append(" ");
  add(out, "lease", put.lease());
  return out;
}

std::string delete_shape(const etcdserverpb::DeleteRangeRequest& request) {
  std::string out;
  add_key(out, "key", request.key());
  add_key(out, "range_end", request.range_end());
  return out;
}

void add_ops(std::string& out, std::string_view branch,
             const google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>& ops) {
  for (const etcdserverpb::RequestOp& op : ops) {
    if (out.size() > kMaxShapeBytes) {
      out.append("... ");
      return;
    }
    out.append(branch).append(":<");
    if (op.has_request_range()) out.append("request_range:<").append(shape_of(op.request_range())).append("> ");
    if (op.has_request_put()) out.append("request_put:<").append(put_shape(op.request_put())).append("> ");
    if (op.has_request_delete_range())
      out.append("request_delete_range:<").append(delete_shape(op.request_delete_range())).append("> ");
    if (op.has_request_txn()) out.append("request_txn:<").append(shape_of(op.request_txn())).append("> ");
    out.append("> ");
  }
}

void count_slow() {
  static Counter& slow =
      Metrics::global().counter("etcd_server_slow_apply_total", "Applied entries and reads that took long");
  slow.add();
}

}  // namespace

std::string shape_of(const etcdserverpb::RangeRequest& request) {
  std::string out;
  add_key(out, "key", request.key());
  add_key(out, "range_end", request.range_end());
  add(out, "limit", request.limit());
  add(out, "revision", request.revision());
  if (request.keys_only()) out.append("keys_only:true ");
  if (request.count_only()) out.append("count_only:true ");
  if (request.serializable()) out.append("serializable:true ");
  return out;
}

std::string shape_of(const etcdserverpb::TxnRequest& request) {
  std::string out;
  for (const etcdserverpb::Compare& compare : request.compare()) {
    if (out.size() > kMaxShapeBytes) break;
    out.append("compare:<");
    add_key(out, "key", compare.key());
    add_key(out, "range_end", compare.range_end());
    out.append("> ");
  }
  add_ops(out, "success", request.success());
  add_ops(out, "failure", request.failure());
  return out;
}

std::string shape_of(const kvdpb::Command& command) {
  using Command = kvdpb::Command;
  switch (command.request_case()) {
    case Command::kPut: return "put:<" + put_shape(command.put()) + ">";
    case Command::kDeleteRange: return "delete_range:<" + delete_shape(command.delete_range()) + ">";
    case Command::kTxn: return "txn:<" + shape_of(command.txn()) + ">";
    case Command::kCompact: return "compaction:<revision:" + std::to_string(command.compact().revision()) + " >";
    case Command::kLeaseGrant: return "lease_grant:<ID:" + std::to_string(command.lease_grant().id()) + " >";
    case Command::kLeaseRevoke: return "lease_revoke:<ID:" + std::to_string(command.lease_revoke().id()) + " >";
    case Command::kLeaseExpiry:
      return "lease_expiry:<leases:" + std::to_string(command.lease_expiry().ids_size()) + " >";
    default: return "command " + std::to_string(command.request_case());
  }
}

int64_t SlowCalls::now_ms() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

bool SlowCalls::may_tell(Told& told, int64_t began_ms, int64_t* took_ms, uint64_t* unsaid) {
  const int64_t now = now_ms();
  *took_ms = now - began_ms;
  if (threshold_ms_ == 0 || *took_ms <= threshold_ms_) return false;
  count_slow();
  const std::lock_guard lock(mutex_);
  if (now < told.next_ms) {
    ++told.unsaid;
    return false;
  }
  told.next_ms = now + kQuietMs;
  *unsaid = told.unsaid;
  told.unsaid = 0;
  return true;
}

void SlowCalls::applied(int64_t began_ms, const CommittedEntry* first, const CommittedEntry* last) {
  int64_t took_ms = 0;
  uint64_t unsaid = 0;
  if (!may_tell(applies_, began_ms, &took_ms, &unsaid)) return;
  // Which command took the time is not known; the largest is the likeliest.
  kvdpb::Command largest;
  size_t largest_bytes = 0, bytes = 0, commands = 0;
  for (; first != last; ++first) {
    bytes += first->entry.data ? first->entry.data->size() : 0;
    kvdpb::Batch batch;
    if (first->entry.type != raft::EntryType::kCommand || !batch.ParseFromString(*first->entry.data)) continue;
    for (kvdpb::Command& command : *batch.mutable_commands()) {
      ++commands;
      const size_t size = command.ByteSizeLong();
      if (size < largest_bytes) continue;
      largest_bytes = size;
      largest.Swap(&command);
    }
  }
  log_warning("apply request took too long", {{"took_ms", took_ms},
                                              {"expected_ms", threshold_ms_},
                                              {"commands", commands},
                                              {"bytes", bytes},
                                              {"largest_request", shape_of(largest)},
                                              {"unsaid_before", unsaid}});
}

void SlowCalls::read(int64_t began_ms, const etcdserverpb::RangeRequest& request,
                     const etcdserverpb::RangeResponse& response) {
  int64_t took_ms = 0;
  uint64_t unsaid = 0;
  if (!may_tell(ranges_, began_ms, &took_ms, &unsaid)) return;
  log_warning("apply request took too long", {{"took_ms", took_ms},
                                              {"expected_ms", threshold_ms_},
                                              {"prefix", "read-only range"},
                                              {"request", shape_of(request)},
                                              {"response_count", response.kvs_size()},
                                              {"response_size", response.ByteSizeLong()},
                                              {"unsaid_before", unsaid}});
}

void SlowCalls::read(int64_t began_ms, const etcdserverpb::TxnRequest& request,
                     const etcdserverpb::TxnResponse& response) {
  int64_t took_ms = 0;
  uint64_t unsaid = 0;
  if (!may_tell(txns_, began_ms, &took_ms, &unsaid)) return;
  log_warning("apply request took too long", {{"took_ms", took_ms},
                                              {"expected_ms", threshold_ms_},
                                              {"prefix", "read-only txn"},
                                              {"request", shape_of(request)},
                                              {"response_size", response.ByteSizeLong()},
                                              {"unsaid_before", unsaid}});
}

}  // namespace kv::server
