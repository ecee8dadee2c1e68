#include "api/json/json_reader.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "api/json/base64.h"
#include "base/utf8.h"

namespace kv::api {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kMaxSkippedDepth = 1000;  // of values of unknown fields

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A number as JSON writes it, taken apart: the digits, and how many of them stand behind the point.
struct Decimal {
  bool negative = false;
  std::string digits;
  int64_t scale = 0;  // value = digits / 10^scale
};

// The length of the JSON number that `text` begins with; 0 when there is none.
size_t number_length(std::string_view text, Decimal* out) {
  size_t at = 0;
  const auto digits = [&] {
    const size_t from = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    if (out != nullptr) out->digits.append(text.substr(from, at - from));
    return at - from;
  };
  if (at < text.size() && text[at] == '-') {
    if (out != nullptr) out->negative = true;
    ++at;
  }
  const bool zero = at < text.size() && text[at] == '0';
  const size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return 0;
  if (at < text.size() && text[at] == '.') {
    ++at;
    const size_t fraction = digits();
    if (fraction == 0) return 0;
    if (out != nullptr) out->scale = static_cast<int64_t>(fraction);
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    bool down = false;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) down = text[at++] == '-';
    const size_t from = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    if (at == from) return 0;
    int64_t exponent = 0;
    const auto [end, error] = std::from_chars(text.data() + from, text.data() + at, exponent);
    if (error != std::errc() || exponent > INT32_MAX) exponent = INT32_MAX;
    if (out != nullptr) out->scale += down ? exponent : -exponent;
  }
  return at;
}

// "12", "1.2e1" and "120e-1" are the same integer; "1.5" is none, nor is what does not fit.
template <typename Integer>
std::optional<Integer> to_integer(std::string_view text) {
  Decimal number;
  if (text.empty() || number_length(text, &number) != text.size()) return std::nullopt;
  number.digits.erase(0, std::min(number.digits.find_first_not_of('0'), number.digits.size()));
  while (number.scale > 0 && !number.digits.empty()) {
    if (number.digits.back() != '0') return std::nullopt;
    number.digits.pop_back();
    --number.scale;
  }
  if (number.digits.empty()) return Integer{0};
  constexpr int64_t kMostDigits = 20;  // of 64 bits
  if (static_cast<int64_t>(number.digits.size()) - number.scale > kMostDigits) return std::nullopt;
  number.digits.append(static_cast<size_t>(-number.scale), '0');
  if (number.negative) number.digits.insert(0, "-");
  Integer value{};
  const char* const end = number.digits.data() + number.digits.size();
  const auto [parsed, error] = std::from_chars(number.digits.data(), end, value);
  if (error != std::errc() || parsed != end) return std::nullopt;
  return value;
}

std::string_view kind_name(const FieldDescriptor& field) {
  return field.type() == FieldDescriptor::TYPE_BYTES ? "bytes" : field.cpp_type_name();
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Status read(Message& into, bool alone) {
    space();
    if (!alone && at_ == text_.size()) return {};
    message(into, 1);
    space();
    if (alone && good() && at_ < text_.size()) unexpected();
    return error_;
  }

 private:
  bool good() const { return error_.ok(); }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }

  std::string place(size_t at) const {
    const std::string_view before = text_.substr(0, at);
    const size_t line = 1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n'));
    const size_t newline = before.rfind('\n');
    const size_t column = newline == std::string_view::npos ? at + 1 : at - newline;
    return "(line " + std::to_string(line) + ":" + std::to_string(column) + ")";
  }
  void wrong(size_t at, const std::string& what) {
    if (good()) error_ = Status(Code::kInvalidArgument, "proto: " + place(at) + ": " + what);
  }
  void unexpected() {
    if (!good()) return;
    if (at_ >= text_.size()) {
      error_ = Status(Code::kInvalidArgument, "unexpected EOF");
      return;
    }
    const size_t length = decode_utf8(text_.substr(at_)).length;
    std::string token;
    append_shown(text_.substr(at_, length), token);
    error_ = Status(Code::kInvalidArgument, "proto: syntax error " + place(at_) + ": unexpected token " + token);
  }
  // What a client sent, short and printable.
  static void append_shown(std::string_view raw, std::string& out) {
    constexpr size_t kShown = 64;
    for (const char c : raw.substr(0, kShown)) {
      const auto byte = static_cast<unsigned char>(c);
      out += byte < 0x20 || byte >= 0x7f ? '?' : c;
    }
    if (raw.size() > kShown) out += "...";
  }
  void invalid_value(const FieldDescriptor& field, size_t from) {
    std::string text = "invalid value for ";
    text += kind_name(field);
    text += " field " + field.json_name() + ": ";
    append_shown(text_.substr(from, at_ - from), text);
    wrong(from, text);
  }

  bool take(char c) {
    space();
    if (peek() != c || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }
  void need(char c) {
    if (good() && !take(c)) unexpected();
  }
  bool word(std::string_view expected) {
    if (!text_.substr(at_).starts_with(expected)) return false;
    at_ += expected.size();
    return true;
  }

  std::string string();
  void append_escape(std::string& out);
  char32_t hex4();

  void message(Message& into, int depth);
  void field(Message& into, const FieldDescriptor& field, int depth);
  // `element`: add one to a repeated field.
  void value(Message& into, const FieldDescriptor& field, bool element, int depth);
  template <typename Integer>
  std::optional<Integer> integer(const FieldDescriptor& field);
  std::optional<int> enumerator(const FieldDescriptor& field);
  void skip(int depth);

  const std::string_view text_;
  size_t at_ = 0;
  Status error_;
};

char32_t Reader::hex4() {
  char32_t code = 0;
  const char* const from = text_.data() + at_;
  const size_t room = std::min<size_t>(text_.size() - at_, 4);
  uint32_t parsed = 0;
  const auto [end, error] = std::from_chars(from, from + room, parsed, 16);
  if (room < 4 || error != std::errc() || end != from + 4) {
    wrong(at_, "invalid escape code in string");
    return 0;
  }
  code = parsed;
  at_ += 4;
  return code;
}

void Reader::append_escape(std::string& out) {
  const size_t from = at_;
  const char c = peek();
  ++at_;
  switch (c) {
    case '"':
    case '\\':
    case '/': out += c; return;
    case 'b': out += '\b'; return;
    case 'f': out += '\f'; return;
    case 'n': out += '\n'; return;
    case 'r': out += '\r'; return;
    case 't': out += '\t'; return;
    case 'u': break;
    default: --at_; return wrong(from, "invalid escape code in string");
  }
  char32_t code = hex4();
  if (code >= 0xd800 && code < 0xe000) {
    const bool pair = code < 0xdc00 && word("\\u");
    const char32_t low = pair ? hex4() : 0;
    if (low < 0xdc00 || low >= 0xe000) return wrong(from, "invalid escape code in string");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  if (good()) append_utf8(code, out);
}

std::string Reader::string() {
  std::string out;
  need('"');
  while (good()) {
    const size_t plain = at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' &&
           static_cast<unsigned char>(text_[at_]) >= ' ' && static_cast<unsigned char>(text_[at_]) < 0x80) {
      ++at_;
    }
    out.append(text_.substr(plain, at_ - plain));
    if (at_ >= text_.size()) {
      unexpected();
    } else if (const char c = text_[at_]; c == '"') {
      ++at_;
      return out;
    } else if (c == '\\') {
      ++at_;
      append_escape(out);
    } else if (static_cast<unsigned char>(c) < ' ') {
      wrong(at_, "invalid character in string");
    } else {
      const size_t length = utf8_length(text_.substr(at_));
      if (length == 0) wrong(at_, "invalid UTF-8 in string");
      out.append(text_.substr(at_, length));
      at_ += length;
    }
  }
  return out;
}

void Reader::skip(int depth) {
  space();
  if (depth > kMaxSkippedDepth) return wrong(at_, "exceeded max recursion depth");
  const char c = peek();
  if (c == '"') {
    string();
  } else if (c == '{' || c == '[') {
    const char close = c == '{' ? '}' : ']';
    ++at_;
    if (take(close)) return;
    do {
      if (c == '{') {
        space();
        string();
        need(':');
      }
      if (good()) skip(depth + 1);
    } while (good() && take(','));
    need(close);
  } else if (const size_t length = number_length(text_.substr(at_), nullptr); length > 0) {
    at_ += length;
  } else if (!word("true") && !word("false") && !word("null")) {
    unexpected();
  }
}

template <typename Integer>
std::optional<Integer> Reader::integer(const FieldDescriptor& field) {
  const size_t from = at_;
  std::optional<Integer> out;
  if (peek() == '"') {
    const std::string digits = string();
    if (!good()) return std::nullopt;
    out = to_integer<Integer>(digits);
  } else {
    const size_t length = number_length(text_.substr(at_), nullptr);
    out = to_integer<Integer>(text_.substr(at_, length));
    at_ += length;
    if (length == 0) skip(0);  // to show what stands there
  }
  if (!out) invalid_value(field, from);
  return out;
}

std::optional<int> Reader::enumerator(const FieldDescriptor& field) {
  if (peek() != '"') return integer<int32_t>(field);
  const std::string name = string();
  if (!good()) return std::nullopt;
  const EnumValueDescriptor* const known = field.enum_type()->FindValueByName(name);
  if (known == nullptr) return std::nullopt;  // ignored, as an unknown field is
  return known->number();
}

void Reader::value(Message& into, const FieldDescriptor& field, bool element, int depth) {
  const Reflection& reflection = *into.GetReflection();
  space();
  const size_t from = at_;
  const auto put = [&](const auto& made, auto set, auto add) {
    if (!made || !good()) return;
    element ? (reflection.*add)(&into, &field, *made) : (reflection.*set)(&into, &field, *made);
  };
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return put(integer<int32_t>(field), &Reflection::SetInt32, &Reflection::AddInt32);
    case FieldDescriptor::CPPTYPE_UINT32:
      return put(integer<uint32_t>(field), &Reflection::SetUInt32, &Reflection::AddUInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return put(integer<int64_t>(field), &Reflection::SetInt64, &Reflection::AddInt64);
    case FieldDescriptor::CPPTYPE_UINT64:
      return put(integer<uint64_t>(field), &Reflection::SetUInt64, &Reflection::AddUInt64);
    case FieldDescriptor::CPPTYPE_ENUM:
      return put(enumerator(field), &Reflection::SetEnumValue, &Reflection::AddEnumValue);
    case FieldDescriptor::CPPTYPE_BOOL: {
      std::optional<bool> made;
      if (word("true")) {
        made = true;
      } else if (word("false")) {
        made = false;
      } else {
        skip(0);
        invalid_value(field, from);
      }
      return put(made, &Reflection::SetBool, &Reflection::AddBool);
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      if (peek() != '"') {
        skip(0);
        return invalid_value(field, from);
      }
      std::string text = string();
      if (good() && field.type() == FieldDescriptor::TYPE_BYTES) {
        std::optional<std::string> bytes = decode_base64(text);
        if (!bytes) return invalid_value(field, from);
        text = *std::move(bytes);
      }
      if (!good()) return;
      if (element) return reflection.AddString(&into, &field, std::move(text));
      return reflection.SetString(&into, &field, std::move(text));
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return message(element ? *reflection.AddMessage(&into, &field) : *reflection.MutableMessage(&into, &field),
                     depth + 1);
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE: break;
  }
  wrong(from, "no JSON for field " + field.json_name());
}

void Reader::field(Message& into, const FieldDescriptor& field, int depth) {
  space();
  if (word("null")) return;
  if (!field.is_repeated()) return value(into, field, false, depth);
  need('[');
  if (!good() || take(']')) return;
  do {
    value(into, field, true, depth);
  } while (good() && take(','));
  need(']');
}

void Reader::message(Message& into, int depth) {
  const Descriptor& type = *into.GetDescriptor();
  space();
  if (depth > kMaxJsonDepth) return wrong(at_, "exceeded max recursion depth");
  need('{');
  if (!good() || take('}')) return;
  std::vector<bool> seen(static_cast<size_t>(type.field_count()));
  do {
    space();
    const size_t from = at_;
    const std::string name = string();
    need(':');
    if (!good()) return;
    const FieldDescriptor* known = type.FindFieldByName(name);
    for (int i = 0; known == nullptr && i < type.field_count(); ++i) {
      if (type.field(i)->json_name() == name) known = type.field(i);
    }
    if (known == nullptr) {
      skip(0);
      continue;
    }
    if (seen[static_cast<size_t>(known->index())]) return wrong(from, "duplicate field \"" + name + "\"");
    seen[static_cast<size_t>(known->index())] = true;
    const auto* const oneof = known->real_containing_oneof();
    space();
    if (oneof != nullptr && into.GetReflection()->HasOneof(into, oneof) && !text_.substr(at_).starts_with("null")) {
      return wrong(from, "error parsing \"" + name + "\", oneof " + oneof->full_name() + " is already set");
    }
    field(into, *known, depth);
  } while (good() && take(','));
  need('}');
}

}  // namespace

Status read_json(std::string_view text, Message& into) { return Reader(text).read(into, /*alone=*/true); }

Status read_first_json(std::string_view body, Message& into) { return Reader(body).read(into, /*alone=*/false); }

}  // namespace kv::api
