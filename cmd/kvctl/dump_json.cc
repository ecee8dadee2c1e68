#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "kvctl/dump_builder.h"
#include "kvctl/dump_codecs.h"
#include "kvctl/go_format.h"
#include "kvctl/json_text.h"

namespace kv::kvctl {
namespace {

class JsonDumpWriter final : public DumpWriter {
 public:
  explicit JsonDumpWriter(std::ostream& out) : out_(out) {}

  void begin(int64_t revision, std::string_view prefix) override {
    out_ << "{\"kvctl_export\":" << kDumpVersion << ",\"revision\":" << revision << ',' << json_bytes("prefix", prefix)
         << ",\"keys\":[";
  }
  void add(const DumpEntry& entry) override {
    out_ << (count_++ == 0 ? "\n{" : ",\n{") << json_bytes("key", entry.key) << ',' << json_bytes("value", entry.value);
    if (entry.lease != 0) out_ << ",\"lease\":\"" << hex16(entry.lease) << "\",\"ttl\":" << entry.ttl_s;
    out_ << '}';
  }
  void end() override { out_ << "\n],\"count\":" << count_ << "}\n"; }

 private:
  std::ostream& out_;
  int64_t count_ = 0;
};

// nlohmann's events.
class Sax {
 public:
  explicit Sax(DumpBuilder& builder) : builder_(builder) {}

  bool null() { return builder_.scalar("null", false); }
  bool boolean(bool value) { return builder_.scalar(value ? "true" : "false", false); }
  bool number_integer(int64_t value) { return builder_.scalar(std::to_string(value), false); }
  bool number_unsigned(uint64_t value) { return builder_.scalar(std::to_string(value), false); }
  bool number_float(double, const std::string& text) { return builder_.scalar(text, false); }
  bool string(std::string& text) { return builder_.scalar(std::move(text), true); }
  bool binary(nlohmann::json::binary_t&) { return builder_.fail("binary JSON"); }
  bool start_object(size_t) { return builder_.begin_map(); }
  bool key(std::string& text) { return builder_.name(std::move(text)); }
  bool end_object() { return builder_.end_map(); }
  bool start_array(size_t) { return builder_.begin_list(); }
  bool end_array() { return builder_.end_list(); }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& error) {
    std::string what = error.what();
    if (const size_t at = what.find("] "); at != what.npos) what.erase(0, at + 2);  // the library's own number
    return builder_.fail("no JSON at byte " + std::to_string(position) + ": " + what);
  }

 private:
  DumpBuilder& builder_;
};

}  // namespace

std::unique_ptr<DumpWriter> make_json_dump_writer(std::ostream& out) { return std::make_unique<JsonDumpWriter>(out); }

Status read_json_dump(std::istream& in, DumpBuilder& builder) {
  Sax sax(builder);
  (void)nlohmann::json::sax_parse(in, &sax);
  return builder.finish();
}

}  // namespace kv::kvctl
