#include "kvctl/rows.h"

#include <algorithm>
#include <cctype>

#include "kvctl/go_format.h"

namespace kv::kvctl {
namespace {

std::string yes_no(bool value) { return value ? "true" : "false"; }

std::string percent_not_in_use(const client::MemberStatus& status) {
  if (status.db_size == 0) return "0%";
  return std::to_string(100 - status.db_size_in_use * 100 / status.db_size) + "%";
}

// Columns that a text takes on a terminal: its characters, whatever their bytes.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string capitals(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(c == '_' ? ' ' : std::toupper(c)); });
  return text;
}

struct Corners {
  const char* left;
  const char* middle;
  const char* right;
};

void rule(const std::vector<size_t>& widths, const Corners& corners, std::string& out) {
  out += corners.left;
  for (size_t i = 0; i < widths.size(); ++i) {
    for (size_t n = 0; n < widths[i] + 2; ++n) out += "─";
    out += i + 1 < widths.size() ? corners.middle : corners.right;
  }
  out += '\n';
}

}  // namespace

Rows member_rows(const client::MemberListResponse& response) {
  Rows table{{"ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"}, {}};
  for (const auto& m : response.members) {
    table.rows.push_back({hex(m.id), m.name.empty() ? "unstarted" : "started", m.name, join(m.peer_urls, ","),
                          join(m.client_urls, ","), yes_no(m.is_learner)});
  }
  return table;
}

Rows health_rows(const std::vector<EndpointHealth>& endpoints) {
  Rows table{{"endpoint", "health", "took", "error"}, {}};
  for (const auto& e : endpoints) {
    table.rows.push_back({e.endpoint, yes_no(e.health), go_duration(e.took), e.error});
  }
  return table;
}

Rows status_rows(const std::vector<EndpointStatus>& endpoints) {
  Rows table{{"endpoint", "ID", "version", "storage version", "db size", "in use", "percentage not in use", "quota",
              "is leader", "is learner", "raft term", "raft index", "raft applied index", "errors",
              "downgrade target version", "downgrade enabled"},
             {}};
  for (const auto& [endpoint, s] : endpoints) {
    const auto downgrade = s.downgrade_info.value_or(client::DowngradeInfo{});
    table.rows.push_back({endpoint, hex(s.header.member_id), s.version, s.storage_version,
                          human_bytes(static_cast<uint64_t>(s.db_size)),
                          human_bytes(static_cast<uint64_t>(s.db_size_in_use)), percent_not_in_use(s),
                          human_bytes(static_cast<uint64_t>(s.db_size_quota)), yes_no(s.leader == s.header.member_id),
                          yes_no(s.is_learner), std::to_string(s.raft_term), std::to_string(s.raft_index),
                          std::to_string(s.raft_applied_index), join(s.errors, ", "), downgrade.target_version,
                          yes_no(downgrade.enabled)});
  }
  return table;
}

Rows hash_rows(const std::vector<EndpointHash>& endpoints) {
  Rows table{{"endpoint", "hash", "hash_revision"}, {}};
  for (const auto& e : endpoints) {
    table.rows.push_back({e.endpoint, std::to_string(e.hash.hash), std::to_string(e.hash.hash_revision)});
  }
  return table;
}

Rows snapshot_rows(const SnapshotStatus& s) {
  return {{"hash", "revision", "total keys", "total size", "version"},
          {{hex(s.hash), std::to_string(s.revision), std::to_string(s.keys), human_bytes(s.bytes), s.version}}};
}

Rows file_hash_rows(const FileHash& h) {
  return {{"hash", "hash revision", "compact revision"},
          {{std::to_string(h.hash), std::to_string(h.hash_revision), std::to_string(h.compact_revision)}}};
}

std::string boxed(const Rows& table) {
  std::vector<size_t> widths;
  for (const auto& title : table.heading) widths.push_back(width_of(title));
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string out;
  const auto line = [&](const Row& cells, auto padding_left) {
    out += "│";
    for (size_t i = 0; i < cells.size(); ++i) {
      const size_t free = widths[i] - width_of(cells[i]);
      const size_t left = padding_left(free);
      out += " " + std::string(left, ' ') + cells[i] + std::string(free - left, ' ') + " │";
    }
    out += '\n';
  };
  Row titles;
  for (const auto& title : table.heading) titles.push_back(capitals(title));
  rule(widths, {"┌", "┬", "┐"}, out);
  line(titles, [](size_t free) { return free / 2; });
  if (!table.rows.empty()) rule(widths, {"├", "┼", "┤"}, out);
  for (const auto& row : table.rows) line(row, [](size_t free) { return free; });
  rule(widths, {"└", "┴", "┘"}, out);
  return out;
}

}  // namespace kv::kvctl
