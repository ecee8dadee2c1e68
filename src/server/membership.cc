#include "server/membership.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace kv::server {
namespace {

void append_u64(std::string& out, uint64_t v) { out.append(reinterpret_cast<const char*>(&v), sizeof v); }

bool take_u64(std::string_view& bytes, uint64_t& v) {
  if (bytes.size() < sizeof v) return false;
  std::memcpy(&v, bytes.data(), sizeof v);
  bytes.remove_prefix(sizeof v);
  return true;
}

std::string hex_digits(uint64_t id) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(id));
  return digits;
}

}  // namespace

std::string member_record(uint64_t id) { return std::string(kMemberPrefix) + hex_digits(id); }
std::string removed_record(uint64_t id) { return std::string(kRemovedPrefix) + hex_digits(id); }

std::vector<etcdserverpb::Member> members(const store::Store& store) {
  raft::Configuration configuration;
  if (const auto bytes = store.record(kConfigurationRecord)) {
    auto decoded = decode_configuration(*bytes);
    KV_CHECK(decoded, "the record of the cluster's configuration is damaged");
    configuration = std::move(*decoded);
  }
  std::vector<etcdserverpb::Member> list;
  for (const auto& [name, value] : store.records(kMemberPrefix)) {
    etcdserverpb::Member member;
    KV_CHECK(member.ParseFromString(value), "the record " + name + " is damaged");
    const raft::NodeId id(member.id());
    member.set_islearner(std::find(configuration.learners.begin(), configuration.learners.end(), id) !=
                         configuration.learners.end());
    list.push_back(std::move(member));
  }
  return list;
}

std::set<uint64_t> removed_members(const store::Store& store) {
  std::set<uint64_t> ids;
  for (const auto& [name, value] : store.records(kRemovedPrefix)) {
    uint64_t id = 0;
    const char* const digits = name.data() + kRemovedPrefix.size();
    const auto [end, error] = std::from_chars(digits, name.data() + name.size(), id, 16);
    KV_CHECK(error == std::errc() && end == name.data() + name.size(), "the record " + name + " is damaged");
    ids.insert(id);
  }
  return ids;
}

std::optional<etcdserverpb::Member> MemberRecords::find(uint64_t id) const {
  if (const auto found = written_.find(id); found != written_.end()) return found->second;
  const auto bytes = store_.record(member_record(id));
  if (!bytes) return std::nullopt;
  etcdserverpb::Member member;
  KV_CHECK(member.ParseFromString(*bytes), "the record " + member_record(id) + " is damaged");
  return member;
}

void MemberRecords::put(const etcdserverpb::Member& member) {
  changed_ = true;
  // Only --force-new-cluster takes somebody back.
  if (!find(member.id())) batch_.delete_record(removed_record(member.id()));
  written_[member.id()] = member;
  batch_.put_record(member_record(member.id()), member.SerializeAsString());
}

void MemberRecords::remove(uint64_t id) {
  const auto member = find(id);
  if (!member) return;
  changed_ = true;
  written_[id] = std::nullopt;
  batch_.delete_record(member_record(id));
  batch_.put_record(removed_record(id), member->SerializeAsString());
}

void MemberRecords::set_configuration(const raft::Configuration& configuration) {
  changed_ = true;
  batch_.put_record(kConfigurationRecord, encode(configuration));
}

std::string encode(const raft::Configuration& configuration) {
  std::string out;
  for (const auto* list :
       {&configuration.voters, &configuration.outgoing, &configuration.learners, &configuration.learners_next}) {
    append_u64(out, list->size());
    for (const raft::NodeId id : *list) append_u64(out, id.value());
  }
  append_u64(out, configuration.auto_leave ? 1 : 0);
  return out;
}

std::optional<raft::Configuration> decode_configuration(std::string_view bytes) {
  raft::Configuration configuration;
  for (auto* list :
       {&configuration.voters, &configuration.outgoing, &configuration.learners, &configuration.learners_next}) {
    uint64_t count = 0;
    if (!take_u64(bytes, count) || count > bytes.size() / sizeof(uint64_t)) return std::nullopt;
    for (uint64_t i = 0; i < count; ++i) {
      uint64_t id = 0;
      if (!take_u64(bytes, id)) return std::nullopt;
      list->emplace_back(id);
    }
  }
  uint64_t auto_leave = 0;
  if (!take_u64(bytes, auto_leave) || !bytes.empty()) return std::nullopt;
  configuration.auto_leave = auto_leave != 0;
  return configuration;
}

}  // namespace kv::server
