// Every field on a line of its own, "Name" : value.
#include <ostream>
#include <variant>

#include "base/check.h"
#include "kvctl/go_format.h"
#include "kvctl/printer.h"

namespace kv::kvctl {
namespace {

class FieldsPrinter final : public Printer {
 public:
  FieldsPrinter(bool hex, std::ostream& out) : hex_(hex), out_(out) {}

  bool can_print(Printed kind) const override {
    return kind != Printed::kOperations && kind != Printed::kMemberChanges;
  }
  bool shows_count() const override { return true; }

  void get(const client::GetResponse& response) override {
    header(response.header);
    for (const auto& kv : response.kvs) key_value("", kv);
    field("More", response.more);
    field("Count", response.count);
  }
  void put(const client::PutResponse& response) override {
    header(response.header);
    if (response.prev_kv) key_value("Prev", *response.prev_kv);
  }
  void remove(const client::RemoveResponse& response) override {
    header(response.header);
    field("Deleted", response.deleted);
    for (const auto& kv : response.prev_kvs) key_value("Prev", kv);
  }
  void txn(const client::TxnResponse& response) override {
    header(response.header);
    field("Succeeded", response.succeeded);
    for (const auto& op : response.responses) {
      if (const auto* got = std::get_if<client::GetResponse>(&op.answer)) get(*got);
      if (const auto* done = std::get_if<client::PutResponse>(&op.answer)) put(*done);
      if (const auto* removed = std::get_if<client::RemoveResponse>(&op.answer)) remove(*removed);
      if (const auto* nested = std::get_if<client::TxnResponse>(&op.answer)) txn(*nested);
    }
  }
  void watch(const WatchAnswer& answer) override {
    header(answer.response.header);
    for (const auto& event : answer.response.events) {
      field("Type", event.type == client::EventType::kDelete ? "DELETE" : "PUT");
      if (event.prev_kv) key_value("Prev", *event.prev_kv);
      key_value("", event.kv);
    }
  }
  void lease_grant(const client::LeaseGrantResponse& response) override {
    header(response.header);
    lease_id(response.id);
    field("TTL", response.ttl_s);
  }
  void lease_revoke(int64_t, const client::LeaseRevokeResponse& response) override { header(response.header); }
  void lease_keep_alive(const client::LeaseKeepAliveResponse& response) override {
    header(response.header);
    lease_id(response.id);
    field("TTL", response.ttl_s);
  }
  void lease_time_to_live(const client::LeaseTimeToLiveResponse& response, bool) override {
    header(response.header);
    lease_id(response.id);
    field("TTL", response.ttl_s);
    field("GrantedTTL", response.granted_ttl_s);
    for (const auto& key : response.keys) quoted("Key", key);
  }
  void lease_list(const client::LeaseListResponse& response) override {
    header(response.header);
    for (const int64_t lease : response.ids) lease_id(lease);
  }
  void members(const client::MemberListResponse& response) override {
    header(response.header);
    for (const auto& m : response.members) {
      id("ID", m.id);
      quoted("Name", m.name);
      for (const auto& url : m.peer_urls) quoted("PeerURL", url);
      for (const auto& url : m.client_urls) quoted("ClientURL", url);
      field("IsLearner", m.is_learner);
      out_ << '\n';
    }
  }
  void member_add(const client::MemberAddResponse&) override { refuse(); }
  void member_change(uint64_t, std::string_view, const client::MemberListResponse&) override { refuse(); }
  void health(const std::vector<EndpointHealth>& endpoints) override {
    for (const auto& e : endpoints) {
      quoted("Endpoint", e.endpoint);
      field("Health", e.health);
      field("Took", go_duration(e.took));
      field("Error", e.error);
      out_ << '\n';
    }
  }
  void status(const std::vector<EndpointStatus>& endpoints) override {
    for (const auto& [endpoint, s] : endpoints) {
      const auto downgrade = s.downgrade_info.value_or(client::DowngradeInfo{});
      header(s.header);
      quoted("Version", s.version);
      quoted("StorageVersion", s.storage_version);
      field("DBSize", s.db_size);
      field("DBSizeInUse", s.db_size_in_use);
      field("DBSizeQuota", s.db_size_quota);
      field("Leader", s.leader);
      field("IsLearner", s.is_learner);
      field("RaftIndex", s.raft_index);
      field("RaftAppliedIndex", s.raft_applied_index);
      field("Errors", "[" + join(s.errors, " ") + "]");
      quoted("Endpoint", endpoint);
      quoted("DowngradeTargetVersion", downgrade.target_version);
      field("DowngradeEnabled", downgrade.enabled);
      out_ << '\n';
    }
  }
  void hash_kv(const std::vector<EndpointHash>& endpoints) override {
    for (const auto& [endpoint, h] : endpoints) {
      header(h.header);
      quoted("Endpoint", endpoint);
      field("Hash", h.hash);
      field("HashRevision", h.hash_revision);
      out_ << '\n';
    }
  }
  void alarms(const client::AlarmListResponse& response) override {
    // The end of all alarms has no header of its own (etcdctl crashes on it).
    if (response.header != client::ResponseHeader{}) header(response.header);
    for (const auto& alarm : response.alarms) {
      id("MemberID", alarm.member_id);
      field("AlarmType", alarm_name(alarm.type));
      out_ << '\n';
    }
  }
  void moved_leader(uint64_t, uint64_t, const client::MoveLeaderResponse&) override { refuse(); }
  void downgrade(std::string_view, const client::DowngradeResponse&) override { refuse(); }

  void snapshot_status(const SnapshotStatus& s) override {
    field("Hash", s.hash);
    field("Revision", s.revision);
    field("Keys", s.keys);
    field("Size", s.bytes);
    field("Version", s.version);
  }
  void file_hash(const FileHash& h) override {
    field("Hash", h.hash);
    field("Hash revision", h.hash_revision);
    field("Compact revision", h.compact_revision);
  }

 private:
  [[noreturn]] static void refuse() { check_failed(__FILE__, __LINE__, "can_print()", "asked to print what it can't"); }

  void header(const client::ResponseHeader& h) {
    id("ClusterID", h.cluster_id);
    id("MemberID", h.member_id);
    // Answers that aren't about keys have no revision, and a zero would only mislead.
    if (h.revision > 0) field("Revision", h.revision);
    field("RaftTerm", h.raft_term);
  }
  void key_value(const std::string& prefix, const client::KeyValue& kv) {
    quoted(prefix + "Key", kv.key);
    field(prefix + "CreateRevision", kv.create_revision);
    field(prefix + "ModRevision", kv.mod_revision);
    field(prefix + "Version", kv.version);
    quoted(prefix + "Value", kv.value);
    if (hex_) {
      field(prefix + "Lease", hex16(kv.lease));
    } else {
      field(prefix + "Lease", kv.lease);
    }
  }
  void lease_id(int64_t value) {
    if (hex_) {
      field("ID", hex16(value));
    } else {
      field("ID", value);
    }
  }
  void id(std::string_view name, uint64_t value) {
    if (hex_) {
      field(name, hex(value));
    } else {
      field(name, value);
    }
  }
  void quoted(std::string_view name, std::string_view value) { field(name, go_quote(value)); }
  void field(std::string_view name, bool value) { field(name, std::string_view(value ? "true" : "false")); }
  template <typename T>
  void field(std::string_view name, const T& value) {
    out_ << '"' << name << "\" : " << value << '\n';
  }

  const bool hex_;
  std::ostream& out_;
};

}  // namespace

std::unique_ptr<Printer> make_fields_printer(bool hex, std::ostream& out) {
  return std::make_unique<FieldsPrinter>(hex, out);
}

}  // namespace kv::kvctl
