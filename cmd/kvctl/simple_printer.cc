#include <ostream>
#include <variant>

#include "kvctl/go_format.h"
#include "kvctl/printer.h"
#include "kvctl/rows.h"

namespace kv::kvctl {
namespace {

class SimplePrinter final : public Printer {
 public:
  SimplePrinter(bool hex, std::ostream& out, std::ostream& err) : hex_(hex), out_(out), err_(err) {}

  bool can_print(Printed) const override { return true; }
  bool set_value_only() override { return value_only_ = true; }

  void get(const client::GetResponse& response) override {
    for (const auto& kv : response.kvs) key_value(kv);
  }
  void put(const client::PutResponse& response) override {
    out_ << "OK\n";
    if (response.prev_kv) key_value(*response.prev_kv);
  }
  void remove(const client::RemoveResponse& response) override {
    out_ << response.deleted << '\n';
    for (const auto& kv : response.prev_kvs) key_value(kv);
  }
  void txn(const client::TxnResponse& response) override {
    out_ << (response.succeeded ? "SUCCESS\n" : "FAILURE\n");
    for (const auto& op : response.responses) {
      out_ << '\n';
      if (const auto* got = std::get_if<client::GetResponse>(&op.answer)) get(*got);
      if (const auto* done = std::get_if<client::PutResponse>(&op.answer)) put(*done);
      if (const auto* removed = std::get_if<client::RemoveResponse>(&op.answer)) remove(*removed);
      if (const auto* nested = std::get_if<client::TxnResponse>(&op.answer)) txn(*nested);
    }
  }
  void watch(const WatchAnswer& answer) override {
    for (const auto& event : answer.response.events) {
      out_ << (event.type == client::EventType::kDelete ? "DELETE\n" : "PUT\n");
      if (event.prev_kv) key_value(*event.prev_kv);
      key_value(event.kv);
    }
  }
  void lease_grant(const client::LeaseGrantResponse& response) override {
    out_ << "lease " << hex16(response.id) << " granted with TTL(" << response.ttl_s << "s)\n";
  }
  void lease_revoke(int64_t id, const client::LeaseRevokeResponse&) override {
    out_ << "lease " << hex16(id) << " revoked\n";
  }
  void lease_keep_alive(const client::LeaseKeepAliveResponse& response) override {
    out_ << "lease " << hex16(response.id) << " keepalived with TTL(" << response.ttl_s << ")\n";
  }
  void lease_time_to_live(const client::LeaseTimeToLiveResponse& response, bool keys) override {
    out_ << "lease " << hex16(response.id);
    if (response.granted_ttl_s == 0 && response.ttl_s == -1) {
      out_ << " already expired\n";
      return;
    }
    out_ << " granted with TTL(" << response.granted_ttl_s << "s), remaining(" << response.ttl_s << "s)";
    if (keys) out_ << ", attached keys([" << join(response.keys, " ") << "])";
    out_ << '\n';
  }
  void lease_list(const client::LeaseListResponse& response) override {
    out_ << "found " << response.ids.size() << " leases\n";
    for (const int64_t id : response.ids) out_ << hex16(id) << '\n';
  }
  void lease_over(int64_t id) override { out_ << "lease " << hex16(id) << " expired or revoked.\n"; }
  void members(const client::MemberListResponse& response) override { lines(member_rows(response)); }
  void member_add(const client::MemberAddResponse& response) override {
    out_ << "Member " << padded_hex(response.member.id) << " added"
         << (response.member.is_learner ? " as learner " : " ") << "to cluster "
         << padded_hex(response.header.cluster_id) << '\n';
  }
  void member_change(uint64_t id, std::string_view done, const client::MemberListResponse& response) override {
    out_ << "Member " << padded_hex(id) << ' ' << done << " cluster " << padded_hex(response.header.cluster_id) << '\n';
  }
  bool tells_environment() const override { return true; }
  void health(const std::vector<EndpointHealth>& endpoints) override {
    for (const auto& e : endpoints) {
      if (e.error.empty()) {
        out_ << e.endpoint << " is healthy: successfully committed proposal: took = " << go_duration(e.took) << '\n';
      } else {
        err_ << e.endpoint << " is unhealthy: failed to commit proposal: " << e.error << '\n';
      }
    }
  }
  void status(const std::vector<EndpointStatus>& endpoints) override { lines(status_rows(endpoints)); }
  void hash_kv(const std::vector<EndpointHash>& endpoints) override { lines(hash_rows(endpoints)); }
  void snapshot_status(const SnapshotStatus& status) override { lines(snapshot_rows(status)); }
  void file_hash(const FileHash& hash) override { lines(file_hash_rows(hash)); }
  // gogo/protobuf's text, with the blank at its end.
  void alarms(const client::AlarmListResponse& response) override {
    for (const auto& alarm : response.alarms) {
      if (alarm.member_id != 0) out_ << "memberID:" << alarm.member_id << ' ';
      if (alarm.type != client::AlarmType::kNone) out_ << "alarm:" << alarm_name(alarm.type) << ' ';
      out_ << '\n';
    }
  }
  void moved_leader(uint64_t from, uint64_t to, const client::MoveLeaderResponse&) override {
    out_ << "Leadership transferred from " << hex(from) << " to " << hex(to) << '\n';
  }
  void downgrade(std::string_view done, const client::DowngradeResponse& response) override {
    out_ << "Downgrade " << done << " success, cluster version " << response.version << '\n';
  }

 private:
  void key_value(const client::KeyValue& kv) {
    if (!value_only_) out_ << (hex_ ? hex_escaped(kv.key) : kv.key) << '\n';
    out_ << (hex_ ? hex_escaped(kv.value) : kv.value) << '\n';
  }
  // %16x
  static std::string padded_hex(uint64_t id) {
    const std::string digits = hex(id);
    return std::string(digits.size() < 16 ? 16 - digits.size() : 0, ' ') + digits;
  }
  void lines(const Rows& table) {
    for (const auto& row : table.rows) out_ << join(row, ", ") << '\n';
  }

  const bool hex_;
  bool value_only_ = false;
  std::ostream& out_;
  std::ostream& err_;
};

}  // namespace

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
