// auth, user, role: etcdctl's commands, in its words.
#include <cctype>
#include <istream>
#include <memory>
#include <ostream>
#include <utility>

#include "client/auth.h"
#include "kvctl/auth_printer.h"
#include "kvctl/client_options.h"
#include "kvctl/commands.h"
#include "kvctl/password_prompt.h"

namespace kv::kvctl {
namespace {

using client::Auth;
using client::AuthResponse;
using Arguments = std::vector<std::string>;

struct Tools {
  std::unique_ptr<Auth> auth;
  AuthPrinter printer;
  client::CallOptions call;
};

std::variant<Tools, Exit> tools_for(const Context& context) {
  const std::string& format = context.globals.write_out;
  if (!AuthPrinter::knows(format)) {
    if (format == "table") {
      return bad_feature("table not supported as output format",
                         "This is printed as simple, fields, json or protobuf.");
    }
    return bad_feature("unsupported output format", "--write-out takes simple, fields, json, protobuf or table.");
  }
  auto options = client_options(context, context.globals.endpoints);
  if (auto* exit = std::get_if<Exit>(&options)) return std::move(*exit);
  auto auth = Auth::create(std::get<ClientOptions>(std::move(options)));
  if (!auth.ok()) return bad_args(auth.status().text());
  return Tools{*std::move(auth),
               AuthPrinter(format, context.out, context.for_people() ? &context.out_terminal : nullptr),
               context.call_options()};
}

// Runs `command` with the tools, where there are any.
Exit with_tools(const Context& context, const std::function<Exit(Tools&)>& command) {
  auto tools = tools_for(context);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  return command(std::get<Tools>(tools));
}

Exit say(Tools& tools, std::string_view words, const Result<AuthResponse>& response) {
  if (!response.ok()) return failed(response.status());
  tools.printer.done(words, *response);
  return {};
}

// ---- auth ----

Exit run_enable(const Context& context, const Arguments& arguments) {
  if (!arguments.empty()) return bad_args("auth enable command does not accept any arguments");
  return with_tools(context, [&](Tools& tools) -> Exit {
    auto enabled = tools.auth->enable(tools.call);
    // As etcdctl does: the role is made for a root user who has none.
    if (!enabled.ok() && enabled.status().text() == "etcdserver: root user does not have root role") {
      if (const auto made = tools.auth->role_add("root", tools.call);
          !made.ok() && made.status().text() != "etcdserver: role name already exists")
        return failed(made.status());
      if (const auto granted = tools.auth->user_grant_role("root", "root", tools.call); !granted.ok())
        return failed(granted.status());
      enabled = tools.auth->enable(tools.call);
    }
    if (!enabled.ok()) return failed(enabled.status());
    context.out << "Authentication Enabled\n";
    return {};
  });
}

Exit run_disable(const Context& context, const Arguments& arguments) {
  if (!arguments.empty()) return bad_args("auth disable command does not accept any arguments");
  return with_tools(context, [&](Tools& tools) -> Exit {
    if (const auto disabled = tools.auth->disable(tools.call); !disabled.ok()) return failed(disabled.status());
    context.out << "Authentication Disabled\n";
    return {};
  });
}

Exit run_status(const Context& context, const Arguments& arguments) {
  if (!arguments.empty()) return bad_args("auth status command does not accept any arguments");
  return with_tools(context, [&](Tools& tools) -> Exit {
    const auto status = tools.auth->status(tools.call);
    if (!status.ok()) return failed(status.status());
    tools.printer.status(*status);
    return {};
  });
}

// ---- user ----

// What is typed twice, so that a slip does not lock its owner out.
std::variant<std::string, Exit> new_password(const Context& context, const std::string& name, bool interactive) {
  std::string password;
  if (!interactive) {
    context.in >> password;
    return password;
  }
  const auto first = ask_password("Password of " + name + ": ", context.out);
  if (!first) {
    return bad_args("failed to ask password: standard input is no terminal",
                    "Give it with --new-user-password, or pipe it in with --interactive=false.");
  }
  if (first->empty()) return bad_args("empty password");
  const auto second = ask_password("Type password of " + name + " again for confirmation: ", context.out);
  if (!second || *first != *second) return bad_args("given passwords are different");
  return *first;
}

struct UserFlags {
  bool interactive = true;
  std::string password;
  bool no_password = false;
  bool detail = false;
};

Exit run_user_add(const Context& context, const UserFlags& flags, const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("user add command requires user name as its argument");
  std::string name = arguments[0];
  if (flags.no_password) {
    return with_tools(context, [&](Tools& tools) {
      return say(tools, "User " + name + " created", tools.auth->user_add_without_password(name, tools.call));
    });
  }
  std::string password = flags.password;
  if (password.empty()) {
    const size_t colon = name.find(':');
    if (colon != name.npos) {
      password = name.substr(colon + 1);
      name.resize(colon);
      if (name.empty()) return bad_args("empty user name is not allowed");
    } else {
      auto asked = new_password(context, name, flags.interactive);
      if (auto* exit = std::get_if<Exit>(&asked)) return std::move(*exit);
      password = std::get<std::string>(asked);
    }
  }
  return with_tools(context, [&](Tools& tools) {
    return say(tools, "User " + name + " created", tools.auth->user_add(name, password, tools.call));
  });
}

Exit run_user_delete(const Context& context, const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("user delete command requires user name as its argument");
  return with_tools(context, [&](Tools& tools) {
    return say(tools, "User " + arguments[0] + " deleted", tools.auth->user_delete(arguments[0], tools.call));
  });
}

Exit run_user_get(const Context& context, bool detail, const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("user get command requires user name as its argument");
  const std::string& name = arguments[0];
  return with_tools(context, [&](Tools& tools) -> Exit {
    const auto got = tools.auth->user_get(name, tools.call);
    if (!got.ok()) return failed(got.status());
    if (!detail) {
      tools.printer.user(name, *got);
      return {};
    }
    context.out << "User: " << name << '\n';
    for (const std::string& role : got->names) {
      context.out << '\n';
      const auto response = tools.auth->role_get(role, tools.call);
      if (!response.ok()) return failed(response.status());
      tools.printer.role(role, *response);
    }
    return {};
  });
}

Exit run_user_list(const Context& context, const Arguments& arguments) {
  if (!arguments.empty()) return bad_args("user list command requires no arguments");
  return with_tools(context, [&](Tools& tools) -> Exit {
    const auto users = tools.auth->user_list(tools.call);
    if (!users.ok()) return failed(users.status());
    tools.printer.users(*users);
    return {};
  });
}

Exit run_user_password(const Context& context, bool interactive, const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("user passwd command requires user name as its argument");
  const auto password = new_password(context, arguments[0], interactive);
  if (const auto* exit = std::get_if<Exit>(&password)) return *exit;
  return with_tools(context, [&](Tools& tools) {
    return say(tools, "Password updated",
               tools.auth->user_change_password(arguments[0], std::get<std::string>(password), tools.call));
  });
}

Exit run_grant_role(const Context& context, const Arguments& arguments) {
  if (arguments.size() != 2) return bad_args("user grant command requires user name and role name as its argument");
  return with_tools(context, [&](Tools& tools) {
    return say(tools, "Role " + arguments[1] + " is granted to user " + arguments[0],
               tools.auth->user_grant_role(arguments[0], arguments[1], tools.call));
  });
}

Exit run_revoke_role(const Context& context, const Arguments& arguments) {
  if (arguments.size() != 2) return bad_args("user revoke-role requires user name and role name as its argument");
  return with_tools(context, [&](Tools& tools) {
    return say(tools, "Role " + arguments[1] + " is revoked from user " + arguments[0],
               tools.auth->user_revoke_role(arguments[0], arguments[1], tools.call));
  });
}

// ---- role ----

Exit run_role_add(const Context& context, const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("role add command requires role name as its argument");
  return with_tools(context, [&](Tools& tools) {
    return say(tools, "Role " + arguments[0] + " created", tools.auth->role_add(arguments[0], tools.call));
  });
}

Exit run_role_delete(const Context& context, const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("role delete command requires role name as its argument");
  return with_tools(context, [&](Tools& tools) {
    return say(tools, "Role " + arguments[0] + " deleted", tools.auth->role_delete(arguments[0], tools.call));
  });
}

Exit run_role_get(const Context& context, const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("role get command requires role name as its argument");
  return with_tools(context, [&](Tools& tools) -> Exit {
    const auto response = tools.auth->role_get(arguments[0], tools.call);
    if (!response.ok()) return failed(response.status());
    tools.printer.role(arguments[0], *response);
    return {};
  });
}

Exit run_role_list(const Context& context, const Arguments& arguments) {
  if (!arguments.empty()) return bad_args("role list command requires no arguments");
  return with_tools(context, [&](Tools& tools) -> Exit {
    const auto roles = tools.auth->role_list(tools.call);
    if (!roles.ok()) return failed(roles.status());
    tools.printer.roles(*roles);
    return {};
  });
}

struct RangeFlags {
  bool prefix = false;
  bool from_key = false;
};
struct KeyRange {
  std::string key, range_end;
};

// `words` begins with the key. The empty key stands for the least one, as rights have it.
std::variant<KeyRange, Exit> range_of(const RangeFlags& flags, const Arguments& words, size_t at) {
  const size_t count = words.size() - at;
  if (flags.prefix && flags.from_key && (count == 1 || words[at].empty()))
    return bad_args("--from-key and --prefix flags are mutually exclusive");
  KeyRange range{words[at], ""};
  if (range.key.empty()) {
    range.key = std::string(1, '\0');
    if (flags.prefix || flags.from_key) range.range_end = client::unbounded();
    return range;
  }
  if (count == 1) {
    if (flags.prefix) range.range_end = client::prefix_end(range.key);
    if (flags.from_key) range.range_end = client::unbounded();
    return range;
  }
  if (flags.prefix) return bad_args("unexpected endkey argument with --prefix flag");
  if (flags.from_key) return bad_args("unexpected endkey argument with --from-key flag");
  range.range_end = words[at + 1];
  return range;
}

Exit run_grant_permission(const Context& context, const RangeFlags& flags, const Arguments& arguments) {
  if (arguments.size() < 3) {
    return bad_args("role grant command requires role name, permission type, and key [endkey] as its argument");
  }
  client::Permission permission;
  std::string kind = arguments[1];
  for (char& c : kind) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (kind == "READ") {
    permission.kind = client::Permission::Kind::kRead;
  } else if (kind == "WRITE") {
    permission.kind = client::Permission::Kind::kWrite;
  } else if (kind == "READWRITE") {
    permission.kind = client::Permission::Kind::kReadWrite;
  } else {
    return bad_args("invalid permission type: " + arguments[1], "It is read, write or readwrite.");
  }
  auto range = range_of(flags, arguments, 2);
  if (auto* exit = std::get_if<Exit>(&range)) return std::move(*exit);
  permission.key = std::get<KeyRange>(range).key;
  permission.range_end = std::get<KeyRange>(range).range_end;
  return with_tools(context, [&](Tools& tools) {
    return say(tools, "Role " + arguments[0] + " updated",
               tools.auth->role_grant_permission(arguments[0], permission, tools.call));
  });
}

Exit run_revoke_permission(const Context& context, const RangeFlags& flags, const Arguments& arguments) {
  if (arguments.size() < 2) {
    return bad_args("role revoke-permission command requires role name and key [endkey] as its argument");
  }
  auto range = range_of(flags, arguments, 1);
  if (auto* exit = std::get_if<Exit>(&range)) return std::move(*exit);
  const auto& [key, range_end] = std::get<KeyRange>(range);
  std::string words = "Permission of ";
  if (range_end.empty()) {
    words += "key " + arguments[1];
  } else {
    words += "range [" + arguments[1] + ", " + (range_end == client::unbounded() ? "<open ended>" : range_end + ")");
  }
  words += " is revoked from role " + arguments[0];
  return with_tools(context, [&](Tools& tools) {
    return say(tools, words, tools.auth->role_revoke_permission(arguments[0], key, range_end, tools.call));
  });
}

// ---- the tree ----

using Run = std::function<Exit(const Arguments&)>;

std::unique_ptr<Command> make(std::string name, std::string arguments, std::string summary, Run run = {},
                              std::string examples = "") {
  auto command = std::make_unique<Command>();
  command->name = std::move(name);
  command->arguments = std::move(arguments);
  command->summary = std::move(summary);
  command->run = std::move(run);
  command->examples = std::move(examples);
  return command;
}

std::unique_ptr<Command> group(std::string name, std::string summary, std::string description, std::string examples) {
  auto command = make(std::move(name), "<command>", std::move(summary));
  command->description = std::move(description);
  command->examples = std::move(examples);
  command->group = kSecurityGroup;
  return command;
}

void add(Command& parent, std::unique_ptr<Command> child) { parent.children.push_back(std::move(child)); }

Run with(const Context& context, Exit (*run)(const Context&, const Arguments&)) {
  return [&context, run](const Arguments& arguments) { return run(context, arguments); };
}

}  // namespace

void add_auth_commands(Command& root, Context& context) {
  auto auth = group("auth", "Turns authentication on and off",
                    "Whether calls must say who they are. It is turned on once there is a user root, who then may do\n"
                    "everything; from then on give --user root to these commands.",
                    "  kvctl user add root\n"
                    "  kvctl auth enable\n"
                    "  kvctl --user root auth status");
  add(*auth, make("enable", "", "Turns authentication on", with(context, run_enable),
                  "  kvctl user add root\n"
                  "  kvctl auth enable"));
  add(*auth,
      make("disable", "", "Turns authentication off", with(context, run_disable), "  kvctl --user root auth disable"));
  add(*auth, make("status", "", "Shows whether authentication is on", with(context, run_status),
                  "  kvctl --user root auth status"));
  add(root, std::move(auth));

  const auto flags = std::make_shared<UserFlags>();
  auto user = group("user", "Makes, shows and deletes users", "Users. What one may do, its roles say.",
                    "  kvctl user add alice\n"
                    "  kvctl user grant-role alice writer");
  auto user_add = make(
      "add", "[options] <user name or user:password>", "Makes a user",
      [&context, flags](const Arguments& a) { return run_user_add(context, *flags, a); },
      "  kvctl user add alice\n"
      "  kvctl user add alice:secret\n"
      "  kvctl user add web-1 --no-password");
  user_add->flags.add("interactive", flags->interactive, "ask for the password at the terminal; else read it");
  user_add->flags.add("new-user-password", flags->password, "the password");
  user_add->flags.add("no-password", flags->no_password, "a user who comes by a client certificate only");
  add(*user, std::move(user_add));
  add(*user,
      make("delete", "<user name>", "Deletes a user", with(context, run_user_delete), "  kvctl user delete alice"));
  auto user_get = make(
      "get", "[options] <user name>", "Shows the roles of a user",
      [&context, flags](const Arguments& a) { return run_user_get(context, flags->detail, a); },
      "  kvctl user get alice\n"
      "  kvctl user get alice --detail");
  user_get->flags.add("detail", flags->detail, "show what the roles permit, too");
  add(*user, std::move(user_get));
  add(*user, make("list", "", "Lists all users", with(context, run_user_list), "  kvctl user list"));
  auto password = make(
      "passwd", "[options] <user name>", "Changes the password of a user",
      [&context, flags](const Arguments& a) { return run_user_password(context, flags->interactive, a); },
      "  kvctl user passwd alice\n"
      "  kvctl user passwd alice --interactive=false < password.txt");
  password->flags.add("interactive", flags->interactive, "ask for the password at the terminal; else read it");
  add(*user, std::move(password));
  add(*user, make("grant-role", "<user name> <role name>", "Gives a role to a user", with(context, run_grant_role),
                  "  kvctl user grant-role alice writer"));
  add(*user, make("revoke-role", "<user name> <role name>", "Takes a role from a user", with(context, run_revoke_role),
                  "  kvctl user revoke-role alice writer"));
  add(root, std::move(user));

  const auto range = std::make_shared<RangeFlags>();
  auto role = group("role", "Makes, shows and deletes roles", "Roles: which keys may be read and written.",
                    "  kvctl role add writer\n"
                    "  kvctl role grant-permission writer readwrite --prefix /app/");
  add(*role, make("add", "<role name>", "Makes a role", with(context, run_role_add), "  kvctl role add writer"));
  add(*role,
      make("delete", "<role name>", "Deletes a role", with(context, run_role_delete), "  kvctl role delete writer"));
  add(*role,
      make("get", "<role name>", "Shows what a role permits", with(context, run_role_get), "  kvctl role get writer"));
  add(*role, make("list", "", "Lists all roles", with(context, run_role_list), "  kvctl role list"));
  auto grant = make(
      "grant-permission", "[options] <role name> <permission type> <key> [endkey]", "Permits keys to a role",
      [&context, range](const Arguments& a) { return run_grant_permission(context, *range, a); },
      "  kvctl role grant-permission writer readwrite --prefix /app/\n"
      "  kvctl role grant-permission reader read key1 key9");
  auto revoke = make(
      "revoke-permission", "[options] <role name> <key> [endkey]", "Takes keys from a role",
      [&context, range](const Arguments& a) { return run_revoke_permission(context, *range, a); },
      "  kvctl role revoke-permission writer --prefix /app/\n"
      "  kvctl role revoke-permission reader key1 key9");
  for (auto* command : {&grant, &revoke}) {
    (*command)->flags.add("prefix", range->prefix, "all keys that begin with <key>");
    (*command)->flags.add("from-key", range->from_key, "all keys from <key> on");
    add(*role, std::move(*command));
  }
  add(root, std::move(role));
}

}  // namespace kv::kvctl
