#include <atomic>
#include <memory>
#include <ostream>
#include <utility>

#include "kvctl/commands.h"
#include "kvctl/go_format.h"
#include "kvctl/terminal_table.h"

namespace kv::kvctl {
namespace {

using Arguments = std::vector<std::string>;

struct Tools {
  std::unique_ptr<Client> client;
  std::unique_ptr<Printer> printer;
};
std::variant<Tools, Exit> tools_for(const Context& context, Printed kind = Printed::kLeases) {
  auto printer = context.printer_for(kind);
  if (auto* exit = std::get_if<Exit>(&printer)) return std::move(*exit);
  auto client = context.client();
  if (auto* exit = std::get_if<Exit>(&client)) return std::move(*exit);
  return Tools{std::get<0>(std::move(client)), std::get<0>(std::move(printer))};
}

// The one argument that is a lease's id.
std::variant<int64_t, Exit> lease_id(const Arguments& arguments, const char* wrong_number) {
  if (arguments.size() != 1) return bad_args(wrong_number);
  const auto id = go_parse_int(arguments[0], 16);
  if (!id.ok()) return bad_args("bad lease ID arg (" + id.error + "), expecting ID in Hex");
  return id.value;
}

Exit run_grant(const Context& context, const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("lease grant command needs TTL argument");
  const auto ttl = go_parse_int(arguments[0], 10);
  if (!ttl.ok()) return bad_args("bad TTL (" + ttl.error + ")", "The argument is a number of seconds.");
  auto tools = tools_for(context);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  auto& [client, printer] = std::get<Tools>(tools);
  const auto response = client->lease_grant(ttl.value, 0, context.call_options());
  if (!response.ok()) {
    Exit exit = failed(response.status());
    exit.error = "failed to grant lease (" + exit.error + ")";
    return exit;
  }
  printer->lease_grant(*response);
  return {};
}

Exit run_revoke(const Context& context, const Arguments& arguments) {
  const auto id = lease_id(arguments, "lease revoke command needs 1 argument");
  if (const auto* exit = std::get_if<Exit>(&id)) return *exit;
  auto tools = tools_for(context, Printed::kLeaseRevocation);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  auto& [client, printer] = std::get<Tools>(tools);
  const auto response = client->lease_revoke(std::get<0>(id), context.call_options());
  if (!response.ok()) {
    Exit exit = failed(response.status());
    exit.error = "failed to revoke lease (" + exit.error + ")";
    return exit;
  }
  printer->lease_revoke(std::get<0>(id), *response);
  return {};
}

Exit run_time_to_live(const Context& context, bool keys, const Arguments& arguments) {
  const auto id = lease_id(arguments, "lease timetolive command needs lease ID as argument");
  if (const auto* exit = std::get_if<Exit>(&id)) return *exit;
  auto tools = tools_for(context);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  auto& [client, printer] = std::get<Tools>(tools);
  const auto response = client->lease_time_to_live(std::get<0>(id), keys, context.call_options());
  if (!response.ok()) return failed(response.status(), kExitBadConnection);
  printer->lease_time_to_live(*response, keys);
  return {};
}

Exit run_list(const Context& context) {
  auto tools = tools_for(context);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  auto& [client, printer] = std::get<Tools>(tools);
  const auto response = client->lease_list(context.call_options());
  if (!response.ok()) return failed(response.status(), kExitBadConnection);
  if (!context.for_people()) {
    printer->lease_list(*response);
    return {};
  }
  // For people each lease is asked for: an id alone tells nothing.
  Rows table{{"lease", "ttl", "left", "keys"}, {}};
  for (const int64_t id : response->ids) {
    const auto lease = client->lease_time_to_live(id, true, context.call_options());
    if (!lease.ok()) return failed(lease.status(), kExitBadConnection);
    if (lease->ttl_s < 0) continue;  // it has ended meanwhile
    table.rows.push_back({hex16(id), std::to_string(lease->granted_ttl_s) + "s", std::to_string(lease->ttl_s) + "s",
                          std::to_string(lease->keys.size())});
  }
  context.out << terminal_table(table, context.out_terminal);
  return {};
}

Exit run_keep_alive(const Context& context, bool once, const Arguments& arguments) {
  const auto id = lease_id(arguments, "lease keep-alive command needs lease ID as argument");
  if (const auto* exit = std::get_if<Exit>(&id)) return *exit;
  auto tools = tools_for(context);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  auto& [client, printer] = std::get<Tools>(tools);
  if (once) {
    const auto response = client->lease_keep_alive_once(std::get<0>(id), context.call_options());
    if (!response.ok()) return failed(response.status(), kExitBadConnection);
    printer->lease_keep_alive(*response);
    return {};
  }
  std::atomic<bool> was_alive{false};
  const auto show = [&](const client::LeaseKeepAliveResponse& response) {
    was_alive = true;
    printer->lease_keep_alive(response);
    context.out.flush();
  };
  Status why;
  {
    const client::KeepAlive alive = client->keep_alive(std::get<0>(id), {.on_alive = show});
    (void)alive.wait_lost();
    why = alive.why_lost().value_or(Status());
  }
  // A lease that nobody answered for may live; everything else says that it doesn't.
  const bool over = why.code() == Code::kNotFound || (was_alive && why.code() == Code::kDeadlineExceeded);
  if (!over) return failed(why, kExitBadConnection);
  printer->lease_over(std::get<0>(id));
  return {};
}

std::unique_ptr<Command> make(std::string name, std::string arguments, std::string summary, std::string examples) {
  auto command = std::make_unique<Command>();
  command->name = std::move(name);
  command->arguments = std::move(arguments);
  command->summary = std::move(summary);
  command->examples = std::move(examples);
  return command;
}

}  // namespace

void add_lease_commands(Command& root, Context& context) {
  auto lease = make("lease", "<command>", "Grants, revokes, shows and keeps leases",
                    "  kvctl lease grant 60\n"
                    "  kvctl put --lease 326963a02758b52d /services/web 10.0.0.7");
  lease->description =
      "Leases. A key that is put with one (kvctl put --lease) is deleted when it expires or is revoked. IDs are\n"
      "hexadecimal.";
  lease->group = kLeasesGroup;

  auto grant = make("grant", "<ttl>", "Makes a lease that lives for <ttl> seconds", "  kvctl lease grant 60");
  grant->run = [&context](const Arguments& arguments) { return run_grant(context, arguments); };

  auto revoke =
      make("revoke", "<leaseID>", "Ends a lease and deletes its keys", "  kvctl lease revoke 326963a02758b52d");
  revoke->run = [&context](const Arguments& arguments) { return run_revoke(context, arguments); };

  auto time_to_live = make("timetolive", "[options] <leaseID>", "Shows how long a lease has left",
                           "  kvctl lease timetolive 326963a02758b52d --keys");
  const auto keys = std::make_shared<bool>(false);
  time_to_live->flags.add("keys", *keys, "print the keys that are attached to it, too");
  time_to_live->run = [&context, keys](const Arguments& arguments) {
    return run_time_to_live(context, *keys, arguments);
  };

  auto list = make("list", "", "Lists all leases", "  kvctl lease list");
  list->run = [&context](const Arguments&) { return run_list(context); };

  auto keep_alive = make("keep-alive", "[options] <leaseID>", "Keeps a lease alive until it is interrupted",
                         "  kvctl lease keep-alive 326963a02758b52d\n"
                         "  kvctl lease keep-alive --once 326963a02758b52d");
  const auto once = std::make_shared<bool>(false);
  keep_alive->flags.add("once", *once, "give it its whole time to live again, once");
  keep_alive->run = [&context, once](const Arguments& arguments) { return run_keep_alive(context, *once, arguments); };

  for (auto* command : {&grant, &revoke, &time_to_live, &list, &keep_alive}) {
    lease->children.push_back(std::move(*command));
  }
  root.children.push_back(std::move(lease));
}

}  // namespace kv::kvctl
