// The answer as it came over the wire, without a line's end: for programs that have the .proto files.
#include <ostream>

#include "base/check.h"
#include "client/convert.h"
#include "kvctl/printer.h"

namespace kv::kvctl {
namespace {

class ProtobufPrinter final : public Printer {
 public:
  explicit ProtobufPrinter(std::ostream& out) : out_(out) {}

  bool can_print(Printed kind) const override {
    return kind != Printed::kEndpoints && kind != Printed::kLeaseRevocation && kind != Printed::kSnapshots;
  }
  void get(const client::GetResponse& response) override { print(response); }
  void put(const client::PutResponse& response) override { print(response); }
  void remove(const client::RemoveResponse& response) override { print(response); }
  void txn(const client::TxnResponse& response) override { print(response); }
  void watch(const WatchAnswer& answer) override {
    auto message = client::to_proto(answer.response);
    message.set_compact_revision(answer.compact_revision);
    message.set_canceled(answer.canceled);
    out_ << message.SerializeAsString();
  }
  // etcdctl writes no more than the header of answers about leases, so neither do we.
  void lease_grant(const client::LeaseGrantResponse& response) override { print(response.header); }
  void lease_revoke(int64_t, const client::LeaseRevokeResponse&) override { refuse(); }
  void lease_keep_alive(const client::LeaseKeepAliveResponse& response) override { print(response.header); }
  void lease_time_to_live(const client::LeaseTimeToLiveResponse& response, bool) override { print(response.header); }
  void lease_list(const client::LeaseListResponse& response) override { print(response.header); }
  void members(const client::MemberListResponse& response) override { print(response); }
  void member_add(const client::MemberAddResponse& response) override { print(response); }
  void member_change(uint64_t, std::string_view, const client::MemberListResponse& response) override {
    print(response);
  }
  void health(const std::vector<EndpointHealth>&) override { refuse(); }
  void status(const std::vector<EndpointStatus>&) override { refuse(); }
  void hash_kv(const std::vector<EndpointHash>&) override { refuse(); }
  void snapshot_status(const SnapshotStatus&) override { refuse(); }
  void file_hash(const FileHash&) override { refuse(); }
  void alarms(const client::AlarmListResponse& response) override { print(response); }
  void moved_leader(uint64_t, uint64_t, const client::MoveLeaderResponse& response) override { print(response); }
  void downgrade(std::string_view, const client::DowngradeResponse& response) override { print(response); }

 private:
  void print(const auto& response) { out_ << client::to_proto(response).SerializeAsString(); }
  [[noreturn]] static void refuse() { check_failed(__FILE__, __LINE__, "can_print()", "asked to print what it can't"); }

  std::ostream& out_;
};

}  // namespace

std::unique_ptr<Printer> make_protobuf_printer(std::ostream& out) { return std::make_unique<ProtobufPrinter>(out); }

}  // namespace kv::kvctl
