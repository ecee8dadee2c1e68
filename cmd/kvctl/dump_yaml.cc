#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <istream>
#include <ostream>
#include <vector>

#include "base/utf8.h"
#include "kvctl/dump_codecs.h"
#include "kvctl/go_format.h"
#include "kvctl/json_text.h"

namespace kv::kvctl {
namespace {

// Whether a text, which is UTF-8, comes back as it is from a literal block: lines of plain characters, the last with
// its newline and none empty behind it, and nothing at the beginning that would be taken for the block's indentation.
bool is_block(std::string_view text) {
  if (!text.ends_with('\n') || text.ends_with("\n\n") || text.size() < 2) return false;
  if (text[0] == ' ' || text[0] == '\n' || text[0] == '\t') return false;
  while (!text.empty()) {
    const auto [c, length] = decode_utf8(text);
    if ((c < 0x20 && c != '\n') || c == 0x7f) return false;
    // Beyond ASCII, what YAML takes for a line's end or doesn't allow.
    if ((c >= 0x80 && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff) return false;
    text.remove_prefix(length);
  }
  return true;
}

class YamlDumpWriter final : public DumpWriter {
 public:
  explicit YamlDumpWriter(std::ostream& out) : out_(out) {}

  void begin(int64_t revision, std::string_view prefix) override {
    out_ << "kvctl_export: " << kDumpVersion << "\nrevision: " << revision << '\n';
    field("prefix", prefix, "");
    out_ << "keys:";
  }
  void add(const DumpEntry& entry) override {
    out_ << (count_++ == 0 ? "\n- " : "- ");
    field("key", entry.key, "");
    out_ << "  ";
    field("value", entry.value, "    ");
    if (entry.lease != 0) out_ << "  lease: \"" << hex16(entry.lease) << "\"\n  ttl: " << entry.ttl_s << '\n';
  }
  void end() override { out_ << (count_ == 0 ? " []\n" : "") << "count: " << count_ << '\n'; }

 private:
  // A JSON string is one of YAML's in double quotes. Lines indented by `block` where that can be and reads better.
  void field(std::string_view name, std::string_view bytes, std::string_view block) {
    if (!is_utf8(bytes)) {
      out_ << name << "_base64: \"" << base64(bytes) << "\"\n";
    } else if (block.empty() || !is_block(bytes)) {
      out_ << name << ": " << escaped(bytes) << '\n';
    } else {
      out_ << name << ": |\n";
      while (!bytes.empty()) {
        const size_t length = bytes.find('\n') + 1;
        if (length > 1) out_ << block;
        out_ << bytes.substr(0, length);
        bytes.remove_prefix(length);
      }
    }
  }
  static std::string escaped(std::string_view text) {
    std::string out = json_string(text);
    // Line ends in YAML's eyes, and a mark that readers swallow.
    for (const auto& [character, escape] : {std::pair<std::string_view, std::string_view>{"\u0085", "\\u0085"},
                                            {"\u2028", "\\u2028"},
                                            {"\u2029", "\\u2029"},
                                            {"\ufeff", "\\ufeff"}}) {
      for (size_t at = 0; (at = out.find(character, at)) != out.npos; at += escape.size()) {
        out.replace(at, character.size(), escape);
      }
    }
    return out;
  }

  std::ostream& out_;
  int64_t count_ = 0;
};

struct Stopped {};

// yaml-cpp's events. In a map they are names and values in turn.
class Events final : public YAML::EventHandler {
 public:
  explicit Events(DumpBuilder& builder) : builder_(builder) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { scalar(mark, "", false); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { no(mark, "an alias"); }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t, const std::string& value) override {
    scalar(mark, value, true);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    if (awaits_name()) no(mark, "a list as a name");
    check(mark, builder_.begin_list());
    levels_.push_back(Level::kList);
  }
  void OnSequenceEnd() override {
    levels_.pop_back();
    check({}, builder_.end_list());
    value_taken();
  }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    if (awaits_name()) no(mark, "a map as a name");
    check(mark, builder_.begin_map());
    levels_.push_back(Level::kName);
  }
  void OnMapEnd() override {
    levels_.pop_back();
    check({}, builder_.end_map());
    value_taken();
  }

 private:
  enum class Level : unsigned char { kList, kName, kValue };

  bool awaits_name() const { return !levels_.empty() && levels_.back() == Level::kName; }
  void value_taken() {
    if (!levels_.empty() && levels_.back() == Level::kValue) levels_.back() = Level::kName;
  }
  void scalar(const YAML::Mark& mark, const std::string& text, bool is_text) {
    if (awaits_name()) {
      levels_.back() = Level::kValue;
      check(mark, builder_.name(text));
      return;
    }
    check(mark, builder_.scalar(text, is_text));
    value_taken();
  }
  void no(const YAML::Mark& mark, const std::string& what) { check(mark, builder_.fail(what + " where none can be")); }
  void check(const YAML::Mark& mark, bool goes_on) {
    if (goes_on) return;
    line_ = mark.line + 1;
    throw Stopped();
  }

  DumpBuilder& builder_;
  std::vector<Level> levels_;
  int line_ = 0;

 public:
  int line() const { return line_; }
};

}  // namespace

std::unique_ptr<DumpWriter> make_yaml_dump_writer(std::ostream& out) { return std::make_unique<YamlDumpWriter>(out); }

Status read_yaml_dump(std::istream& in, DumpBuilder& builder) {
  Events events(builder);
  try {
    YAML::Parser parser(in);
    if (!parser.HandleNextDocument(events)) builder.fail("an empty file");
    if (builder.error().ok() && parser) builder.fail("more than one document");
  } catch (const Stopped&) {
    if (builder.error().code() == Code::kInvalidArgument && events.line() > 0) {
      return Status(Code::kInvalidArgument, "line " + std::to_string(events.line()) + ": " + builder.error().text());
    }
  } catch (const YAML::Exception& error) {
    builder.fail("no YAML at line " + std::to_string(error.mark.line + 1) + ": " + error.msg);
  }
  return builder.finish();
}

}  // namespace kv::kvctl
