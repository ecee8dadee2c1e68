#include <ostream>

#include "base/check.h"
#include "kvctl/printer.h"
#include "kvctl/rows.h"

namespace kv::kvctl {
namespace {

class TablePrinter final : public Printer {
 public:
  explicit TablePrinter(std::ostream& out) : out_(out) {}

  bool can_print(Printed kind) const override {
    return kind == Printed::kMembers || kind == Printed::kEndpoints || kind == Printed::kSnapshots;
  }
  void get(const client::GetResponse&) override { refuse(); }
  void put(const client::PutResponse&) override { refuse(); }
  void remove(const client::RemoveResponse&) override { refuse(); }
  void txn(const client::TxnResponse&) override { refuse(); }
  void watch(const WatchAnswer&) override { refuse(); }
  void lease_grant(const client::LeaseGrantResponse&) override { refuse(); }
  void lease_revoke(int64_t, const client::LeaseRevokeResponse&) override { refuse(); }
  void lease_keep_alive(const client::LeaseKeepAliveResponse&) override { refuse(); }
  void lease_time_to_live(const client::LeaseTimeToLiveResponse&, bool) override { refuse(); }
  void lease_list(const client::LeaseListResponse&) override { refuse(); }
  void members(const client::MemberListResponse& response) override { out_ << boxed(member_rows(response)); }
  void member_add(const client::MemberAddResponse&) override { refuse(); }
  void member_change(uint64_t, std::string_view, const client::MemberListResponse&) override { refuse(); }
  void health(const std::vector<EndpointHealth>& endpoints) override { out_ << boxed(health_rows(endpoints)); }
  void status(const std::vector<EndpointStatus>& endpoints) override { out_ << boxed(status_rows(endpoints)); }
  void hash_kv(const std::vector<EndpointHash>& endpoints) override { out_ << boxed(hash_rows(endpoints)); }
  void snapshot_status(const SnapshotStatus& status) override { out_ << boxed(snapshot_rows(status)); }
  void file_hash(const FileHash& hash) override { out_ << boxed(file_hash_rows(hash)); }
  void alarms(const client::AlarmListResponse&) override { refuse(); }
  void moved_leader(uint64_t, uint64_t, const client::MoveLeaderResponse&) override { refuse(); }
  void downgrade(std::string_view, const client::DowngradeResponse&) override { refuse(); }

 private:
  [[noreturn]] static void refuse() { check_failed(__FILE__, __LINE__, "can_print()", "asked to print what it can't"); }

  std::ostream& out_;
};

}  // namespace

std::unique_ptr<Printer> make_table_printer(std::ostream& out) { return std::make_unique<TablePrinter>(out); }

}  // namespace kv::kvctl
