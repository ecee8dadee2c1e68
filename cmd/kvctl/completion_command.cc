#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include "kvctl/commands.h"
#include "kvctl/completion.h"

namespace kv::kvctl {

void add_completion_command(Command& root, Context& context) {
  auto completion = std::make_unique<Command>();
  completion->name = "completion";
  completion->arguments = "<shell>";
  completion->summary = "Prints a script that completes kvctl's commands in a shell";
  completion->description =
      "Prints a script that lets a shell complete kvctl's commands, flags and values when Tab is pressed. The script\n"
      "asks kvctl itself, so it stays right when kvctl is replaced by a newer one.";
  completion->examples =
      "  source <(kvctl completion bash)\n"
      "  kvctl completion zsh > \"${fpath[1]}/_kvctl\"\n"
      "  kvctl completion fish > ~/.config/fish/completions/kvctl.fish";
  completion->group = kHelpGroup;
  for (const std::string shell : {"bash", "fish", "zsh"}) {
    auto command = std::make_unique<Command>();
    command->name = shell;
    command->summary = "Prints the script for " + shell;
    command->examples =
        shell == "fish" ? "  kvctl completion fish | source" : "  source <(kvctl completion " + shell + ")";
    command->run = [&context, shell](const auto& arguments) {
      if (!arguments.empty()) return bad_args("completion " + shell + " takes no argument");
      context.out << completion_script(shell);
      return Exit{};
    };
    completion->children.push_back(std::move(command));
  }
  root.children.push_back(std::move(completion));
}

}  // namespace kv::kvctl
