#include "kvctl/commands.h"

#include <memory>
#include <ostream>
#include <utility>

#include "kvctl/completion.h"
#include "kvctl/manual.h"

namespace kv::kvctl {
namespace {

void report(const Exit& exit, const Context& context) {
  const Paint paint(context.err_terminal);
  if (!exit.error.empty()) context.err << paint(Style::kBad, "Error:") << ' ' << exit.error << '\n';
  if (!exit.hint.empty()) context.err << "  " << exit.hint << '\n';
}

// "kvctl help get" is "kvctl get --help".
Exit run_help(Command& root, const std::vector<std::string>& words, std::ostream& out) {
  ReadCommandLine read = read_command_line(root, words);
  if (read.error) return *read.error;
  print_help(read.line, out);
  return {};
}

}  // namespace

void add_utility_commands(Command& root, Context& context) {
  const auto add = [&root](std::string name, std::string arguments, std::string summary, std::string examples,
                           std::function<Exit(const std::vector<std::string>&)> run) {
    auto command = std::make_unique<Command>();
    command->name = std::move(name);
    command->arguments = std::move(arguments);
    command->summary = std::move(summary);
    command->examples = std::move(examples);
    command->group = kHelpGroup;
    command->run = std::move(run);
    root.children.push_back(std::move(command));
  };
  add("version", "", "Prints the version of kvctl", "  kvctl version", [&context](const auto&) {
    context.out << "kvctl version: " << KVD_VERSION << "\nAPI version: " << KVD_API_VERSION << '\n';
    return Exit{};
  });
  add("options", "", "Prints the flags that every command has", "  kvctl options", [&root, &context](const auto&) {
    context.out << "These flags can be given to any command, and as variables: --dial-timeout is KVCTL_DIAL_TIMEOUT\n"
                   "(or ETCDCTL_DIAL_TIMEOUT).\n\n";
    print_flags(root.flags, context.out);
    return Exit{};
  });
  add("help", "[command]", "Help about any command", "  kvctl help lease grant",
      [&root, &context](const auto& words) { return run_help(root, words, context.out); });
}

void add_commands(Command& root, Context& context, const VariableReader& variable) {
  context.globals.declare(root.flags);
  add_key_value_commands(root, context);
  add_watch_command(root, context, variable);
  add_explore_commands(root, context);
  add_edit_command(root, context, variable);
  add_lease_commands(root, context);
  add_concurrency_commands(root, context);
  add_endpoint_commands(root, context);
  add_top_command(root, context, variable);
  add_member_commands(root, context);
  add_snapshot_commands(root, context);
  add_defrag_command(root, context);
  add_guard_commands(root, context);
  add_auth_commands(root, context);
  add_check_commands(root, context);
  add_bench_command(root, context);
  add_transfer_commands(root, context);
  add_mirror_command(root, context);
  add_completion_command(root, context);
  add_utility_commands(root, context);
}

int run_kvctl(const std::vector<std::string>& args, Context& context, const VariableReader& variable) {
  Command root;
  root.name = "kvctl";
  root.arguments = "[options] <command>";
  root.description = "kvctl reads and writes the keys of a kvd or etcd cluster, and shows how the cluster is.";
  root.examples =
      "  kvctl put message hello\n"
      "  kvctl get message\n"
      "  kvctl watch --prefix /services/\n"
      "  kvctl lock backup -- ./backup.sh\n"
      "  kvctl endpoint status --cluster -w table";
  add_commands(root, context, variable);

  const auto ended = [&](const Exit& exit) {
    report(exit, context);
    if (!context.out.flush() && exit.code == kExitOk) {
      context.err << "Error: the output could not be written\n";
      return static_cast<int>(kExitIo);
    }
    return exit.code;
  };
  // What a shell asks when Tab is pressed: the words so far are not ours to read as flags.
  if (!args.empty() && args[0] == "__complete") {
    print_candidates(complete(root, {args.begin() + 1, args.end()}), context.out);
    return ended({});
  }
  // What the build asks; who has kvctl installed has the page beside it.
  if (args.size() == 1 && args[0] == "__man") {
    context.out << manual(root);
    return ended({});
  }
  for (Terminal* terminal : {&context.out_terminal, &context.err_terminal}) {
    (void)decide_colour("auto", variable, *terminal);
  }
  ReadCommandLine read = read_command_line(root, args);
  if (read.error) return ended(*read.error);
  const Command& command = read.line.command();
  if (read.line.help || !command.run) {
    print_help(read.line, context.out);
    return ended({});
  }
  if (const auto environment = context.globals.read_environment(root.flags, variable);
      std::holds_alternative<Exit>(environment)) {
    return ended(std::get<Exit>(environment));
  }
  if (const auto discovered = context.globals.discover(); std::holds_alternative<Exit>(discovered)) {
    return ended(std::get<Exit>(discovered));
  }
  for (Terminal* terminal : {&context.out_terminal, &context.err_terminal}) {
    if (!decide_colour(context.globals.color, variable, *terminal)) {
      return ended(bad_feature("unknown --color " + context.globals.color, "It takes auto, always or never."));
    }
  }
  return ended(command.run(read.line.arguments));
}

}  // namespace kv::kvctl
