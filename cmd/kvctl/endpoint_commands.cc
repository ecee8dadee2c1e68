#include <chrono>
#include <memory>
#include <ostream>
#include <thread>
#include <utility>

#include "kvctl/commands.h"

namespace kv::kvctl {

std::variant<std::vector<std::string>, Exit> endpoints_to_ask(const Context& context, bool cluster) {
  if (!cluster) return context.globals.endpoints;
  const auto client = context.client();
  if (const auto* exit = std::get_if<Exit>(&client)) return *exit;
  const auto members = std::get<0>(client)->member_list({}, context.call_options());
  if (!members.ok()) {
    Exit exit = failed(members.status());
    exit.error = "failed to fetch endpoints from etcd cluster member list: " + exit.error;
    return exit;
  }
  std::vector<std::string> endpoints;
  for (const auto& m : members->members) endpoints.insert(endpoints.end(), m.client_urls.begin(), m.client_urls.end());
  return endpoints;
}

namespace {

using Arguments = std::vector<std::string>;
using Endpoints = std::vector<std::string>;

std::string alarm_names(const std::vector<client::Alarm>& alarms) {
  std::string names = "Active Alarm(s): ";
  for (const auto& alarm : alarms) {
    names += alarm.type == client::AlarmType::kNoSpace   ? "NOSPACE "
             : alarm.type == client::AlarmType::kCorrupt ? "CORRUPT "
                                                         : "UNKNOWN ";
  }
  return names;
}

// A linearizable read of some key goes through the cluster's consensus: who can answer it is healthy.
EndpointHealth health_of(const Context& context, const std::string& endpoint) {
  EndpointHealth health{.endpoint = endpoint};
  auto client = context.client_for({endpoint});
  if (const auto* exit = std::get_if<Exit>(&client)) {
    health.error = exit->error;
    return health;
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto got = std::get<0>(client)->get("health", {}, context.call_options());
  health.took = std::chrono::steady_clock::now() - begin;
  if (!got.ok() && got.status().text() != "etcdserver: permission denied") {
    health.error = error_text(got.status());
    return health;
  }
  const auto alarms = std::get<0>(client)->alarm_list(context.call_options());
  if (!alarms.ok()) {
    health.error = "Unable to fetch the alarm list";
  } else if (!alarms->alarms.empty()) {
    health.error = alarm_names(alarms->alarms);
  } else {
    health.health = true;
  }
  return health;
}

Exit run_health(const Context& context, bool cluster) {
  auto printer = context.printer_for(Printed::kEndpoints);
  if (auto* exit = std::get_if<Exit>(&printer)) return std::move(*exit);
  const auto endpoints = endpoints_to_ask(context, cluster);
  if (const auto* exit = std::get_if<Exit>(&endpoints)) return *exit;
  const auto& names = std::get<Endpoints>(endpoints);
  // All at once, so that a dead endpoint costs its time-out once.
  std::vector<EndpointHealth> answers(names.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < names.size(); ++i) {
    threads.emplace_back([&, i] { answers[i] = health_of(context, names[i]); });
  }
  for (auto& thread : threads) thread.join();
  std::get<0>(printer)->health(answers);
  for (const auto& answer : answers) {
    if (!answer.error.empty()) return {kExitError, "unhealthy cluster"};
  }
  return {};
}

// Asks every endpoint in turn with `ask`, prints the answers that there are, and fails when one is missing.
template <typename Entry, typename Ask>
std::variant<std::vector<Entry>, Exit> ask_each(const Context& context, bool cluster, std::string_view what, Ask ask,
                                                Status& last_failure) {
  const auto endpoints = endpoints_to_ask(context, cluster);
  if (const auto* exit = std::get_if<Exit>(&endpoints)) return *exit;
  auto client = context.client();
  if (auto* exit = std::get_if<Exit>(&client)) return std::move(*exit);
  std::vector<Entry> entries;
  for (const auto& endpoint : std::get<Endpoints>(endpoints)) {
    auto answer = ask(*std::get<0>(client), endpoint);
    if (answer.ok()) {
      entries.push_back({endpoint, *std::move(answer)});
      continue;
    }
    last_failure = answer.status();
    context.err << "Failed to get the " << what << " of endpoint " << endpoint << " (" << error_text(last_failure)
                << ")\n";
  }
  return entries;
}

Exit run_status(const Context& context, bool cluster) {
  auto printer = context.printer_for(Printed::kEndpoints);
  if (auto* exit = std::get_if<Exit>(&printer)) return std::move(*exit);
  Status failure;
  const auto entries = ask_each<EndpointStatus>(
      context, cluster, "status",
      [&](Client& client, const std::string& endpoint) { return client.status(endpoint, context.call_options()); },
      failure);
  if (const auto* exit = std::get_if<Exit>(&entries)) return *exit;
  std::get<0>(printer)->status(std::get<0>(entries));
  return failure.ok() ? Exit{} : Exit{kExitError};
}

Exit run_hashkv(const Context& context, bool cluster, int64_t revision) {
  auto printer = context.printer_for(Printed::kEndpoints);
  if (auto* exit = std::get_if<Exit>(&printer)) return std::move(*exit);
  Status failure;
  const auto entries = ask_each<EndpointHash>(
      context, cluster, "hash",
      [&](Client& client, const std::string& endpoint) {
        return client.hash_kv(endpoint, revision, context.call_options());
      },
      failure);
  if (const auto* exit = std::get_if<Exit>(&entries)) return *exit;
  std::get<0>(printer)->hash_kv(std::get<0>(entries));
  return failure.ok() ? Exit{} : failed(failure);
}

}  // namespace

void add_endpoint_commands(Command& root, Context& context) {
  struct EndpointFlags {
    bool cluster = false;
    int64_t rev = 0;
  };
  auto flags = std::make_shared<EndpointFlags>();

  auto endpoint = std::make_unique<Command>();
  endpoint->name = "endpoint";
  endpoint->arguments = "<command>";
  endpoint->summary = "Health, status and hash of endpoints";
  endpoint->description = "Asks each endpoint of --endpoints, or each of the cluster's.";
  endpoint->examples =
      "  kvctl endpoint health --cluster\n"
      "  kvctl endpoint status --cluster -w table";
  endpoint->group = kClusterGroup;
  endpoint->flags.add("cluster", flags->cluster, "ask every endpoint of the cluster's members instead");

  auto health = std::make_unique<Command>();
  health->name = "health";
  health->summary = "Checks that each endpoint answers, through the cluster's consensus";
  health->examples =
      "  kvctl endpoint health --cluster\n"
      "  kvctl endpoint health --endpoints 10.0.0.1:2379,10.0.0.2:2379";
  health->run = [&context, flags](const Arguments&) { return run_health(context, flags->cluster); };
  endpoint->children.push_back(std::move(health));

  auto status = std::make_unique<Command>();
  status->name = "status";
  status->summary = "Prints each endpoint's version, size, role and progress";
  status->description =
      "Prints each endpoint's version, size, role and progress.\n\n"
      "The simple format is a list with commas: endpoint, ID, version, storage version, db size, in use,\n"
      "percentage not in use, quota, is leader, is learner, raft term, raft index, raft applied index, errors,\n"
      "downgrade target version, downgrade enabled.";
  status->examples =
      "  kvctl endpoint status\n"
      "  kvctl endpoint status --cluster -w table";
  status->run = [&context, flags](const Arguments&) { return run_status(context, flags->cluster); };
  endpoint->children.push_back(std::move(status));

  auto hashkv = std::make_unique<Command>();
  hashkv->name = "hashkv";
  hashkv->summary = "Prints a hash of each endpoint's history: equal where members agree";
  hashkv->examples =
      "  kvctl endpoint hashkv --cluster\n"
      "  kvctl endpoint hashkv --cluster --rev 1234";
  hashkv->flags.add("rev", flags->rev, "hash the history up to this revision (0: the newest)");
  hashkv->run = [&context, flags](const Arguments&) { return run_hashkv(context, flags->cluster, flags->rev); };
  endpoint->children.push_back(std::move(hashkv));

  root.children.push_back(std::move(endpoint));
}

}  // namespace kv::kvctl
