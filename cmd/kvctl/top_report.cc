#include "kvctl/top_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <map>
#include <sstream>
#include <utility>

#include "kvctl/go_format.h"
#include "kvctl/json_text.h"
#include "kvctl/printer.h"
#include "kvctl/terminal_table.h"

namespace kv::kvctl {
namespace {

// The newer name first, then the one that etcd had before.
constexpr std::initializer_list<const char*> kPuts = {"etcd_mvcc_put_total", "etcd_debugging_mvcc_put_total"};
constexpr std::initializer_list<const char*> kReads = {"etcd_mvcc_range_total", "etcd_debugging_mvcc_range_total"};
constexpr std::initializer_list<const char*> kTxns = {"etcd_mvcc_txn_total", "etcd_debugging_mvcc_txn_total"};
constexpr std::initializer_list<const char*> kEvents = {"etcd_debugging_mvcc_events_total"};
constexpr std::initializer_list<const char*> kWatches = {"etcd_debugging_mvcc_watcher_total"};
constexpr std::initializer_list<const char*> kClients = {"kvd_client_connections"};

std::optional<double> value_of(const MemberSample& sample, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const auto found = sample.metrics.find(name);
    if (found != sample.metrics.end()) return found->second;
  }
  return std::nullopt;
}

std::string per_s(std::optional<double> rate) {
  if (!rate) return "-";
  char text[32];
  std::snprintf(text, sizeof text, *rate < 9.95 && *rate > 0 ? "%.1f" : "%.0f", *rate);
  return text;
}

std::string whole(std::optional<double> value) { return value ? std::to_string(std::llround(*value)) : "-"; }

const MemberSample* sample_of(const ClusterSample* cluster, const std::string& endpoint) {
  if (cluster == nullptr) return nullptr;
  for (const MemberSample& sample : cluster->members) {
    if (sample.endpoint == endpoint) return &sample;
  }
  return nullptr;
}

std::string name_of(const ClusterSample& now, uint64_t id) {
  for (const client::Member& member : now.known) {
    if (member.id == id && !member.name.empty()) return member.name;
  }
  return hex(id);
}

std::string role_of(const client::MemberStatus& status) {
  if (status.is_learner) return "learner";
  if (status.leader == 0) return "no leader";
  return status.leader == status.header.member_id ? "leader" : "follower";
}

// What the members say together.
struct Summary {
  uint64_t cluster_id = 0, leader = 0, term = 0, index = 0;
  int64_t revision = 0;
  std::optional<double> revisions_per_s{};
};
Summary summary_of(const ClusterSample* before, const ClusterSample& now) {
  Summary summary;
  for (const MemberSample& sample : now.members) {
    if (!sample.status) continue;
    const client::MemberStatus& status = *sample.status;
    summary.cluster_id = status.header.cluster_id;
    if (status.leader != 0 && status.raft_term >= summary.term) summary.leader = status.leader;
    summary.term = std::max(summary.term, status.raft_term);
    summary.index = std::max(summary.index, status.raft_index);
    if (status.header.revision < summary.revision) continue;
    summary.revision = status.header.revision;
    const MemberSample* old = sample_of(before, sample.endpoint);
    if (old == nullptr || !old->status || status.header.revision < old->status->header.revision) continue;
    summary.revisions_per_s = static_cast<double>(status.header.revision - old->status->header.revision) /
                              std::chrono::duration<double>(sample.taken - old->taken).count();
  }
  return summary;
}

}  // namespace

std::optional<double> rate_of(const MemberSample* before, const MemberSample& now,
                              std::initializer_list<const char*> names) {
  if (before == nullptr) return std::nullopt;
  const auto old = value_of(*before, names), value = value_of(now, names);
  const double seconds = std::chrono::duration<double>(now.taken - before->taken).count();
  if (!old || !value || *value < *old || seconds <= 0) return std::nullopt;
  return (*value - *old) / seconds;
}

std::string top_text(const ClusterSample* before, const ClusterSample& now, const Terminal& terminal) {
  const Paint paint(terminal);
  const Summary summary = summary_of(before, now);
  std::ostringstream out;
  out << now.time << "  " << now.members.size() << (now.members.size() == 1 ? " endpoint, " : " endpoints, ");
  if (summary.leader == 0) {
    out << paint(Style::kBad, "no leader");
  } else {
    out << "leader " << printable(name_of(now, summary.leader)) << " in term " << summary.term;
  }
  out << '\n' << "revision " << summary.revision;
  if (summary.revisions_per_s) out << ", " << per_s(summary.revisions_per_s) << " new a second";
  out << ", ";
  if (!now.alarms) {
    out << "alarms not known";
  } else if (now.alarms->empty()) {
    out << paint(Style::kGood, "no alarms");
  } else {
    const char* comma = "";
    for (const client::Alarm& alarm : *now.alarms) {
      out << std::exchange(comma, ", ")
          << paint(Style::kBad, alarm_name(alarm.type) + " at " + printable(name_of(now, alarm.member_id)));
    }
  }
  out << "\n\n";

  Rows table{{"member", "role", "term", "applied", "lag", "puts/s", "reads/s", "txns/s", "events/s", "watches",
              "clients", "db size", "in use"},
             {}};
  std::vector<std::pair<std::string, std::string>> notes;  // endpoint, text
  for (const MemberSample& sample : now.members) {
    if (!sample.status) {
      table.rows.push_back({sample.endpoint, "unreachable", "", "", "", "", "", "", "", "", "", "", ""});
      notes.emplace_back(sample.endpoint, sample.error);
      continue;
    }
    const client::MemberStatus& status = *sample.status;
    const MemberSample* old = sample_of(before, sample.endpoint);
    const bool named = std::any_of(now.known.begin(), now.known.end(), [&](const client::Member& m) {
      return m.id == status.header.member_id && !m.name.empty();
    });
    table.rows.push_back({named ? name_of(now, status.header.member_id) : sample.endpoint, role_of(status),
                          std::to_string(status.raft_term), std::to_string(status.raft_applied_index),
                          std::to_string(summary.index - std::min(summary.index, status.raft_applied_index)),
                          per_s(rate_of(old, sample, kPuts)), per_s(rate_of(old, sample, kReads)),
                          per_s(rate_of(old, sample, kTxns)), per_s(rate_of(old, sample, kEvents)),
                          whole(value_of(sample, kWatches)), whole(value_of(sample, kClients)),
                          human_bytes(static_cast<uint64_t>(std::max<int64_t>(status.db_size, 0))),
                          human_bytes(static_cast<uint64_t>(std::max<int64_t>(status.db_size_in_use, 0)))});
    for (const std::string& error : status.errors) notes.emplace_back(sample.endpoint, error);
    if (!sample.metrics_error.empty()) {
      notes.emplace_back(sample.endpoint, "no rates, since its /metrics can't be read: " + sample.metrics_error);
    }
  }
  Terminal wide = terminal;
  if (!wide.is_terminal) wide.columns = SIZE_MAX;
  out << terminal_table(table, wide,
                        {.droppable = {"in use", "txns/s", "clients", "watches", "applied", "events/s", "term"},
                         .style = [](std::string_view heading, std::string_view cell) {
                           if (heading != "ROLE") return Style::kNone;
                           return cell == "leader"                               ? Style::kGood
                                  : cell == "unreachable" || cell == "no leader" ? Style::kBad
                                                                                 : Style::kNone;
                         }});
  if (!notes.empty()) out << '\n';
  for (const auto& [endpoint, text] : notes) out << endpoint << ": " << printable(text) << '\n';
  return out.str();
}

std::string top_json(const ClusterSample* before, const ClusterSample& now) {
  const Summary summary = summary_of(before, now);
  std::ostringstream out;
  const auto optional = [&out](const char* name, std::optional<double> value) {
    if (!value) return;
    char text[48];
    std::snprintf(text, sizeof text, "%.*f", *value == std::floor(*value) ? 0 : 3, *value);
    out << ",\"" << name << "\":" << text;
  };
  out << "{\"time\":\"" << now.time << "\",\"cluster_id\":\"" << hex(summary.cluster_id) << "\",\"leader\":\""
      << hex(summary.leader) << "\",\"term\":" << summary.term << ",\"revision\":" << summary.revision;
  optional("revisions_per_s", summary.revisions_per_s);
  if (now.alarms) {
    out << ",\"alarms\":[";
    const char* comma = "";
    for (const client::Alarm& alarm : *now.alarms) {
      out << std::exchange(comma, ",") << "{\"member\":\"" << hex(alarm.member_id) << "\",\"alarm\":\""
          << alarm_name(alarm.type) << "\"}";
    }
    out << ']';
  }
  out << ",\"members\":[";
  const char* comma = "";
  for (const MemberSample& sample : now.members) {
    out << std::exchange(comma, ",") << "{\"endpoint\":" << json_string(printable(sample.endpoint));
    if (!sample.status) {
      out << ",\"error\":" << json_string(printable(sample.error)) << '}';
      continue;
    }
    const client::MemberStatus& status = *sample.status;
    const MemberSample* old = sample_of(before, sample.endpoint);
    out << ",\"id\":\"" << hex(status.header.member_id)
        << "\",\"name\":" << json_string(printable(name_of(now, status.header.member_id))) << ",\"role\":\""
        << role_of(status) << "\",\"term\":" << status.raft_term << ",\"index\":" << status.raft_index
        << ",\"applied\":" << status.raft_applied_index
        << ",\"lag\":" << summary.index - std::min(summary.index, status.raft_applied_index)
        << ",\"db_size\":" << status.db_size << ",\"db_size_in_use\":" << status.db_size_in_use;
    optional("puts_per_s", rate_of(old, sample, kPuts));
    optional("reads_per_s", rate_of(old, sample, kReads));
    optional("txns_per_s", rate_of(old, sample, kTxns));
    optional("events_per_s", rate_of(old, sample, kEvents));
    optional("watches", value_of(sample, kWatches));
    optional("clients", value_of(sample, kClients));
    if (!sample.metrics_error.empty()) out << ",\"metrics_error\":" << json_string(printable(sample.metrics_error));
    if (!status.errors.empty()) {
      out << ",\"errors\":[";
      for (size_t i = 0; i < status.errors.size(); ++i) {
        out << (i > 0 ? "," : "") << json_string(printable(status.errors[i]));
      }
      out << ']';
    }
    out << '}';
  }
  out << "]}\n";
  return out.str();
}

}  // namespace kv::kvctl
