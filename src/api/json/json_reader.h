// JSON as protocol buffers, by the rules of etcd's gateway (protojson, unknown fields ignored): names as in the .proto
// or in camelCase, integers as numbers or strings, enumerators by name or number, bytes as base64 of either alphabet,
// null for "not set"; a field that comes twice, a second member of a oneof, a value of another type or out of range
// are errors.
#pragma once

#include <google/protobuf/message.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kv::api {

// Messages inside each other; as deep as protobuf's own parser goes.
constexpr int kMaxJsonDepth = 100;

// Reads one JSON object, and nothing but white space around it, into an empty message. InvalidArgument with what is
// wrong and where.
Status read_json(std::string_view text, google::protobuf::Message& into);
// Reads the first value of a body, as etcd's gateway does for a call that takes one message: what follows it is not
// looked at, and an empty body is an empty message.
Status read_first_json(std::string_view body, google::protobuf::Message& into);

// Cuts a body that comes in pieces into the JSON values that stand in it one after another. It only counts brackets
// and quotes: whether a value is good is read_json's matter.
class JsonSplitter {
 public:
  void feed(std::string_view piece) { text_ += piece; }
  // The next complete value; false when there is none yet. `value` is valid until the next call of anything.
  bool next(std::string_view& value);
  // The body has ended: what is left is a value too, if there is anything. As next().
  bool last(std::string_view& value);
  // Bytes of what is not yet given away.
  size_t buffered() const { return text_.size() - start_; }

 private:
  void drop_given();

  std::string text_;
  size_t start_ = 0;  // of the value that is being looked at
  size_t at_ = 0;     // looked at so far
  size_t given_ = 0;  // up to here by the last call
  size_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool begun_ = false;
};

}  // namespace kv::api
