#include <unistd.h>

#include <cstdlib>
#include <istream>
#include <list>
#include <memory>
#include <mutex>
#include <ostream>
#include <utility>

#include "kvctl/child_process.h"
#include "kvctl/commands.h"
#include "kvctl/go_format.h"
#include "kvctl/watch_request.h"

namespace kv::kvctl {
namespace {

std::string variable_named(const VariableReader& variable, const std::string& name) {
  for (const std::string prefix : {"KVCTL_", "ETCDCTL_"}) {
    if (const char* text = variable((prefix + name).c_str()); text != nullptr && *text != '\0') return text;
  }
  return "";
}

std::string quoted_list(const std::vector<std::string>& words) {
  std::vector<std::string> quoted;
  for (const auto& word : words) quoted.push_back(go_quote(word));
  return "[" + join(quoted, " ") + "]";
}

// Prints what a watch answers and runs its command for each event. False when the command failed.
class Display {
 public:
  Display(const Context& context, Printer& printer) : context_(context), printer_(printer) {}

  bool show(client::WatchResponse response, const std::vector<std::string>& command) {
    std::unique_lock lock(mutex_);
    if (response.progress()) context_.out << "progress notify: " << response.header.revision << '\n';
    const WatchAnswer answer{.response = std::move(response)};
    printer_.watch(answer);
    context_.out.flush();
    lock.unlock();
    if (command.empty()) return true;
    for (const auto& event : answer.response.events) {
      const auto ended = run_child(
          command, {{"ETCD_WATCH_REVISION", std::to_string(answer.response.header.revision)},
                    {"ETCD_WATCH_EVENT_TYPE", event.type == client::EventType::kDelete ? "\"DELETE\"" : "\"PUT\""},
                    {"ETCD_WATCH_KEY", go_quote(event.kv.key)},
                    {"ETCD_WATCH_VALUE", go_quote(event.kv.value)}});
      if (!ended.error.empty()) {
        lock.lock();
        context_.err << "command " << quoted_list(command) << " error (" << ended.error << ")\n" << std::flush;
        return false;
      }
    }
    return true;
  }

  void show_end(const client::WatchEnd& end) {
    const std::lock_guard lock(mutex_);
    context_.err << "watch was canceled (" << error_text(end.status) << ")\n" << std::flush;
    printer_.watch({.response = {.header = end.header},
                    .compact_revision = end.compact_revision,
                    .canceled = true,
                    .cancel_reason = end.compact_revision != 0 ? "" : end.status.text()});
    context_.out.flush();
  }

  void complain(const std::string& text) {
    const std::lock_guard lock(mutex_);
    context_.err << text << '\n' << std::flush;
  }

 private:
  // Guards both streams: std::cerr flushes std::cout, which callbacks write to, so they are one thing.
  std::mutex mutex_;
  const Context& context_;
  Printer& printer_;
};

Exit run_one(Client& client, Display& display, const WatchRequest& request) {
  client::Watcher watcher = client.watch(request.key, request.options);
  for (;;) {
    auto next = watcher.next();
    if (!next.ok()) break;
    if (!display.show(*std::move(next), request.command)) return {kExitError, "", ""};
  }
  const auto end = watcher.end().value_or(client::WatchEnd{});
  display.show_end(end);
  Exit exit{kExitInterrupted, "watch is canceled by the server", ""};
  if (end.compact_revision != 0) {
    exit.hint = "Begin at --rev " + std::to_string(end.compact_revision) + " or later; what was before is compacted.";
  }
  return exit;
}

Exit run_interactive(const Context& context, Client& client, Display& display, const WatchVariables& variables) {
  // Callbacks of one client run one at a time: what they print does not mix.
  std::list<client::Watcher> watchers;
  std::string line;
  while (std::getline(context.in, line)) {
    auto read = read_watch_line(line, variables);
    if (auto* exit = std::get_if<Exit>(&read)) return std::move(*exit);
    auto& [kind, request, complaint] = std::get<WatchLine>(read);
    if (kind == WatchLine::Kind::kInvalid) {
      display.complain(complaint);
    } else if (kind == WatchLine::Kind::kProgress) {
      if (!watchers.empty()) watchers.back().request_progress();
    } else {
      watchers.push_back(client.watch(request.key, request.options,
                                      {.on_response =
                                           [&display, command = request.command](client::WatchResponse&& response) {
                                             // The main thread waits for input and can't be told; output is flushed.
                                             if (!display.show(std::move(response), command)) ::_exit(kExitError);
                                           },
                                       .on_end = [&display](const client::WatchEnd& end) { display.show_end(end); }}));
    }
  }
  return {kExitInvalidInput, "error reading watch request line: EOF", ""};
}

Exit run_watch(const Context& context, const WatchFlags& flags, const std::vector<std::string>& arguments,
               std::optional<size_t> separator, const WatchVariables& variables) {
  if (variables.key.empty() && !variables.range_end.empty()) {
    return bad_args("ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END=" + go_quote(variables.range_end));
  }
  std::variant<WatchRequest, Exit> request;
  if (!flags.interactive) {
    request = watch_request(flags, arguments, separator, variables);
    if (auto* exit = std::get_if<Exit>(&request)) return std::move(*exit);
  }
  auto printer = context.printer_for(Printed::kKeyValues);
  if (auto* exit = std::get_if<Exit>(&printer)) return std::move(*exit);
  Display display(context, *std::get<0>(printer));
  auto client = context.client();
  if (auto* exit = std::get_if<Exit>(&client)) return std::move(*exit);
  if (flags.interactive) return run_interactive(context, *std::get<0>(client), display, variables);
  return run_one(*std::get<0>(client), display, std::get<0>(request));
}

}  // namespace

void add_watch_command(Command& root, Context& context, const VariableReader& variable) {
  auto command = std::make_unique<Command>();
  command->name = "watch";
  command->arguments = "[options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]";
  command->summary = "Prints changes of keys as they happen";
  command->description =
      "Prints changes of a key, a range or a prefix as they happen, until it is interrupted. It goes on where it was\n"
      "when a member fails.\n\n"
      "With a command behind '--', runs that for each change, with ETCD_WATCH_REVISION, and, quoted as in Go,\n"
      "ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and ETCD_WATCH_VALUE in its environment. kvctl ends when it fails.\n\n"
      "With -i, reads lines from standard input: 'watch [options] <key> [range_end] [-- command]' begins a watch, and\n"
      "'progress' asks how far the watches are.\n\n"
      "The key may come from ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END (or KVCTL_...) instead.";
  command->examples =
      "  kvctl watch message\n"
      "  kvctl watch --prefix /services/ --rev 1234 --prev-kv\n"
      "  kvctl watch config -- ./reload.sh";
  command->group = kWatchingGroup;
  auto flags = std::make_shared<WatchFlags>();
  flags->declare(command->flags);
  command->run = [&context, flags, variable, self = command.get()](const auto& arguments) {
    const WatchVariables variables{variable_named(variable, "WATCH_KEY"), variable_named(variable, "WATCH_RANGE_END")};
    return run_watch(context, *flags, arguments, self->separator, variables);
  };
  root.children.push_back(std::move(command));
}

}  // namespace kv::kvctl
