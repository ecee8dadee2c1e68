#include <ostream>
#include <variant>

#include "kvctl/go_format.h"
#include "kvctl/printer.h"
#include "kvctl/rows.h"

namespace kv::kvctl {
namespace {

class SimplePrinter final : public Printer {
 public:
  SimplePrinter(bool hex, std::ostream& out, std::ostream& err) : hex_(hex), out_(out), err_(err) {}

  bool can_print(Printed) const override { return true; }
  bool set_value_only() override { return value_only_ = true; }

  void get(const client::GetResponse& response) override {
    for (const auto& kv : response.kvs) key_value(kv);
  }
  void put(const client::PutResponse& response) override {
    out_ << "OK\n";
    if (response.prev_kv) key_value(*response.prev_kv);
  }
  void remove(const client::RemoveResponse& response) override {
    out_ << response.deleted << '\n';
    for (const auto& kv : response.prev_kvs) key_value(kv);
  }
  void txn(const client::TxnResponse& response) override {
    out_ << (response.succeeded ? "SUCCESS\n" : "FAILURE\n");
    for (const auto& op : response.responses) {
      out_ << '\n';
      if (const auto* got = std::get_if<client::GetResponse>(&op.answer)) get(*got);
      if (const auto* done = std::get_if<client::PutResponse>(&op.answer)) put(*done);
      if (const auto* removed = std::get_if<client::RemoveResponse>(&op.answer)) remove(*removed);
      if (const auto* nested = std::get_if<client::TxnResponse>(&op.answer)) txn(*nested);
    }
  }
  void members(const client::MemberListResponse& response) override { lines(member_rows(response)); }
  void health(const std::vector<EndpointHealth>& endpoints) override {
    for (const auto& e : endpoints) {
      if (e.error.empty()) {
        out_ << e.endpoint << " is healthy: successfully committed proposal: took = " << go_duration(e.took) << '\n';
      } else {
        err_ << e.endpoint << " is unhealthy: failed to commit proposal: " << e.error << '\n';
      }
    }
  }
  void status(const std::vector<EndpointStatus>& endpoints) override { lines(status_rows(endpoints)); }
  void hash_kv(const std::vector<EndpointHash>& endpoints) override { lines(hash_rows(endpoints)); }

 private:
  void key_value(const client::KeyValue& kv) {
    if (!value_only_) out_ << (hex_ ? hex_escaped(kv.key) : kv.key) << '\n';
    out_ << (hex_ ? hex_escaped(kv.value) : kv.value) << '\n';
  }
  void lines(const Rows& table) {
    for (const auto& row : table.rows) out_ << join(row, ", ") << '\n';
  }

  const bool hex_;
  bool value_only_ = false;
  std::ostream& out_;
  std::ostream& err_;
};

}  // namespace

std::unique_ptr<Printer> make_simple_printer(bool hex, std::ostream& out, std::ostream& err) {
  return std::make_unique<SimplePrinter>(hex, out, err);
}

std::unique_ptr<Printer> make_printer(std::string_view format, bool hex, std::ostream& out, std::ostream& err) {
  if (format == "simple") return make_simple_printer(hex, out, err);
  if (format == "fields") return make_fields_printer(hex, out);
  if (format == "json") return make_json_printer(hex, out);
  if (format == "protobuf") return make_protobuf_printer(out);
  if (format == "table") return make_table_printer(out);
  return nullptr;
}

}  // namespace kv::kvctl
