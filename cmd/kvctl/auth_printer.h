// How answers about users and roles look in each output format. -w table there is none, as in etcdctl.
#pragma once

#include <iosfwd>
#include <string_view>

#include "client/auth.h"
#include "kvctl/terminal.h"

namespace kv::kvctl {

class AuthPrinter {
 public:
  // `format` is one of simple, fields, json and protobuf; the stream outlives the printer. With a terminal, the lists
  // of the simple format are tables that fit it.
  AuthPrinter(std::string_view format, std::ostream& out, const Terminal* terminal = nullptr)
      : format_(format), out_(out), terminal_(terminal) {}
  static bool knows(std::string_view format);

  // What was done, in the words of the simple format, and the answer's header in the others.
  void done(std::string_view words, const client::AuthResponse& response);
  void status(const client::AuthStatusResponse& response);
  void user(std::string_view name, const client::NamesResponse& roles);
  void users(const client::NamesResponse& users);
  void role(std::string_view name, const client::RoleGetResponse& response);
  void roles(const client::NamesResponse& roles);

 private:
  void fields_header(const client::ResponseHeader& header);
  void list(std::string_view heading, const client::NamesResponse& response);
  void names(std::string_view json_name, std::string_view field_name, const client::NamesResponse& response);

  const std::string_view format_;
  std::ostream& out_;
  const Terminal* const terminal_;
};

}  // namespace kv::kvctl
