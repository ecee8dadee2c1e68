#include "api/json/json_writer.h"

#include <google/protobuf/descriptor.h>

#include <charconv>
#include <set>

#include "api/json/base64.h"
#include "base/check.h"
#include "base/utf8.h"

namespace kv::api {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

template <typename Integer>
void append_integer(Integer value, std::string& out) {
  char digits[24];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, end);
}

template <typename Integer>
void append_quoted(Integer value, std::string& out) {
  out += '"';
  append_integer(value, out);
  out += '"';
}

void append_enumerator(const FieldDescriptor& field, int number, std::string& out) {
  const EnumValueDescriptor* const value = field.enum_type()->FindValueByNumber(number);
  if (value == nullptr) return append_integer(number, out);
  out += '"';
  out += value->name();
  out += '"';
}

// One value: of a singular field (index < 0), or an element of a repeated one.
void append_value(const Message& message, const Reflection& reflection, const FieldDescriptor& field, int index,
                  std::string& out) {
  const bool one = index < 0;
  const auto integer = [&](auto get, auto get_repeated) {
    return one ? (reflection.*get)(message, &field) : (reflection.*get_repeated)(message, &field, index);
  };
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return append_integer(integer(&Reflection::GetInt32, &Reflection::GetRepeatedInt32), out);
    case FieldDescriptor::CPPTYPE_UINT32:
      return append_integer(integer(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32), out);
    case FieldDescriptor::CPPTYPE_INT64:
      return append_quoted(integer(&Reflection::GetInt64, &Reflection::GetRepeatedInt64), out);
    case FieldDescriptor::CPPTYPE_UINT64:
      return append_quoted(integer(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64), out);
    case FieldDescriptor::CPPTYPE_BOOL:
      out += integer(&Reflection::GetBool, &Reflection::GetRepeatedBool) ? "true" : "false";
      return;
    case FieldDescriptor::CPPTYPE_ENUM:
      return append_enumerator(field, integer(&Reflection::GetEnumValue, &Reflection::GetRepeatedEnumValue), out);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return append_json(
          one ? reflection.GetMessage(message, &field) : reflection.GetRepeatedMessage(message, &field, index), out);
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      const std::string& text = one ? reflection.GetStringReference(message, &field, &scratch)
                                    : reflection.GetRepeatedStringReference(message, &field, index, &scratch);
      if (field.type() == FieldDescriptor::TYPE_BYTES) return append_base64(text, out);
      return append_json_string(text, out);
    }
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE: break;
  }
  KV_CHECK(false, "no JSON for " + field.full_name());
}

bool can_carry(const Descriptor& type, std::set<const Descriptor*>& seen) {
  if (!seen.insert(&type).second) return true;
  if (type.file()->package() == "google.protobuf") return false;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.is_map() || field.type() == FieldDescriptor::TYPE_GROUP) return false;
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) return false;
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) return false;
    if (field.message_type() != nullptr && !can_carry(*field.message_type(), seen)) return false;
  }
  return true;
}

}  // namespace

void append_json(const Message& message, std::string& out) {
  const Descriptor& type = *message.GetDescriptor();
  const Reflection& reflection = *message.GetReflection();
  char before = '{';
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const int elements = field.is_repeated() ? reflection.FieldSize(message, &field) : 0;
    if (field.is_repeated() ? elements == 0 : !reflection.HasField(message, &field)) continue;
    out += before;
    before = ',';
    out += '"';
    out += field.name();
    out += "\":";
    if (!field.is_repeated()) {
      append_value(message, reflection, field, -1, out);
      continue;
    }
    for (int n = 0; n < elements; ++n) {
      out += n == 0 ? '[' : ',';
      append_value(message, reflection, field, n, out);
    }
    out += ']';
  }
  if (before == '{') out += '{';
  out += '}';
}

void append_json_string(std::string_view text, std::string& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  size_t plain = 0;  // from here to `at` nothing needs an escape
  size_t at = 0;
  const auto flush = [&] { out.append(text.substr(plain, at - plain)); };
  while (at < text.size()) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c >= 0x80) {
      if (const size_t length = utf8_length(text.substr(at)); length > 0) {
        at += length;
        continue;
      }
      flush();
      out += "\xef\xbf\xbd";
    } else if (c == '"' || c == '\\') {
      flush();
      out += '\\';
      out += text[at];
    } else if (c < ' ') {
      flush();
      switch (c) {
        case '\b': out += "\\b"; break;
        case '\f': out += "\\f"; break;
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\t': out += "\\t"; break;
        default:
          out += "\\u00";
          out += kHex[c >> 4];
          out += kHex[c & 15];
      }
    } else {
      ++at;
      continue;
    }
    plain = ++at;
  }
  flush();
  out += '"';
}

bool json_can_carry(const Descriptor& type) {
  std::set<const Descriptor*> seen;
  return can_carry(type, seen);
}

}  // namespace kv::api
