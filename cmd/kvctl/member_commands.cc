#include <algorithm>
#include <cctype>
#include <memory>
#include <ostream>
#include <utility>

#include "kvctl/commands.h"
#include "kvctl/go_format.h"
#include "kvctl/requests.h"

namespace kv::kvctl {
namespace {

using Arguments = std::vector<std::string>;

struct Tools {
  std::unique_ptr<Client> client;
  std::unique_ptr<Printer> printer;
};
std::variant<Tools, Exit> tools_for_change(const Context& context) {
  auto printer = context.printer_for(Printed::kMemberChanges);
  if (auto* exit = std::get_if<Exit>(&printer)) return std::move(*exit);
  auto client = context.client();
  if (auto* exit = std::get_if<Exit>(&client)) return std::move(*exit);
  return Tools{std::get<0>(std::move(client)), std::get<0>(std::move(printer))};
}

// The one argument that is a member's id.
std::variant<uint64_t, Exit> member_id(const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("member ID is not provided", "`kvctl member list` shows the ids.");
  const auto id = go_parse_hex(arguments[0]);
  if (!id.ok()) return bad_args("bad member ID arg (" + id.error + "), expecting ID in Hex");
  return id.value;
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\n\r");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t\n\r") - first + 1);
}

// The URLs of --peer-urls, checked as etcd's client checks them before it asks anybody.
std::variant<Arguments, Exit> peer_urls(const std::string& list) {
  if (list.empty()) return bad_args("member peer urls not provided", "Give them with --peer-urls=http://HOST:PORT.");
  Arguments urls;
  for (size_t from = 0; from <= list.size();) {
    const size_t comma = std::min(list.find(',', from), list.size());
    const std::string url = trimmed(list.substr(from, comma - from));
    from = comma + 1;
    const size_t scheme = url.find("://");
    const std::string kind = scheme == std::string::npos ? "" : url.substr(0, scheme);
    if (kind != "http" && kind != "https") {
      return Exit{kExitError, "URL scheme must be http, https, unix, or unixs: " + url, ""};
    }
    const std::string host = url.substr(scheme + 3, url.find('/', scheme + 3) - scheme - 3);
    if (host.rfind(':') == std::string::npos ||
        (host.starts_with('[') && !host.substr(0, host.rfind(':')).ends_with(']'))) {
      return Exit{kExitError, "URL address does not have the form \"host:port\": " + url, ""};
    }
    if (scheme + 3 + host.size() != url.size()) return Exit{kExitError, "URL must not contain a path: " + url, ""};
    urls.push_back(url);
  }
  return urls;
}

Exit run_add(const Context& context, const std::string& url_list, bool learner, const Arguments& arguments) {
  if (arguments.empty()) return bad_args("member name not provided");
  if (arguments.size() > 1) {
    std::string error = "too many arguments";
    for (const std::string& argument : arguments) {
      std::string lower = argument.substr(0, 4);
      std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
      if (lower == "http") error += ", did you mean --peer-urls=" + argument;
    }
    return bad_args(std::move(error));
  }
  auto urls = peer_urls(url_list);
  if (auto* exit = std::get_if<Exit>(&urls)) return std::move(*exit);
  auto tools = tools_for_change(context);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  auto& [client, printer] = std::get<Tools>(tools);
  const auto response = client->member_add(std::get<0>(urls), learner, context.call_options());
  if (!response.ok()) return failed(response.status());
  printer->member_add(*response);
  if (!printer->tells_environment()) return {};
  Arguments cluster;
  for (const auto& member : response->members) {
    for (const std::string& url : member.peer_urls)
      cluster.push_back((member.id == response->member.id ? arguments[0] : member.name) + '=' + url);
  }
  context.out << "\nETCD_NAME=" << go_quote(arguments[0]) << "\nETCD_INITIAL_CLUSTER=" << go_quote(join(cluster, ","))
              << "\nETCD_INITIAL_ADVERTISE_PEER_URLS=" << go_quote(url_list)
              << "\nETCD_INITIAL_CLUSTER_STATE=\"existing\"\n";
  return {};
}

// `change` asks for it; `done` is how the simple format says that it is done.
template <typename Change>
Exit run_change(const Context& context, uint64_t id, std::string_view done, Change change) {
  auto tools = tools_for_change(context);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  auto& [client, printer] = std::get<Tools>(tools);
  const auto response = change(*client);
  if (!response.ok()) return failed(response.status());
  printer->member_change(id, done, *response);
  return {};
}

Exit run_remove(const Context& context, const Arguments& arguments) {
  const auto id = member_id(arguments);
  if (const auto* exit = std::get_if<Exit>(&id)) return *exit;
  return run_change(context, std::get<0>(id), "removed from",
                    [&](Client& client) { return client.member_remove(std::get<0>(id), context.call_options()); });
}

Exit run_promote(const Context& context, const Arguments& arguments) {
  const auto id = member_id(arguments);
  if (const auto* exit = std::get_if<Exit>(&id)) return *exit;
  return run_change(context, std::get<0>(id), "promoted in",
                    [&](Client& client) { return client.member_promote(std::get<0>(id), context.call_options()); });
}

Exit run_update(const Context& context, const std::string& url_list, const Arguments& arguments) {
  const auto id = member_id(arguments);
  if (const auto* exit = std::get_if<Exit>(&id)) return *exit;
  auto urls = peer_urls(url_list);
  if (auto* exit = std::get_if<Exit>(&urls)) return std::move(*exit);
  return run_change(context, std::get<0>(id), "updated in", [&](Client& client) {
    return client.member_update(std::get<0>(id), std::get<0>(urls), context.call_options());
  });
}

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
  member->examples =
      "  kvctl member list -w table\n"
      "  kvctl member add m4 --peer-urls http://10.0.0.4:2380 --learner";
  member->group = kClusterGroup;

  auto add = std::make_unique<Command>();
  add->name = "add";
  add->arguments = "<memberName> [options]";
  add->summary = "Adds a member into the cluster";
  add->description =
      "Adds a member into the cluster.\n\n"
      "The simple format goes on with the environment to start the new member in.";
  add->examples =
      "  kvctl member add m4 --peer-urls http://10.0.0.4:2380\n"
      "  kvctl member add m4 --peer-urls http://10.0.0.4:2380 --learner";
  auto urls = std::make_shared<std::string>();
  auto learner = std::make_shared<bool>(false);
  add->flags.add("peer-urls", *urls, "comma separated peer URLs for the new member.");
  add->flags.add("learner", *learner, "indicates if the new member is raft learner");
  add->run = [&context, urls, learner](const Arguments& arguments) {
    return run_add(context, *urls, *learner, arguments);
  };
  member->children.push_back(std::move(add));

  auto remove = std::make_unique<Command>();
  remove->name = "remove";
  remove->arguments = "<memberID>";
  remove->summary = "Removes a member from the cluster";
  remove->examples = "  kvctl member remove 8211f1d0f64f3269";
  remove->run = [&context](const Arguments& arguments) { return run_remove(context, arguments); };
  member->children.push_back(std::move(remove));

  auto update = std::make_unique<Command>();
  update->name = "update";
  update->arguments = "<memberID> [options]";
  update->summary = "Updates a member in the cluster";
  update->examples = "  kvctl member update 8211f1d0f64f3269 --peer-urls http://10.0.0.14:2380";
  auto new_urls = std::make_shared<std::string>();
  update->flags.add("peer-urls", *new_urls, "comma separated peer URLs for the updated member.");
  update->run = [&context, new_urls](const Arguments& arguments) { return run_update(context, *new_urls, arguments); };
  member->children.push_back(std::move(update));

  auto list = std::make_unique<Command>();
  list->name = "list";
  list->summary = "Lists all members in the cluster";
  list->description =
      "Lists all members in the cluster.\n\n"
      "The simple format is a list with commas: ID, Status, Name, Peer Addrs, Client Addrs, Is Learner.";
  list->examples =
      "  kvctl member list -w table\n"
      "  kvctl member list --consistency s          what the asked member has, also without a leader";
  auto consistency = std::make_shared<std::string>("l");
  list->flags.add("consistency", *consistency, "Linearizable(l) or Serializable(s)");
  list->run = [&context, consistency](const std::vector<std::string>&) { return run_list(context, *consistency); };
  member->children.push_back(std::move(list));

  auto promote = std::make_unique<Command>();
  promote->name = "promote";
  promote->arguments = "<memberID>";
  promote->summary = "Promotes a non-voting member in the cluster";
  promote->description = "Promotes a non-voting learner member to a voting one in the cluster.";
  promote->examples = "  kvctl member promote 8211f1d0f64f3269";
  promote->run = [&context](const Arguments& arguments) { return run_promote(context, arguments); };
  member->children.push_back(std::move(promote));

  root.children.push_back(std::move(member));
}

}  // namespace kv::kvctl
