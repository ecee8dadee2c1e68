#include "server/membership.h"

#include <algorithm>
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

}  // namespace

std::string member_record(uint64_t id) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(id));
  return std::string(kMemberPrefix) + digits;
}

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
