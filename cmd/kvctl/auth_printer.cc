#include "kvctl/auth_printer.h"

#include <ostream>

#include "client/convert.h"
#include "kvctl/go_format.h"
#include "kvctl/terminal_table.h"

namespace kv::kvctl {
namespace {

using client::Permission;

std::string_view kind_name(Permission::Kind kind) {
  switch (kind) {
    case Permission::Kind::kRead: return "READ";
    case Permission::Kind::kWrite: return "WRITE";
    case Permission::Kind::kReadWrite: return "READWRITE";
  }
  return "READWRITE";
}

// With a comma in front of each field but the first.
class Object {
 public:
  void raw(std::string_view name, std::string_view json) {
    out_ += out_.size() > 1 ? ",\"" : "\"";
    out_.append(name).append("\":").append(json);
  }
  void number(std::string_view name, auto value) {
    if (value != 0) raw(name, std::to_string(value));
  }
  std::string done() { return out_ + "}"; }

 private:
  std::string out_ = "{";
};

std::string json(const client::ResponseHeader& from) {
  Object o;
  o.number("cluster_id", from.cluster_id);
  o.number("member_id", from.member_id);
  o.number("revision", from.revision);
  o.number("raft_term", from.raft_term);
  return o.done();
}

std::string json(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out.append(out.empty() ? "[" : ",").append(go_json_string(name));
  return out + "]";
}

void print_permission(std::ostream& out, const Permission& p) {
  out << '\t';
  if (p.range_end.empty()) {
    out << p.key;
  } else {
    out << '[' << p.key << ", ";
    if (p.range_end == client::unbounded()) {
      out << "<open ended>";
    } else {
      out << p.range_end << ')';
    }
    if (client::prefix_end(p.key) == p.range_end) out << " (prefix " << p.key << ')';
  }
  out << '\n';
}

}  // namespace

bool AuthPrinter::knows(std::string_view format) {
  return format == "simple" || format == "fields" || format == "json" || format == "protobuf";
}

void AuthPrinter::fields_header(const client::ResponseHeader& header) {
  out_ << "\"ClusterID\" : " << header.cluster_id << "\n\"MemberID\" : " << header.member_id
       << "\n\"Revision\" : " << header.revision << "\n\"RaftTerm\" : " << header.raft_term << '\n';
}

void AuthPrinter::done(std::string_view words, const client::AuthResponse& response) {
  if (format_ == "simple") {
    out_ << words << '\n';
  } else if (format_ == "fields") {
    fields_header(response.header);
  } else if (format_ == "json") {
    Object o;
    o.raw("header", json(response.header));
    out_ << o.done() << '\n';
  } else {
    // All of these answers are alike: a header, and nothing else.
    etcdserverpb::AuthUserAddResponse message;
    *message.mutable_header() = client::to_proto(response.header);
    out_ << message.SerializeAsString();
  }
}

void AuthPrinter::status(const client::AuthStatusResponse& response) {
  if (format_ == "simple") {
    out_ << "Authentication Status: " << (response.enabled ? "true" : "false")
         << "\nAuthRevision: " << response.revision << '\n';
  } else if (format_ == "fields") {
    fields_header(response.header);
    out_ << "\"Enabled\" : " << (response.enabled ? "true" : "false") << "\n\"AuthRevision\" : " << response.revision
         << '\n';
  } else if (format_ == "json") {
    Object o;
    o.raw("header", json(response.header));
    if (response.enabled) o.raw("enabled", "true");
    o.number("authRevision", response.revision);
    out_ << o.done() << '\n';
  } else {
    etcdserverpb::AuthStatusResponse message;
    *message.mutable_header() = client::to_proto(response.header);
    message.set_enabled(response.enabled);
    message.set_authrevision(response.revision);
    out_ << message.SerializeAsString();
  }
}

void AuthPrinter::names(std::string_view json_name, std::string_view field_name,
                        const client::NamesResponse& response) {
  if (format_ == "fields") {
    fields_header(response.header);
    out_ << '"' << field_name << "\" :";
    for (const std::string& name : response.names) out_ << ' ' << go_quote(name);
    out_ << '\n';
  } else if (format_ == "json") {
    Object o;
    o.raw("header", json(response.header));
    if (!response.names.empty()) o.raw(json_name, json(response.names));
    out_ << o.done() << '\n';
  } else {
    // Lists of users, of roles, and of a user's roles are alike: a header, and names in field 2.
    etcdserverpb::AuthRoleListResponse message;
    *message.mutable_header() = client::to_proto(response.header);
    for (const std::string& name : response.names) message.add_roles(name);
    out_ << message.SerializeAsString();
  }
}

void AuthPrinter::user(std::string_view name, const client::NamesResponse& roles) {
  if (format_ != "simple") return names("roles", "Roles", roles);
  out_ << "User: " << name << "\nRoles:";
  for (const std::string& role : roles.names) out_ << ' ' << role;
  out_ << '\n';
}

void AuthPrinter::list(std::string_view heading, const client::NamesResponse& response) {
  if (terminal_ == nullptr) {
    for (const std::string& name : response.names) out_ << name << '\n';
    return;
  }
  Rows table{{std::string(heading)}, {}};
  for (const std::string& name : response.names) table.rows.push_back({name});
  out_ << terminal_table(table, *terminal_);
}

void AuthPrinter::users(const client::NamesResponse& users) {
  if (format_ != "simple") return names("users", "Users", users);
  list("user", users);
}

void AuthPrinter::roles(const client::NamesResponse& roles) {
  if (format_ != "simple") return names("roles", "Roles", roles);
  list("role", roles);
}

void AuthPrinter::role(std::string_view name, const client::RoleGetResponse& response) {
  if (format_ == "simple" && terminal_ != nullptr) {
    Rows table{{"permits", "key", "to"}, {}};
    for (const Permission& p : response.permissions) {
      const bool prefix = !p.range_end.empty() && client::prefix_end(p.key) == p.range_end;
      table.rows.push_back({std::string(kind_name(p.kind)), prefix ? p.key + "*" : p.key,
                            prefix                               ? "(prefix)"
                            : p.range_end == client::unbounded() ? "(open ended)"
                                                                 : p.range_end});
    }
    out_ << "Role " << Paint(*terminal_)(Style::kKey, name) << '\n' << terminal_table(table, *terminal_);
  } else if (format_ == "simple") {
    out_ << "Role " << name << "\nKV Read:\n";
    for (const Permission& p : response.permissions)
      if (p.kind != Permission::Kind::kWrite) print_permission(out_, p);
    out_ << "KV Write:\n";
    for (const Permission& p : response.permissions)
      if (p.kind != Permission::Kind::kRead) print_permission(out_, p);
  } else if (format_ == "fields") {
    fields_header(response.header);
    for (const Permission& p : response.permissions) {
      out_ << "\"PermType\" :  " << kind_name(p.kind) << "\n\"Key\" : " << go_quote(p.key)
           << "\n\"RangeEnd\" : " << go_quote(p.range_end) << '\n';
    }
  } else if (format_ == "json") {
    Object o;
    o.raw("header", json(response.header));
    std::string list;
    for (const Permission& p : response.permissions) {
      Object one;
      one.number("permType", static_cast<int>(p.kind));
      if (!p.key.empty()) one.raw("key", '"' + base64(p.key) + '"');
      if (!p.range_end.empty()) one.raw("range_end", '"' + base64(p.range_end) + '"');
      list.append(list.empty() ? "[" : ",").append(one.done());
    }
    if (!list.empty()) o.raw("perm", list + "]");
    out_ << o.done() << '\n';
  } else {
    etcdserverpb::AuthRoleGetResponse message;
    *message.mutable_header() = client::to_proto(response.header);
    for (const Permission& p : response.permissions) {
      auto* perm = message.add_perm();
      perm->set_permtype(static_cast<authpb::Permission::Type>(p.kind));
      perm->set_key(p.key);
      perm->set_range_end(p.range_end);
    }
    out_ << message.SerializeAsString();
  }
}

}  // namespace kv::kvctl
