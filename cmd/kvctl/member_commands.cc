#include <memory>
#include <utility>

#include "kvctl/commands.h"
#include "kvctl/requests.h"

namespace kv::kvctl {
namespace {

Exit run_list(const Context& context, const std::string& consistency) {
  const auto serializable = is_serializable(consistency);
  if (const auto* exit = std::get_if<Exit>(&serializable)) return *exit;
  auto printer = context.printer_for(Printed::kMembers);
  if (auto* exit = std::get_if<Exit>(&printer)) return std::move(*exit);
  auto client = context.client();
  if (auto* exit = std::get_if<Exit>(&client)) return std::move(*exit);
  const auto response =
      std::get<0>(client)->member_list({.serializable = std::get<bool>(serializable)}, context.call_options());
  if (!response.ok()) return failed(response.status());
  std::get<0>(printer)->members(*response);
  return {};
}

}  // namespace

void add_member_commands(Command& root, Context& context) {
  auto member = std::make_unique<Command>();
  member->name = "member";
  member->arguments = "<command>";
  member->summary = "The cluster's members";
  member->group = "Cluster";

  auto list = std::make_unique<Command>();
  list->name = "list";
  list->summary = "Lists all members in the cluster";
  list->description =
      "Lists all members in the cluster.\n\n"
      "The simple format is a list with commas: ID, Status, Name, Peer Addrs, Client Addrs, Is Learner.";
  auto consistency = std::make_shared<std::string>("l");
  list->flags.add("consistency", *consistency, "Linearizable(l) or Serializable(s)");
  list->run = [&context, consistency](const std::vector<std::string>&) { return run_list(context, *consistency); };
  member->children.push_back(std::move(list));

  root.children.push_back(std::move(member));
}

}  // namespace kv::kvctl
