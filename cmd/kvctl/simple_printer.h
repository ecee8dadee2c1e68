// etcdctl's simple format. With a Paint that has colours, the same for people.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "kvctl/printer.h"
#include "kvctl/rows.h"
#include "kvctl/terminal.h"

namespace kv::kvctl {

class SimplePrinter : public Printer {
 public:
  SimplePrinter(bool hex, std::ostream& out, std::ostream& err, const Paint& paint = {})
      : out_(out), err_(err), paint_(paint), hex_(hex) {}

  bool can_print(Printed) const override { return true; }
  bool set_value_only() override { return value_only_ = true; }

  void get(const client::GetResponse& response) override;
  void put(const client::PutResponse& response) override;
  void remove(const client::RemoveResponse& response) override;
  void txn(const client::TxnResponse& response) override;
  void watch(const WatchAnswer& answer) override;
  void lease_grant(const client::LeaseGrantResponse& response) override;
  void lease_revoke(int64_t id, const client::LeaseRevokeResponse& response) override;
  void lease_keep_alive(const client::LeaseKeepAliveResponse& response) override;
  void lease_time_to_live(const client::LeaseTimeToLiveResponse& response, bool keys) override;
  void lease_list(const client::LeaseListResponse& response) override;
  void lease_over(int64_t id) override;
  void members(const client::MemberListResponse& response) override;
  void member_add(const client::MemberAddResponse& response) override;
  void member_change(uint64_t id, std::string_view done, const client::MemberListResponse& response) override;
  bool tells_environment() const override { return true; }
  void health(const std::vector<EndpointHealth>& endpoints) override;
  void status(const std::vector<EndpointStatus>& endpoints) override;
  void hash_kv(const std::vector<EndpointHash>& endpoints) override;
  void snapshot_status(const SnapshotStatus& status) override;
  void file_hash(const FileHash& hash) override;
  void alarms(const client::AlarmListResponse& response) override;
  void moved_leader(uint64_t from, uint64_t to, const client::MoveLeaderResponse& response) override;
  void downgrade(std::string_view done, const client::DowngradeResponse& response) override;

 protected:
  std::ostream& out_;
  std::ostream& err_;
  const Paint paint_;

 private:
  void key_value(const client::KeyValue& kv);
  void lines(const Rows& table);

  const bool hex_;
  bool value_only_ = false;
};

}  // namespace kv::kvctl
