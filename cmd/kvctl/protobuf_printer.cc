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

  bool can_print(Printed kind) const override { return kind != Printed::kEndpoints; }
  void get(const client::GetResponse& response) override { print(response); }
  void put(const client::PutResponse& response) override { print(response); }
  void remove(const client::RemoveResponse& response) override { print(response); }
  void txn(const client::TxnResponse& response) override { print(response); }
  void members(const client::MemberListResponse& response) override { print(response); }
  void health(const std::vector<EndpointHealth>&) override { refuse(); }
  void status(const std::vector<EndpointStatus>&) override { refuse(); }
  void hash_kv(const std::vector<EndpointHash>&) override { refuse(); }

 private:
  void print(const auto& response) { out_ << client::to_proto(response).SerializeAsString(); }
  [[noreturn]] static void refuse() { check_failed(__FILE__, __LINE__, "can_print()", "asked to print what it can't"); }

  std::ostream& out_;
};

}  // namespace

std::unique_ptr<Printer> make_protobuf_printer(std::ostream& out) { return std::make_unique<ProtobufPrinter>(out); }

}  // namespace kv::kvctl
