#include <chrono>
#include <memory>
#include <ostream>

#include "kvctl/commands.h"
#include "kvctl/go_format.h"
#include "server/cold_state.h"

namespace kv::kvctl {
namespace {

Exit defragment_members(const Context& context, bool cluster) {
  const auto endpoints = endpoints_to_ask(context, cluster);
  if (const auto* exit = std::get_if<Exit>(&endpoints)) return *exit;
  const auto client = context.client();
  if (const auto* exit = std::get_if<Exit>(&client)) return *exit;
  bool all = true;
  // One after another, so that never more than one member is busy with it.
  for (const std::string& endpoint : std::get<0>(endpoints)) {
    const auto begin = std::chrono::steady_clock::now();
    const Status status = std::get<0>(client)->defragment(endpoint, context.call_options());
    const std::string took = go_duration(std::chrono::steady_clock::now() - begin);
    if (status.ok()) {
      context.out << "Finished defragmenting etcd member[" << endpoint << "]. took " << took << '\n';
    } else {
      context.err << "Failed to defragment etcd member[" << endpoint << "]. took " << took << ". ("
                  << error_text(status) << ")\n";
      all = false;
    }
  }
  return {all ? kExitOk : kExitError};
}

}  // namespace

void add_defrag_command(Command& root, Context& context) {
  struct DefragFlags {
    bool cluster = false;
    std::string data_dir;
  };
  auto flags = std::make_shared<DefragFlags>();
  auto defrag = std::make_unique<Command>();
  defrag->name = "defrag";
  defrag->summary = "Has members give back the disk space that deleted data take";
  defrag->description =
      "Has the members at --endpoints rewrite their files, one member after another, so that deleted and compacted "
      "data\n"
      "give back their disk space at once. Members go on serving. With --data-dir, does it to a stopped member's "
      "files.\n"
      "It may take minutes: allow for it with --command-timeout. The member goes on when the command gives up.";
  defrag->examples =
      "  kvctl defrag --cluster --command-timeout 10m\n"
      "  kvctl defrag --data-dir /var/lib/kvd";
  defrag->group = kMaintenanceGroup;
  defrag->flags.add("cluster", flags->cluster, "use all endpoints from the cluster member list");
  defrag->flags.add("data-dir", flags->data_dir, "do it to this directory of a stopped member");
  defrag->run = [&context, flags](const std::vector<std::string>&) -> Exit {
    if (flags->data_dir.empty()) return defragment_members(context, flags->cluster);
    const Status status = server::defragment_offline(flags->data_dir);
    if (status.ok()) return {};
    return {kExitError, "Failed to defragment etcd data[" + flags->data_dir + "] (" + status.text() + ")"};
  };
  root.children.push_back(std::move(defrag));
}

}  // namespace kv::kvctl
