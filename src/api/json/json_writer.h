// Protocol buffers as JSON, in the words of etcd's gateway (protojson with proto names): fields under their names in
// the .proto and in its order, 64-bit integers as strings, bytes as standard base64 with padding, enumerators by name,
// and nothing for a field that has its default, except a member of a oneof, which is there when it is set.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

namespace kv::api {

void append_json(const google::protobuf::Message& message, std::string& out);
// With the quotes. What is no UTF-8 becomes U+FFFD.
void append_json_string(std::string_view text, std::string& out);

// True when the codec knows all types of fields that the message can hold: no maps, floating points, groups or
// Google's well-known types, which no call of etcd's uses.
bool json_can_carry(const google::protobuf::Descriptor& type);

}  // namespace kv::api
