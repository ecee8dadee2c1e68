#include <unistd.h>

#include <memory>
#include <ostream>
#include <utility>

#include "client/election.h"
#include "client/mutex.h"
#include "client/semaphore.h"
#include "kvctl/child_process.h"
#include "kvctl/commands.h"
#include "kvctl/go_format.h"
#include "kvctl/signals.h"
#include "kvctl/terminal_table.h"

namespace kv::kvctl {
namespace {

using Arguments = std::vector<std::string>;

// A client, a printer and the signals, which have to be held back before a client has threads.
struct Tools {
  std::unique_ptr<Signals> signals;
  std::unique_ptr<Client> client;
  std::unique_ptr<Printer> printer;
};
std::variant<Tools, Exit> tools_for(const Context& context) {
  auto printer = context.printer_for(Printed::kKeyValues);
  if (auto* exit = std::get_if<Exit>(&printer)) return std::move(*exit);
  auto signals = std::make_unique<Signals>();
  auto client = context.client();
  if (auto* exit = std::get_if<Exit>(&client)) return std::move(*exit);
  return Tools{std::move(signals), std::get<0>(std::move(client)), std::get<0>(std::move(printer))};
}

// Prints the key by which a lock is held or an election won.
Exit show_key(const Context& context, Client& client, Printer& printer, const std::string& key, const char* gone) {
  const auto got = client.get(key, {}, context.call_options());
  if (!got.ok()) return failed(got.status());
  if (got->kvs.empty()) return {kExitError, gone, ""};
  printer.get(*got);
  context.out.flush();
  return {};
}

Exit run_lock(const Context& context, int64_t ttl, const Arguments& arguments) {
  if (arguments.empty()) {
    return bad_args("lock takes a lock name argument and an optional command to execute");
  }
  auto tools = tools_for(context);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  auto& [signals, client, printer] = std::get<Tools>(tools);
  const auto session = client::Session::create(*client, {.ttl_s = ttl > 0 ? ttl : client::SessionOptions{}.ttl_s});
  if (!session.ok()) return failed(session.status());
  client::Mutex mutex(**session, arguments[0]);
  if (const Status s = mutex.lock({.stop = signals->token()}); !s.ok()) return failed(s);

  if (arguments.size() > 1) {
    context.out.flush();
    const ChildExit ended =
        run_child({arguments.begin() + 1, arguments.end()},
                  {{"ETCD_LOCK_KEY", mutex.key()}, {"ETCD_LOCK_REV", std::to_string(mutex.header().revision)}});
    const Status unlocked = mutex.unlock();
    if (!ended.error.empty()) return {ended.code, ended.error, ""};
    return unlocked.ok() ? Exit{} : failed(unlocked);
  }
  if (Exit exit = show_key(context, *client, *printer, mutex.key(), "lock lost on init"); exit.code != kExitOk) {
    return exit;
  }
  const Status lost = (*session)->wait_lost({.stop = signals->token()});
  if (lost.ok()) return {kExitError, "session expired", "Another may hold the lock by now."};
  const Status unlocked = mutex.unlock();
  return unlocked.ok() ? Exit{} : failed(unlocked);
}

Exit observe(const Context& context, const Tools& tools, const std::string& name) {
  client::ElectionObserver observer(*tools.client, name);
  for (;;) {
    auto next = observer.next({.stop = tools.signals->token()});
    if (tools.signals->received()) return {};
    if (!next.ok()) {
      Exit exit = failed(next.status());
      exit.hint = exit.error;
      exit.error = "elect: observer lost";
      return exit;
    }
    tools.printer->get({.header = next->header, .kvs = {std::move(next->kv)}});
    context.out.flush();
  }
}

Exit campaign(const Context& context, const Tools& tools, const std::string& name, const std::string& proposal) {
  const auto session = client::Session::create(*tools.client);
  if (!session.ok()) return failed(session.status());
  client::Election election(**session, name);
  if (const Status s = election.campaign(proposal, {.stop = tools.signals->token()}); !s.ok()) return failed(s);
  if (Exit exit = show_key(context, *tools.client, *tools.printer, election.key(), "elect: session expired");
      exit.code != kExitOk) {
    return exit;
  }
  if ((*session)->wait_lost({.stop = tools.signals->token()}).ok()) {
    return {kExitError, "elect: session expired", "Another may lead by now."};
  }
  const Status resigned = election.resign();
  return resigned.ok() ? Exit{} : failed(resigned);
}

Exit run_elect(const Context& context, bool listen, const Arguments& arguments) {
  if (arguments.size() != 1 && arguments.size() != 2) {
    return bad_args("elect takes one election name argument and an optional proposal argument");
  }
  if (arguments.size() == 1 && !listen) return bad_args("no proposal argument but -l not set");
  if (arguments.size() == 2 && listen) return bad_args("proposal given but -l is set");
  const auto tools = tools_for(context);
  if (const auto* exit = std::get_if<Exit>(&tools)) return *exit;
  if (listen) return observe(context, std::get<Tools>(tools), arguments[0]);
  return campaign(context, std::get<Tools>(tools), arguments[0], arguments[1]);
}

struct SemaphoreFlags {
  int64_t permits = 1;
  int64_t ttl = 10;
  std::string identity;
  bool list = false;
};

Exit list_places(const Context& context, Client& client, const std::string& name) {
  const auto state = client::Semaphore::state(client, name, context.call_options());
  if (!state.ok()) return failed(state.status());
  Rows table{{"place", "identity", "lease", "revision"}, {}};
  const auto add = [&](const char* what, const std::vector<client::SemaphorePlace>& places) {
    for (const auto& place : places) {
      table.rows.push_back({what, place.identity, hex16(place.lease), std::to_string(place.revision)});
    }
  };
  add("holds", state->holders);
  add("waits", state->waiters);
  Terminal terminal = context.out_terminal;
  if (!terminal.is_terminal) terminal.columns = SIZE_MAX;
  context.out << state->holders.size() << " of " << state->permits << " permits are held, " << state->waiters.size()
              << " wait\n";
  if (!table.rows.empty()) context.out << terminal_table(table, terminal);
  return {};
}

Exit run_semaphore(const Context& context, const SemaphoreFlags& flags, const Arguments& arguments) {
  if (arguments.empty()) return bad_args("semaphore takes a name and an optional command to execute");
  if (flags.list && arguments.size() > 1) return bad_args("--list takes no command");
  auto tools = tools_for(context);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  auto& [signals, client, printer] = std::get<Tools>(tools);
  if (flags.list) return list_places(context, *client, arguments[0]);
  std::string identity = flags.identity;
  if (identity.empty()) {
    char host[256] = "";
    if (::gethostname(host, sizeof host - 1) == 0) identity = host;
  }
  const auto session =
      client::Session::create(*client, {.ttl_s = flags.ttl > 0 ? flags.ttl : client::SessionOptions{}.ttl_s});
  if (!session.ok()) return failed(session.status());
  client::Semaphore semaphore(**session, arguments[0], flags.permits, identity);
  if (const Status s = semaphore.acquire({.stop = signals->token()}); !s.ok()) return failed(s);
  if (arguments.size() > 1) {
    context.out.flush();
    const ChildExit ended = run_child(
        {arguments.begin() + 1, arguments.end()},
        {{"KVCTL_SEMAPHORE_KEY", semaphore.key()}, {"KVCTL_SEMAPHORE_REV", std::to_string(semaphore.revision())}});
    const Status released = semaphore.release();
    if (!ended.error.empty()) return {ended.code, ended.error, ""};
    return released.ok() ? Exit{} : failed(released);
  }
  if (Exit exit = show_key(context, *client, *printer, semaphore.key(), "permit lost on init"); exit.code != kExitOk) {
    return exit;
  }
  if ((*session)->wait_lost({.stop = signals->token()}).ok()) {
    return {kExitError, "session expired", "Another may hold the permit by now."};
  }
  const Status released = semaphore.release();
  return released.ok() ? Exit{} : failed(released);
}

}  // namespace

void add_concurrency_commands(Command& root, Context& context) {
  auto lock = std::make_unique<Command>();
  lock->name = "lock";
  lock->arguments = "[options] <lockname> [exec-command arg1 arg2 ...]";
  lock->summary = "Waits for a lock, and holds it";
  lock->description =
      "Waits for the lock of that name, prints the key by which it is held, and holds it until it is interrupted.\n\n"
      "With a command, runs that instead while the lock is held, with ETCD_LOCK_KEY and ETCD_LOCK_REV in its\n"
      "environment, and ends with its exit code. Flags of the command go behind '--'.\n\n"
      "A lock lasts as long as its holder can keep a lease alive. One that is cut off or stopped for longer than "
      "--ttl\n"
      "loses it and can't know: what matters must be guarded besides, see \"What a lock promises\" in docs/client.md.";
  lock->examples =
      "  kvctl lock backup\n"
      "  kvctl lock backup -- ./backup.sh --full";
  lock->group = kConcurrencyGroup;
  const auto ttl = std::make_shared<int64_t>(10);
  lock->flags.add("ttl", *ttl, "seconds after which the lock of a holder that died is free");
  lock->run = [&context, ttl](const Arguments& arguments) { return run_lock(context, *ttl, arguments); };
  root.children.push_back(std::move(lock));

  auto elect = std::make_unique<Command>();
  elect->name = "elect";
  elect->arguments = "[options] <election-name> [proposal]";
  elect->summary = "Stands in an election, or shows who leads";
  elect->description =
      "Stands in the election of that name with a proposal, prints the key when it has won, and leads until it is\n"
      "interrupted. With -l, prints the leader's key and proposal, and each change of them.";
  elect->examples =
      "  kvctl elect scheduler 10.0.0.7:8080\n"
      "  kvctl elect -l scheduler";
  elect->group = kConcurrencyGroup;
  const auto listen = std::make_shared<bool>(false);
  elect->flags.add("listen,l", *listen, "watch the election, without standing");
  elect->run = [&context, listen](const Arguments& arguments) { return run_elect(context, *listen, arguments); };
  root.children.push_back(std::move(elect));

  auto semaphore = std::make_unique<Command>();
  semaphore->name = "semaphore";
  semaphore->arguments = "[options] <name> [exec-command arg1 arg2 ...]";
  semaphore->summary = "Waits for one of N permits, and holds it";
  semaphore->description =
      "Waits for a permit of the semaphore of that name, prints the key by which it is held, and holds it until it is\n"
      "interrupted; with a command, runs that instead, with KVCTL_SEMAPHORE_KEY and KVCTL_SEMAPHORE_REV in its\n"
      "environment, and ends with its exit code. Who asked first is served first.\n\n"
      "The first who asks sets the number of permits; who comes with another number is refused.";
  semaphore->examples =
      "  kvctl semaphore reboots --permits 2 -- ./upgrade-and-reboot.sh\n"
      "  kvctl semaphore reboots --list";
  semaphore->group = kConcurrencyGroup;
  const auto semaphore_flags = std::make_shared<SemaphoreFlags>();
  semaphore->flags.add("permits", semaphore_flags->permits, "how many may hold it at a time");
  semaphore->flags.add("ttl", semaphore_flags->ttl, "seconds after which the permit of a holder that died is free");
  semaphore->flags.add("identity", semaphore_flags->identity,
                       "who holds it, for --list (default: this machine's name)");
  semaphore->flags.add("list", semaphore_flags->list, "show who holds a permit and who waits");
  semaphore->run = [&context, semaphore_flags](const Arguments& arguments) {
    return run_semaphore(context, *semaphore_flags, arguments);
  };
  root.children.push_back(std::move(semaphore));
}

}  // namespace kv::kvctl
