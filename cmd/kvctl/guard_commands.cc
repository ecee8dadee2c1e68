// Alarms, downgrades, and who leads.
#include <charconv>
#include <memory>
#include <utility>

#include "kvctl/commands.h"
#include "kvctl/go_format.h"

namespace kv::kvctl {
namespace {

using Arguments = std::vector<std::string>;

struct Tools {
  std::unique_ptr<Client> client;
  std::unique_ptr<Printer> printer;
};

std::variant<Tools, Exit> tools_for(const Context& context, Printed kind) {
  auto printer = context.printer_for(kind);
  if (auto* exit = std::get_if<Exit>(&printer)) return std::move(*exit);
  auto client = context.client();
  if (auto* exit = std::get_if<Exit>(&client)) return std::move(*exit);
  return Tools{std::get<0>(std::move(client)), std::get<0>(std::move(printer))};
}

// ---- alarm ----

Exit run_alarm(const Context& context, bool disarm, const Arguments& arguments) {
  if (!arguments.empty()) {
    return bad_args(std::string("alarm ") + (disarm ? "disarm" : "list") + " command accepts no arguments");
  }
  auto tools = tools_for(context, Printed::kAlarms);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  auto& [client, printer] = std::get<Tools>(tools);
  const auto response =
      disarm ? client->alarm_disarm({}, context.call_options()) : client->alarm_list(context.call_options());
  if (!response.ok()) return failed(response.status());
  printer->alarms(*response);
  return {};
}

// ---- downgrade ----

Exit run_downgrade(const Context& context, client::DowngradeAction action, const Arguments& arguments) {
  using client::DowngradeAction;
  std::string version;
  if (action != DowngradeAction::kCancel) {
    if (arguments.empty()) return bad_args("TARGET_VERSION not provided");
    if (arguments.size() > 1) return bad_args("too many arguments");
    version = arguments[0];
    if (version.empty()) return bad_args("target version not provided");
  }
  auto tools = tools_for(context, Printed::kOperations);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  auto& [client, printer] = std::get<Tools>(tools);
  const auto response = client->downgrade(action, version, context.call_options());
  if (!response.ok()) return failed(response.status());
  printer->downgrade(action == DowngradeAction::kValidate ? "validate"
                     : action == DowngradeAction::kEnable ? "enable"
                                                          : "cancel",
                     *response);
  return {};
}

// ---- move-leader ----

// strconv.ParseUint(text, 16, 64).
std::variant<uint64_t, Exit> parse_member(const std::string& text) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (error == std::errc::result_out_of_range && end == text.data() + text.size()) {
    return bad_args("strconv.ParseUint: parsing " + go_quote(text) + ": value out of range");
  }
  if (error != std::errc() || end != text.data() + text.size()) {
    return bad_args("strconv.ParseUint: parsing " + go_quote(text) + ": invalid syntax",
                    "A member is named by its id, as `kvctl member list` prints it.");
  }
  return id;
}

Exit run_move_leader(const Context& context, const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("move-leader command needs 1 argument");
  const auto target = parse_member(arguments[0]);
  if (const auto* exit = std::get_if<Exit>(&target)) return *exit;
  auto printer = context.printer_for(Printed::kOperations);
  if (auto* exit = std::get_if<Exit>(&printer)) return std::move(*exit);
  // Only the leader does it: the one of the endpoints that says it leads is asked.
  for (const std::string& endpoint : context.globals.endpoints) {
    auto made = context.client_for({endpoint});
    if (auto* exit = std::get_if<Exit>(&made)) return std::move(*exit);
    Client& client = *std::get<0>(made);
    const auto status = client.status(endpoint, context.call_options());
    if (!status.ok()) return failed(status.status());
    if (status->leader != status->header.member_id) continue;
    const auto moved = client.move_leader(std::get<uint64_t>(target), context.call_options());
    if (!moved.ok()) return failed(moved.status());
    std::get<0>(printer)->moved_leader(status->leader, std::get<uint64_t>(target), *moved);
    return {};
  }
  return bad_args("no leader endpoint given at [" + join(context.globals.endpoints, " ") + "]",
                  "Name the leader's endpoint with --endpoints; `kvctl endpoint status --cluster` says who leads.");
}

std::unique_ptr<Command> make(std::string name, std::string arguments, std::string summary, std::string examples,
                              std::function<Exit(const Arguments&)> run) {
  auto command = std::make_unique<Command>();
  command->name = std::move(name);
  command->arguments = std::move(arguments);
  command->summary = std::move(summary);
  command->examples = std::move(examples);
  command->run = std::move(run);
  return command;
}

}  // namespace

void add_guard_commands(Command& root, Context& context) {
  auto alarm = make("alarm", "<command>", "Lists and ends alarms",
                    "  kvctl alarm list\n"
                    "  kvctl alarm disarm",
                    {});
  alarm->group = kMaintenanceGroup;
  alarm->description =
      "A NOSPACE alarm keeps the whole cluster from writing: a member's quota or disk is full. A CORRUPT alarm names "
      "a\n"
      "member whose state differs from the others'. An alarm stays until it is disarmed.";
  alarm->children.push_back(
      make("list", "", "Lists all alarms", "  kvctl alarm list",
           [&context](const Arguments& arguments) { return run_alarm(context, false, arguments); }));
  alarm->children.push_back(
      make("disarm", "", "Ends all alarms", "  kvctl alarm disarm",
           [&context](const Arguments& arguments) { return run_alarm(context, true, arguments); }));
  root.children.push_back(std::move(alarm));

  using client::DowngradeAction;
  auto downgrade = make("downgrade", "<command>", "Prepares the cluster for members of the version before",
                        "  kvctl downgrade validate 3.5\n"
                        "  kvctl downgrade enable 3.5",
                        {});
  downgrade->group = kMaintenanceGroup;
  const auto add = [&](std::string name, std::string arguments, std::string summary, std::string examples,
                       DowngradeAction action) {
    downgrade->children.push_back(
        make(std::move(name), std::move(arguments), std::move(summary), std::move(examples),
             [&context, action](const Arguments& words) { return run_downgrade(context, action, words); }));
  };
  add("validate", "<TARGET_VERSION>", "Says whether a downgrade to that version could begin",
      "  kvctl downgrade validate 3.5", DowngradeAction::kValidate);
  add("enable", "<TARGET_VERSION>", "Begins a downgrade", "  kvctl downgrade enable 3.5", DowngradeAction::kEnable);
  add("cancel", "", "Ends the downgrade that is under way", "  kvctl downgrade cancel", DowngradeAction::kCancel);
  root.children.push_back(std::move(downgrade));

  auto move = make("move-leader", "<transferee-member-id>", "Hands leadership to another member",
                   "  kvctl --endpoints 127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379 move-leader c89feb932daef420",
                   [&context](const Arguments& arguments) { return run_move_leader(context, arguments); });
  move->group = kClusterGroup;
  root.children.push_back(std::move(move));
}

}  // namespace kv::kvctl
