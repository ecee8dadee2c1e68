// JSON as Go's encoding/json makes it from etcd's messages: bytes in base64, numbers as numbers, fields in the order
// of the .proto files, empty ones left out.
#include <optional>
#include <ostream>
#include <utility>
#include <variant>

#include "kvctl/go_format.h"
#include "kvctl/printer.h"

namespace kv::kvctl {
namespace {

// An object under construction; a field that is zero or empty is left out unless it is set by raw().
class Object {
 public:
  void raw(std::string_view name, std::string_view json) {
    out_ += out_.size() > 1 ? ",\"" : "\"";
    out_ += name;
    out_ += "\":";
    out_ += json;
  }
  template <typename Integer>
  void number(std::string_view name, Integer value) {
    if (value != 0) raw(name, std::to_string(value));
  }
  void boolean(std::string_view name, bool value) {
    if (value) raw(name, "true");
  }
  void text(std::string_view name, std::string_view value) {
    if (!value.empty()) raw(name, go_json_string(value));
  }
  void bytes(std::string_view name, std::string_view value) {
    if (!value.empty()) raw(name, '"' + base64(value) + '"');
  }
  template <typename List, typename ToJson>
  void list(std::string_view name, const List& items, ToJson to_json) {
    if (!items.empty()) raw(name, array(items, to_json));
  }
  void optional(std::string_view name, const std::optional<std::string>& json) {
    if (json) raw(name, *json);
  }
  std::string done() && { return std::move(out_) + '}'; }

  template <typename List, typename ToJson>
  static std::string array(const List& items, ToJson to_json) {
    std::string out = "[";
    for (const auto& item : items) {
      if (out.size() > 1) out += ',';
      out += to_json(item);
    }
    return out + ']';
  }

 private:
  std::string out_ = "{";
};

std::optional<std::string> header(const client::ResponseHeader& from) {
  if (from == client::ResponseHeader{}) return std::nullopt;
  Object o;
  o.number("cluster_id", from.cluster_id);
  o.number("member_id", from.member_id);
  o.number("revision", from.revision);
  o.number("raft_term", from.raft_term);
  return std::move(o).done();
}

std::string key_value(const client::KeyValue& from) {
  Object o;
  o.bytes("key", from.key);
  o.number("create_revision", from.create_revision);
  o.number("mod_revision", from.mod_revision);
  o.number("version", from.version);
  o.bytes("value", from.value);
  o.number("lease", from.lease);
  return std::move(o).done();
}

std::string json(const client::GetResponse& from) {
  Object o;
  o.optional("header", header(from.header));
  o.list("kvs", from.kvs, key_value);
  o.boolean("more", from.more);
  o.number("count", from.count);
  return std::move(o).done();
}

std::string json(const client::PutResponse& from) {
  Object o;
  o.optional("header", header(from.header));
  if (from.prev_kv) o.raw("prev_kv", key_value(*from.prev_kv));
  return std::move(o).done();
}

std::string json(const client::RemoveResponse& from) {
  Object o;
  o.optional("header", header(from.header));
  o.number("deleted", from.deleted);
  o.list("prev_kvs", from.prev_kvs, key_value);
  return std::move(o).done();
}

std::string json(const client::TxnResponse& from);

std::string op_response(const client::OpResponse& from) {
  Object answer;
  if (const auto* got = std::get_if<client::GetResponse>(&from.answer)) answer.raw("response_range", json(*got));
  if (const auto* done = std::get_if<client::PutResponse>(&from.answer)) answer.raw("response_put", json(*done));
  if (const auto* removed = std::get_if<client::RemoveResponse>(&from.answer)) {
    answer.raw("response_delete_range", json(*removed));
  }
  if (const auto* nested = std::get_if<client::TxnResponse>(&from.answer)) answer.raw("response_txn", json(*nested));
  Object o;
  o.raw("Response", std::move(answer).done());
  return std::move(o).done();
}

std::string json(const client::TxnResponse& from) {
  Object o;
  o.optional("header", header(from.header));
  o.boolean("succeeded", from.succeeded);
  o.list("responses", from.responses, op_response);
  return std::move(o).done();
}

// clientv3's own structs have no names for JSON: fields keep those of Go, and none is left out.
std::string json(const WatchAnswer& from) {
  const auto event = [](const client::Event& e) {
    Object o;
    o.number("type", static_cast<int>(e.type));
    o.raw("kv", key_value(e.kv));
    if (e.prev_kv) o.raw("prev_kv", key_value(*e.prev_kv));
    return std::move(o).done();
  };
  Object o;
  o.raw("Header", header(from.response.header).value_or("{}"));
  o.raw("Events", Object::array(from.response.events, event));
  o.raw("CompactRevision", std::to_string(from.compact_revision));
  o.raw("Canceled", from.canceled ? "true" : "false");
  o.raw("Created", "false");
  o.raw("CancelReason", go_json_string(from.cancel_reason));
  return std::move(o).done();
}

// The header's fields stand among those of an answer about leases.
Object with_header(const client::ResponseHeader& from) {
  Object o;
  o.number("cluster_id", from.cluster_id);
  o.number("member_id", from.member_id);
  o.number("revision", from.revision);
  o.number("raft_term", from.raft_term);
  return o;
}

std::string json(const client::LeaseGrantResponse& from) {
  Object o = with_header(from.header);
  o.raw("ID", std::to_string(from.id));
  o.raw("TTL", std::to_string(from.ttl_s));
  o.raw("Error", "\"\"");
  return std::move(o).done();
}

std::string json(const client::LeaseRevokeResponse& from) {
  Object o;
  o.optional("header", header(from.header));
  return std::move(o).done();
}

std::string json(const client::LeaseKeepAliveResponse& from) {
  Object o = with_header(from.header);
  o.raw("ID", std::to_string(from.id));
  o.raw("TTL", std::to_string(from.ttl_s));
  return std::move(o).done();
}

std::string json(const client::LeaseTimeToLiveResponse& from) {
  Object o = with_header(from.header);
  o.raw("id", std::to_string(from.id));
  o.raw("ttl", std::to_string(from.ttl_s));
  o.raw("granted-ttl", std::to_string(from.granted_ttl_s));
  const auto quoted = [](const std::string& key) { return '"' + base64(key) + '"'; };
  o.raw("keys", from.keys.empty() ? "null" : Object::array(from.keys, quoted));
  return std::move(o).done();
}

std::string json(const client::LeaseListResponse& from) {
  Object o = with_header(from.header);
  o.raw("leases", Object::array(from.ids, [](int64_t id) { return "{\"id\":" + std::to_string(id) + '}'; }));
  return std::move(o).done();
}

std::string member(const client::Member& from, bool with_hex) {
  Object o;
  if (with_hex) {
    o.raw("ID", '"' + hex(from.id) + '"');
  } else {
    o.number("ID", from.id);
  }
  o.text("name", from.name);
  o.list("peerURLs", from.peer_urls, go_json_string);
  o.list("clientURLs", from.client_urls, go_json_string);
  o.boolean("isLearner", from.is_learner);
  return std::move(o).done();
}

std::string json(const client::MemberListResponse& from) {
  Object o;
  o.optional("header", header(from.header));
  o.list("members", from.members, [](const auto& m) { return member(m, false); });
  return std::move(o).done();
}

std::string header_hex(const client::ResponseHeader& from) {
  Object h;
  h.raw("cluster_id", '"' + hex(from.cluster_id) + '"');
  h.raw("member_id", '"' + hex(from.member_id) + '"');
  h.number("revision", from.revision);
  h.number("raft_term", from.raft_term);
  return std::move(h).done();
}

std::string added(const client::MemberAddResponse& from, bool with_hex) {
  Object o;
  o.optional("header", with_hex ? header_hex(from.header) : header(from.header));
  o.raw("member", member(from.member, with_hex));
  o.list("members", from.members, [&](const auto& m) { return member(m, with_hex); });
  return std::move(o).done();
}

// --hex changes the ids of members here and nowhere else in this format.
std::string json_hex(const client::MemberListResponse& from) {
  Object o;
  o.raw("header", header_hex(from.header));
  o.raw("members", Object::array(from.members, [](const auto& m) { return member(m, true); }));
  return std::move(o).done();
}

std::string json(const client::MemberStatus& from) {
  Object o;
  o.optional("header", header(from.header));
  o.text("version", from.version);
  o.number("dbSize", from.db_size);
  o.number("leader", from.leader);
  o.number("raftIndex", from.raft_index);
  o.number("raftTerm", from.raft_term);
  o.number("raftAppliedIndex", from.raft_applied_index);
  o.list("errors", from.errors, go_json_string);
  o.number("dbSizeInUse", from.db_size_in_use);
  o.boolean("isLearner", from.is_learner);
  o.text("storageVersion", from.storage_version);
  o.number("dbSizeQuota", from.db_size_quota);
  if (from.downgrade_info) {
    Object d;
    d.boolean("enabled", from.downgrade_info->enabled);
    d.text("targetVersion", from.downgrade_info->target_version);
    o.raw("downgradeInfo", std::move(d).done());
  }
  return std::move(o).done();
}

std::string json(const client::HashKvResponse& from) {
  Object o;
  o.optional("header", header(from.header));
  o.number("hash", from.hash);
  o.number("compact_revision", from.compact_revision);
  o.number("hash_revision", from.hash_revision);
  return std::move(o).done();
}

std::string json(const client::AlarmListResponse& from) {
  Object o;
  o.optional("header", header(from.header));
  o.list("alarms", from.alarms, [](const client::Alarm& alarm) {
    Object a;
    a.number("memberID", alarm.member_id);
    a.number("alarm", static_cast<int>(alarm.type));
    return std::move(a).done();
  });
  return std::move(o).done();
}

std::string json(const client::MoveLeaderResponse& from) {
  Object o;
  o.optional("header", header(from.header));
  return std::move(o).done();
}

std::string json(const client::DowngradeResponse& from) {
  Object o;
  o.optional("header", header(from.header));
  o.text("version", from.version);
  return std::move(o).done();
}

std::string endpoint_health(const EndpointHealth& from) {
  Object o;
  o.raw("endpoint", go_json_string(from.endpoint));
  o.raw("health", from.health ? "true" : "false");
  o.raw("took", go_json_string(go_duration(from.took)));
  o.text("error", from.error);
  return std::move(o).done();
}

class JsonPrinter final : public Printer {
 public:
  JsonPrinter(bool with_hex, std::ostream& out) : hex_(with_hex), out_(out) {}

  bool can_print(Printed) const override { return true; }
  void get(const client::GetResponse& response) override { out_ << json(response) << '\n'; }
  void put(const client::PutResponse& response) override { out_ << json(response) << '\n'; }
  void remove(const client::RemoveResponse& response) override { out_ << json(response) << '\n'; }
  void txn(const client::TxnResponse& response) override { out_ << json(response) << '\n'; }
  void watch(const WatchAnswer& answer) override { out_ << json(answer) << '\n'; }
  void lease_grant(const client::LeaseGrantResponse& response) override { out_ << json(response) << '\n'; }
  void lease_revoke(int64_t, const client::LeaseRevokeResponse& response) override { out_ << json(response) << '\n'; }
  void lease_keep_alive(const client::LeaseKeepAliveResponse& response) override { out_ << json(response) << '\n'; }
  void lease_time_to_live(const client::LeaseTimeToLiveResponse& response, bool) override {
    out_ << json(response) << '\n';
  }
  void lease_list(const client::LeaseListResponse& response) override { out_ << json(response) << '\n'; }
  void members(const client::MemberListResponse& response) override {
    out_ << (hex_ ? json_hex(response) : json(response)) << '\n';
  }
  void member_add(const client::MemberAddResponse& response) override { out_ << added(response, hex_) << '\n'; }
  void member_change(uint64_t, std::string_view, const client::MemberListResponse& response) override {
    members(response);
  }
  void health(const std::vector<EndpointHealth>& endpoints) override { list(endpoints, endpoint_health); }
  void status(const std::vector<EndpointStatus>& endpoints) override {
    list(endpoints, [](const EndpointStatus& e) { return named(e.endpoint, "Status", json(e.status)); });
  }
  void hash_kv(const std::vector<EndpointHash>& endpoints) override {
    list(endpoints, [](const EndpointHash& e) { return named(e.endpoint, "HashKV", json(e.hash)); });
  }
  void snapshot_status(const SnapshotStatus& s) override {
    Object o;
    o.raw("hash", std::to_string(s.hash));
    o.raw("revision", std::to_string(s.revision));
    o.raw("totalKey", std::to_string(s.keys));
    o.raw("totalSize", std::to_string(s.bytes));
    o.raw("version", go_json_string(s.version));
    out_ << std::move(o).done() << '\n';
  }
  void file_hash(const FileHash& h) override {
    Object o;
    o.raw("hash", std::to_string(h.hash));
    o.raw("hashRevision", std::to_string(h.hash_revision));
    o.raw("compactRevision", std::to_string(h.compact_revision));
    out_ << std::move(o).done() << '\n';
  }
  void alarms(const client::AlarmListResponse& response) override { out_ << json(response) << '\n'; }
  void moved_leader(uint64_t, uint64_t, const client::MoveLeaderResponse& response) override {
    out_ << json(response) << '\n';
  }
  void downgrade(std::string_view, const client::DowngradeResponse& response) override {
    out_ << json(response) << '\n';
  }

 private:
  static std::string named(std::string_view endpoint, std::string_view name, std::string_view value) {
    Object o;
    o.raw("Endpoint", go_json_string(endpoint));
    o.raw(name, value);
    return std::move(o).done();
  }
  // A list in which nothing was put is null to Go.
  template <typename List, typename ToJson>
  void list(const List& items, ToJson to_json) {
    out_ << (items.empty() ? "null" : Object::array(items, to_json)) << '\n';
  }

  const bool hex_;
  std::ostream& out_;
};

}  // namespace

std::unique_ptr<Printer> make_json_printer(bool hex, std::ostream& out) {
  return std::make_unique<JsonPrinter>(hex, out);
}

}  // namespace kv::kvctl
