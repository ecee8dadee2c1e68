#include "kvctl/simple_printer.h"

#include <ostream>
#include <variant>

#include "kvctl/go_format.h"

namespace kv::kvctl {
namespace {

// %16x
std::string padded_hex(uint64_t id) {
  const std::string digits = hex(id);
  return std::string(digits.size() < 16 ? 16 - digits.size() : 0, ' ') + digits;
}

}  // namespace

void SimplePrinter::get(const client::GetResponse& response) {
  for (const auto& kv : response.kvs) key_value(kv);
}

void SimplePrinter::put(const client::PutResponse& response) {
  out_ << paint_(Style::kGood, "OK") << '\n';
  if (response.prev_kv) key_value(*response.prev_kv);
}

void SimplePrinter::remove(const client::RemoveResponse& response) {
  out_ << response.deleted << '\n';
  for (const auto& kv : response.prev_kvs) key_value(kv);
}

void SimplePrinter::txn(const client::TxnResponse& response) {
  out_ << (response.succeeded ? paint_(Style::kGood, "SUCCESS") : paint_(Style::kChanged, "FAILURE")) << '\n';
  for (const auto& op : response.responses) {
    out_ << '\n';
    if (const auto* got = std::get_if<client::GetResponse>(&op.answer)) get(*got);
    if (const auto* done = std::get_if<client::PutResponse>(&op.answer)) put(*done);
    if (const auto* removed = std::get_if<client::RemoveResponse>(&op.answer)) remove(*removed);
    if (const auto* nested = std::get_if<client::TxnResponse>(&op.answer)) txn(*nested);
  }
}

void SimplePrinter::watch(const WatchAnswer& answer) {
  for (const auto& event : answer.response.events) {
    const bool deleted = event.type == client::EventType::kDelete;
    out_ << (deleted ? paint_(Style::kBad, "DELETE") : paint_(Style::kGood, "PUT")) << '\n';
    if (event.prev_kv) key_value(*event.prev_kv);
    key_value(event.kv);
  }
}

void SimplePrinter::lease_grant(const client::LeaseGrantResponse& response) {
  out_ << "lease " << hex16(response.id) << " granted with TTL(" << response.ttl_s << "s)\n";
}

void SimplePrinter::lease_revoke(int64_t id, const client::LeaseRevokeResponse&) {
  out_ << "lease " << hex16(id) << " revoked\n";
}

void SimplePrinter::lease_keep_alive(const client::LeaseKeepAliveResponse& response) {
  out_ << "lease " << hex16(response.id) << " keepalived with TTL(" << response.ttl_s << ")\n";
}

void SimplePrinter::lease_time_to_live(const client::LeaseTimeToLiveResponse& response, bool keys) {
  out_ << "lease " << hex16(response.id);
  if (response.granted_ttl_s == 0 && response.ttl_s == -1) {
    out_ << " already expired\n";
    return;
  }
  out_ << " granted with TTL(" << response.granted_ttl_s << "s), remaining(" << response.ttl_s << "s)";
  if (keys) out_ << ", attached keys([" << join(response.keys, " ") << "])";
  out_ << '\n';
}

void SimplePrinter::lease_list(const client::LeaseListResponse& response) {
  out_ << "found " << response.ids.size() << " leases\n";
  for (const int64_t id : response.ids) out_ << hex16(id) << '\n';
}

void SimplePrinter::lease_over(int64_t id) { out_ << "lease " << hex16(id) << " expired or revoked.\n"; }

void SimplePrinter::members(const client::MemberListResponse& response) { lines(member_rows(response)); }

void SimplePrinter::member_add(const client::MemberAddResponse& response) {
  out_ << "Member " << padded_hex(response.member.id) << " added" << (response.member.is_learner ? " as learner " : " ")
       << "to cluster " << padded_hex(response.header.cluster_id) << '\n';
}

void SimplePrinter::member_change(uint64_t id, std::string_view done, const client::MemberListResponse& response) {
  out_ << "Member " << padded_hex(id) << ' ' << done << " cluster " << padded_hex(response.header.cluster_id) << '\n';
}

void SimplePrinter::health(const std::vector<EndpointHealth>& endpoints) {
  for (const auto& e : endpoints) {
    if (e.error.empty()) {
      out_ << e.endpoint << " is healthy: successfully committed proposal: took = " << go_duration(e.took) << '\n';
    } else {
      err_ << e.endpoint << " is unhealthy: failed to commit proposal: " << e.error << '\n';
    }
  }
}

void SimplePrinter::status(const std::vector<EndpointStatus>& endpoints) { lines(status_rows(endpoints)); }

void SimplePrinter::hash_kv(const std::vector<EndpointHash>& endpoints) { lines(hash_rows(endpoints)); }

void SimplePrinter::snapshot_status(const SnapshotStatus& status) { lines(snapshot_rows(status)); }

void SimplePrinter::file_hash(const FileHash& hash) { lines(file_hash_rows(hash)); }

// gogo/protobuf's text, with the blank at its end.
void SimplePrinter::alarms(const client::AlarmListResponse& response) {
  for (const auto& alarm : response.alarms) {
    if (alarm.member_id != 0) out_ << "memberID:" << alarm.member_id << ' ';
    if (alarm.type != client::AlarmType::kNone) out_ << "alarm:" << alarm_name(alarm.type) << ' ';
    out_ << '\n';
  }
}

void SimplePrinter::moved_leader(uint64_t from, uint64_t to, const client::MoveLeaderResponse&) {
  out_ << "Leadership transferred from " << hex(from) << " to " << hex(to) << '\n';
}

void SimplePrinter::downgrade(std::string_view done, const client::DowngradeResponse& response) {
  out_ << "Downgrade " << done << " success, cluster version " << response.version << '\n';
}

void SimplePrinter::key_value(const client::KeyValue& kv) {
  if (!value_only_) out_ << paint_(Style::kKey, hex_ ? hex_escaped(kv.key) : kv.key) << '\n';
  out_ << (hex_ ? hex_escaped(kv.value) : kv.value) << '\n';
}

void SimplePrinter::lines(const Rows& table) {
  for (const auto& row : table.rows) out_ << join(row, ", ") << '\n';
}

std::string alarm_name(client::AlarmType type) {
  switch (type) {
    case client::AlarmType::kNone: return "NONE";
    case client::AlarmType::kNoSpace: return "NOSPACE";
    case client::AlarmType::kCorrupt: return "CORRUPT";
  }
  return std::to_string(static_cast<int>(type));
}

std::unique_ptr<Printer> make_simple_printer(bool hex, std::ostream& out, std::ostream& err) {
  return std::make_unique<SimplePrinter>(hex, out, err);
}

std::unique_ptr<Printer> make_printer(std::string_view format, bool hex, std::ostream& out, std::ostream& err) {
  if (format == "simple") return make_simple_printer(hex, out, err);
  if (format == "fields") return make_fields_printer(hex, out);
  if (format == "json") return make_json_printer(hex, out);
  if (format == "protobuf") return make_protobuf_printer(out);
  if (format == "table") return make_table_printer(out);
  return nullptr;
}

}  // namespace kv::kvctl
