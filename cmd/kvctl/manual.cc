#include "kvctl/manual.h"

#include <algorithm>
#include <cctype>

#include "kvctl/exit.h"
#include "man/page.h"

namespace kv::kvctl {
namespace {

using man::bold;
using man::italic;
using man::Page;
using man::Roff;

void add_flags(Page& page, const Flags& flags) {
  for (const Flag& flag : flags.all()) {
    const std::string name = flag_name(flag);
    const size_t type = flag.is_bool() ? name.size() : name.size() - flag.type.size();
    page.item(bold(name.substr(0, type)) + italic(name.substr(type)), flag_meaning(flag));
  }
}

// A command with its flags and examples, and then its children. What a group has besides them is for all of them.
void add_command(Page& page, const CommandLine& line) {
  const Command& command = line.command();
  const std::string name = line.command_name();
  page.item(bold(name) + usage(line).substr(name.size()), about(command));
  if (!command.flags.all().empty()) {
    page.indent();
    add_flags(page, command.flags);
    page.outdent();
  }
  if (!command.examples.empty()) page.example(command.examples);
  for (const auto& child : command.children) {
    CommandLine below = line;
    below.path.push_back(child.get());
    add_command(page, below);
  }
}

void add_commands(Page& page, Command& root) {
  page.section("COMMANDS");
  page.prose(
      "A command may be cut short where no other begins so: \"kvctl compact 5\" is \"kvctl compaction 5\". Flags may "
      "stand "
      "anywhere, as --name=value or --name value; what stands behind -- is no flag. Flags of a command that has "
      "others below it are for all of these.");
  for (const std::string& group : groups_of(root)) {
    page.subsection(group);
    for (const auto& child : root.children) {
      if (child->group != group) continue;
      add_command(page, {.path = {&root, child.get()}});
    }
  }
}

std::string variable_of(const Flag& flag) {
  std::string name = "KVCTL_" + flag.name;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(c == '-' ? '_' : std::toupper(c)); });
  return name;
}

void add_options(Page& page, const Flags& flags) {
  page.section("OPTIONS");
  page.prose("These flags can be given to any command.");
  add_flags(page, flags);
  page.item(bold("-h, --help"), "help about the command");
}

void add_environment(Page& page, const Flags& flags) {
  page.section("ENVIRONMENT");
  page.prose("Each of the flags that every command has can be a variable instead. A flag that is given wins.");
  page.prose(
      "Commands that kvctl runs find these: ETCD_LOCK_KEY and ETCD_LOCK_REV (lock), KVCTL_SEMAPHORE_KEY and "
      "KVCTL_SEMAPHORE_REV (semaphore), ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and "
      "ETCD_WATCH_VALUE (watch).");
  for (const Flag& flag : flags.all()) page.item(bold(variable_of(flag)), "--" + flag.name);
  page.item(bold("ETCDCTL_ENDPOINTS") + " and so on", "etcdctl's names for the same, where KVCTL_... isn't set");
  page.item(bold("KVCTL_WATCH_KEY") + ", " + bold("KVCTL_WATCH_RANGE_END"),
            "what watch watches when it is given no key; or ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END");
  page.item(bold("VISUAL") + ", " + bold("EDITOR"), "the editor of edit; else vi");
  page.item(bold("TMPDIR"), "where edit keeps the text that is edited; else /tmp");
  page.item(bold("NO_COLOR"), "if it isn't empty, nothing is coloured unless --color says so");
  page.item(bold("TERM"), "dumb: nothing is coloured, and top does not draw the screen anew");
  page.item(bold("COLUMNS"), "the width of tables; else the terminal's");
}

void add_exit_status(Page& page) {
  page.section("EXIT STATUS");
  const auto add = [&](int code, std::string_view meaning) { page.item(bold(std::to_string(code)), meaning); };
  add(kExitOk, "done");
  add(kExitError,
      "the server refused, or could not be reached; a flag that can't be read; an endpoint that is not healthy");
  add(kExitBadConnection,
      "a wrong name or password; lease timetolive, list and keep-alive: the server refused, or could not be reached");
  add(kExitInvalidInput, "a transaction's text that can't be read, or the end of watch -i's input");
  add(kExitBadFeature, "a flag with a value that isn't supported, such as -w xml");
  add(kExitInterrupted, "a watch that the server ended; a backup that could not be saved");
  add(kExitIo, "the output could not be written");
  add(kExitBadArgs, "too few or too many arguments, or arguments that don't go together");
  page.item("any", "lock and semaphore with a command: the command's own; 255 when a signal ended it");
  page.section("DIAGNOSTICS");
  page.prose(
      "An error is a line \"Error: ...\" on standard error, in etcdctl's words where it has some. The next line, "
      "indented, says what to do.");
}

void add_files(Page& page) {
  page.section("FILES");
  page.item(italic("FILE") + bold(".part"),
            "a backup that snapshot save is still fetching; it is called FILE once all of it has arrived, matches its "
            "SHA-256 and is synced");
  page.item(italic("DIRECTORY") + bold(".restoring"),
            "a data directory that snapshot restore has begun and not finished");
  page.item(bold("/tmp/kvctl-edit-") + italic("XXXXXX"),
            "the text that edit has open; it is kept when it could not be written back");
}

}  // namespace

std::string manual(Command& root) {
  Page page("kvctl", 1, "User Commands");
  page.section("NAME");
  page.paragraph("kvctl - reads and writes the keys of a kvd or etcd cluster");
  page.section("SYNOPSIS");
  page.paragraph(bold("kvctl") + " " + root.arguments);
  page.paragraph(bold("kvctl") + " [command] " + bold("--help"));
  page.section("DESCRIPTION");
  page.prose(about(root));
  page.prose(
      "It takes etcdctl's place: the same commands, flags, output formats and exit codes, so that scripts need only "
      "another name.\n\n"
      "It talks to the first of --endpoints that can be connected, and moves to the next when that fails. An endpoint "
      "is host:port, http://host:port, https://host:port or unix:path. A read is sent again where that helps; a write "
      "only when it certainly was never sent, so a write is never carried out twice.");
  add_commands(page, root);
  add_options(page, root.flags);
  add_environment(page, root.flags);
  add_exit_status(page);
  add_files(page);
  page.section("EXAMPLES");
  page.example(root.examples);
  page.section("SEE ALSO");
  page.paragraph(bold("kvd") + "(8), " + bold("etcdctl") + "(1)");
  return page.text();
}

}  // namespace kv::kvctl
