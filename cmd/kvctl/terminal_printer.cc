// The simple format for people at a terminal: what is a list becomes a table, and keys and verdicts have colours.
#include <memory>
#include <ostream>

#include "kvctl/go_format.h"
#include "kvctl/simple_printer.h"
#include "kvctl/terminal_table.h"

namespace kv::kvctl {
namespace {

// Columns of endpoint status, without what is of interest only now and then: -w table has it all.
Rows status_in_short(const std::vector<EndpointStatus>& endpoints) {
  Rows table{{"endpoint", "ID", "version", "db size", "in use", "role", "term", "index", "applied", "errors"}, {}};
  for (const auto& [endpoint, s] : endpoints) {
    const char* role = s.leader == s.header.member_id ? "leader" : s.is_learner ? "learner" : "follower";
    table.rows.push_back({endpoint, hex(s.header.member_id), s.version, human_bytes(static_cast<uint64_t>(s.db_size)),
                          human_bytes(static_cast<uint64_t>(s.db_size_in_use)), role, std::to_string(s.raft_term),
                          std::to_string(s.raft_index), std::to_string(s.raft_applied_index), join(s.errors, ", ")});
  }
  return table;
}

Style style_of(std::string_view heading, std::string_view cell) {
  if (heading == "ERRORS" || heading == "ERROR" || heading == "ALARM") return Style::kBad;
  if (heading == "HEALTH") return cell == "true" ? Style::kGood : Style::kBad;
  if (heading == "STATUS") return cell == "started" ? Style::kGood : Style::kChanged;
  if (heading == "ROLE") return cell == "leader" ? Style::kGood : Style::kNone;
  return Style::kNone;
}

class TerminalPrinter final : public SimplePrinter {
 public:
  TerminalPrinter(bool hex, std::ostream& out, std::ostream& err, const Terminal& terminal)
      : SimplePrinter(hex, out, err, Paint(terminal)), terminal_(terminal) {}

  void members(const client::MemberListResponse& response) override {
    table(member_rows(response), {"Is Learner", "Peer Addrs"});
  }
  // The unhealthy ones are rows of the table here, and not lines of the standard error.
  void health(const std::vector<EndpointHealth>& endpoints) override { table(health_rows(endpoints), {}); }
  void status(const std::vector<EndpointStatus>& endpoints) override {
    table(status_in_short(endpoints), {"in use", "version", "index"});
  }
  void hash_kv(const std::vector<EndpointHash>& endpoints) override { table(hash_rows(endpoints), {}); }
  void snapshot_status(const SnapshotStatus& status) override { table(snapshot_rows(status), {}); }
  void file_hash(const FileHash& hash) override { table(file_hash_rows(hash), {}); }
  void alarms(const client::AlarmListResponse& response) override {
    if (response.alarms.empty()) {
      out_ << paint_(Style::kGood, "no alarms") << '\n';
      return;
    }
    Rows rows{{"member", "alarm"}, {}};
    for (const auto& alarm : response.alarms) rows.rows.push_back({hex(alarm.member_id), alarm_name(alarm.type)});
    table(rows, {});
  }

 private:
  void table(const Rows& rows, std::vector<std::string> droppable) {
    out_ << terminal_table(rows, terminal_, {.droppable = std::move(droppable), .style = style_of});
  }

  const Terminal terminal_;
};

}  // namespace

std::unique_ptr<Printer> make_terminal_printer(bool hex, std::ostream& out, std::ostream& err,
                                               const Terminal& terminal) {
  return std::make_unique<TerminalPrinter>(hex, out, err, terminal);
}

}  // namespace kv::kvctl
