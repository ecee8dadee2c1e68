#include "kvctl/dump_builder.h"

#include <utility>

#include "kvctl/go_format.h"
#include "kvctl/terminal.h"

namespace kv::kvctl {
namespace {

// The bytes of base64 (RFC 4648, with padding); false for other text.
bool from_base64(std::string_view text, std::string& out) {
  out.clear();
  if (text.size() % 4 != 0) return false;
  for (size_t i = 0; i < text.size(); i += 4) {
    uint32_t group = 0;
    size_t padding = 0;
    for (size_t j = 0; j < 4; ++j) {
      const char c = text[i + j];
      int digit = c >= 'A' && c <= 'Z'   ? c - 'A'
                  : c >= 'a' && c <= 'z' ? c - 'a' + 26
                  : c >= '0' && c <= '9' ? c - '0' + 52
                  : c == '+'             ? 62
                  : c == '/'             ? 63
                                         : -1;
      if (c == '=' && j >= 2 && i + 4 == text.size()) {
        ++padding;
        digit = 0;
      } else if (padding > 0) {
        return false;
      }
      if (digit < 0) return false;
      group = group << 6 | static_cast<uint32_t>(digit);
    }
    for (size_t j = 0; j < 3 - padding; ++j) out += static_cast<char>(group >> (16 - 8 * j) & 0xff);
  }
  return true;
}

}  // namespace

bool DumpBuilder::fail(std::string what) {
  if (error_.ok()) {
    if (entries_ > 0) what += " (behind " + std::to_string(entries_) + " keys)";
    error_ = Status(Code::kInvalidArgument, std::move(what));
  }
  return false;
}

bool DumpBuilder::begin_map() {
  if (place_ == Place::kOutside) {
    place_ = Place::kTop;
    return true;
  }
  if (place_ != Place::kKeys) return fail("an object where none can be");
  place_ = Place::kEntry;
  entry_ = {};
  has_key_ = has_value_ = false;
  return true;
}

bool DumpBuilder::end_map() {
  if (place_ == Place::kTop) {
    place_ = Place::kOver;
    return true;
  }
  if (!has_key_) return fail("an entry without a key");
  if (!has_value_) return fail("key " + go_quote(entry_.key) + " has no value");
  ++entries_;
  place_ = Place::kKeys;
  if (Status taken = take_(std::exchange(entry_, {})); !taken.ok()) {
    error_ = std::move(taken);
    return false;
  }
  return true;
}

bool DumpBuilder::begin_list() {
  if (place_ == Place::kOutside) {
    bare_list_ = true;
  } else if (place_ != Place::kTop || name_ != "keys") {
    return fail("a list where none can be");
  }
  place_ = Place::kKeys;
  return true;
}

bool DumpBuilder::end_list() {
  place_ = bare_list_ ? Place::kOver : Place::kTop;
  return true;
}

bool DumpBuilder::name(std::string text) {
  name_ = std::move(text);
  return true;
}

bool DumpBuilder::number(const std::string& text, int64_t& into) {
  const auto parsed = go_parse_int(text, 10);
  if (!parsed.ok() || parsed.value < 0) return fail(name_ + " is no number: " + go_quote(text));
  into = parsed.value;
  return true;
}

bool DumpBuilder::scalar(std::string text, bool is_text) {
  if (place_ == Place::kTop) return set_top(text);
  if (place_ == Place::kEntry) return set_entry(text, is_text);
  return fail("no export of kvctl: " + go_quote(text.substr(0, 40)) + " where keys should be");
}

bool DumpBuilder::set_top(const std::string& text) {
  int64_t n = 0;
  if (name_ == "kvctl_export") {
    if (!number(text, n)) return false;
    if (n != kDumpVersion) return fail("version " + text + " of the format is not known: take a newer kvctl");
    has_head_ = true;
    return true;
  }
  if (name_ == "revision") return number(text, n);
  if (name_ == "prefix" || name_ == "prefix_base64") return true;
  if (name_ == "count") return number(text, announced_);
  if (name_ == "keys" && text.empty()) return true;  // YAML's empty list
  return fail("unknown field " + go_quote(name_));
}

bool DumpBuilder::set_entry(const std::string& text, bool is_text) {
  if (name_ == "lease") {
    const auto parsed = go_parse_int(text, 16);
    if (!parsed.ok()) return fail("lease is no hexadecimal number: " + go_quote(text));
    entry_.lease = parsed.value;
    return true;
  }
  if (name_ == "ttl") return number(text, entry_.ttl_s);
  const bool is_base64 = name_.ends_with("_base64");
  const std::string_view field = std::string_view(name_).substr(0, name_.size() - (is_base64 ? 7 : 0));
  if (field != "key" && field != "value") return fail("unknown field " + go_quote(name_));
  if (!is_text) return fail(name_ + " must be text in quotes, not " + text);
  bool& has = field == "key" ? has_key_ : has_value_;
  if (has) return fail("two " + std::string(field) + "s in one entry");
  has = true;
  std::string& into = field == "key" ? entry_.key : entry_.value;
  if (!is_base64) {
    into = text;
  } else if (!from_base64(text, into)) {
    return fail(name_ + " is no base64: " + go_quote(text.substr(0, 40)));
  }
  if (field == "key" && into.empty()) return fail("an empty key");
  return true;
}

Status DumpBuilder::finish() {
  if (!error_.ok()) return error_;
  if (place_ != Place::kOver) fail("the file ends too early");
  if (!bare_list_ && !has_head_) fail("no export of kvctl: \"kvctl_export\" is missing");
  if (announced_ >= 0 && announced_ != entries_) {
    fail("the file says that it has " + std::to_string(announced_) + " keys, and has " + std::to_string(entries_));
  }
  return error_;
}

}  // namespace kv::kvctl
