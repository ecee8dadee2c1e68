#include <chrono>
#include <istream>
#include <memory>
#include <ostream>
#include <thread>
#include <utility>

#include "kvctl/commands.h"
#include "kvctl/go_format.h"
#include "kvctl/key_pages.h"
#include "kvctl/requests.h"
#include "kvctl/txn_parser.h"

namespace kv::kvctl {
namespace {

using Arguments = std::vector<std::string>;

// A client and a printer, or the end of the command.
struct Tools {
  std::unique_ptr<Client> client;
  std::unique_ptr<Printer> printer;
};
std::variant<Tools, Exit> tools_for(const Context& context) {
  auto printer = context.printer_for(Printed::kKeyValues);
  if (auto* exit = std::get_if<Exit>(&printer)) return std::move(*exit);
  auto client = context.client();
  if (auto* exit = std::get_if<Exit>(&client)) return std::move(*exit);
  return Tools{std::get<0>(std::move(client)), std::get<0>(std::move(printer))};
}

Exit run_get(const Context& context, const GetFlags& flags, const Arguments& arguments) {
  const auto op = flags.request(arguments);
  if (const auto* exit = std::get_if<Exit>(&op)) return *exit;
  {
    const auto printer = context.printer();
    if (const auto* exit = std::get_if<Exit>(&printer)) return *exit;
    if (flags.count_only && !std::get<0>(printer)->shows_count()) {
      return bad_args("--count-only is only for `--write-out=fields`");
    }
    if (flags.print_value_only && !std::get<0>(printer)->set_value_only()) {
      return bad_args("print-value-only is only for `--write-out=simple`");
    }
  }
  auto tools = tools_for(context);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  auto& [client, printer] = std::get<Tools>(tools);
  if (flags.print_value_only) printer->set_value_only();
  const auto& [key, options] = std::get<client::GetOp>(op);
  const auto response = client->get(key, options, context.call_options());
  if (!response.ok()) return read_failed(*client, {key, options.range_end}, response.status(), context.call_options());
  printer->get(*response);
  return {};
}

Exit run_put(const Context& context, const PutFlags& flags, const Arguments& arguments) {
  const auto op = flags.request(arguments, &context.in);
  if (const auto* exit = std::get_if<Exit>(&op)) return *exit;
  auto tools = tools_for(context);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  auto& [client, printer] = std::get<Tools>(tools);
  const auto& [key, value, options] = std::get<client::PutOp>(op);
  const auto response = client->put(key, value, options, context.call_options());
  if (!response.ok()) return failed(response.status());
  printer->put(*response);
  return {};
}

Exit run_del(const Context& context, const DelFlags& flags, const Arguments& arguments) {
  const auto op = flags.request(arguments);
  if (const auto* exit = std::get_if<Exit>(&op)) return *exit;
  auto tools = tools_for(context);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  if (arguments.size() > 1 && !flags.range) {
    context.err << "Warning: Keys between " << go_quote(arguments[0]) << " and " << go_quote(arguments[1])
                << " will be deleted. Please interrupt the command within next 2 seconds to cancel. You can provide "
                   "`--range` flag to avoid the delay.\n"
                << std::flush;
    std::this_thread::sleep_for(std::chrono::seconds(2));
  }
  auto& [client, printer] = std::get<Tools>(tools);
  const auto& [key, options] = std::get<client::RemoveOp>(op);
  const auto response = client->remove(key, options, context.call_options());
  if (!response.ok()) return failed(response.status());
  printer->remove(*response);
  return {};
}

Exit run_txn(const Context& context, bool interactive, const Arguments& arguments) {
  if (!arguments.empty()) {
    return bad_args("txn command does not accept argument", "The transaction is read from standard input.");
  }
  auto tools = tools_for(context);
  if (auto* exit = std::get_if<Exit>(&tools)) return std::move(*exit);
  const auto txn = read_txn(context.in, [&](std::string_view heading) {
    if (interactive) context.out << heading << std::endl;
  });
  if (const auto* exit = std::get_if<Exit>(&txn)) return *exit;
  auto& [client, printer] = std::get<Tools>(tools);
  const auto response = client->commit(std::get<client::Txn>(txn), context.call_options());
  if (!response.ok()) return failed(response.status());
  printer->txn(*response);
  return {};
}

Exit run_compaction(const Context& context, bool physical, const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("compaction command needs 1 argument");
  const auto revision = go_parse_int(arguments[0], 10);
  if (!revision.ok()) return {kExitError, revision.error, "The argument is a revision: a whole number."};
  // The answer is the same in every format, but a wrong format is an error all the same.
  if (const auto printer = context.printer(); std::holds_alternative<Exit>(printer)) return std::get<Exit>(printer);
  auto client = context.client();
  if (auto* exit = std::get_if<Exit>(&client)) return std::move(*exit);
  const auto response = std::get<0>(client)->compact(revision.value, {.physical = physical}, context.call_options());
  if (!response.ok()) return failed(response.status());
  context.out << "compacted revision " << revision.value << '\n';
  return {};
}

// Adds a command whose flags are a struct with declare(); the struct lives as long as the command's run().
template <typename RequestFlags>
void add(Command& root, Context& context, std::unique_ptr<Command> command,
         Exit (*run)(const Context&, const RequestFlags&, const Arguments&)) {
  auto flags = std::make_shared<RequestFlags>();
  flags->declare(command->flags);
  command->group = kKeysGroup;
  command->run = [&context, flags, run](const Arguments& arguments) { return run(context, *flags, arguments); };
  root.children.push_back(std::move(command));
}

std::unique_ptr<Command> make(std::string name, std::string arguments, std::string summary) {
  auto command = std::make_unique<Command>();
  command->name = std::move(name);
  command->arguments = std::move(arguments);
  command->summary = std::move(summary);
  return command;
}

struct TxnFlags {
  bool interactive = false;
  void declare(Flags& flags) { flags.add("interactive,i", interactive, "print a heading before each list is read"); }
};
struct CompactionFlags {
  bool physical = false;
  void declare(Flags& flags) { flags.add("physical", physical, "wait until the old revisions' space is free"); }
};

}  // namespace

void add_key_value_commands(Command& root, Context& context) {
  auto get = make("get", "[options] <key> [range_end]", "Gets the key or a range of keys");
  get->examples =
      "  kvctl get message\n"
      "  kvctl get --prefix /services/ --keys-only\n"
      "  kvctl get a m                              from a up to, and without, m\n"
      "  kvctl get --prefix '' --limit 10 -w json";
  add<GetFlags>(root, context, std::move(get), run_get);

  auto put = make("put", "[options] <key> <value>", "Puts the given key into the store");
  put->description =
      "Puts the given key into the store.\n\n"
      "A <value> that isn't given is read from standard input. One that begins with '-' goes behind '--'.";
  put->examples =
      "  kvctl put message hello\n"
      "  kvctl put config < config.yaml\n"
      "  kvctl put temperature -- -4";
  add<PutFlags>(root, context, std::move(put), run_put);

  auto del = make("del", "[options] <key> [range_end]", "Removes the key or a range of keys [key, range_end)");
  del->examples =
      "  kvctl del message\n"
      "  kvctl del --prefix /services/ --prev-kv";
  add<DelFlags>(root, context, std::move(del), run_del);

  auto txn = make("txn", "[options]", "Carries out many requests in one transaction");
  txn->description =
      "Reads a transaction from standard input and carries it out atomically: comparisons, the requests for when all\n"
      "of them hold, the requests for when one doesn't. A blank line ends each of the three.\n\n"
      "A comparison is create, mod, version, value or lease of a key, an operator (= != < >) and an operand.\n"
      "A request is get, put or del with its flags.";
  txn->examples =
      "  kvctl txn <<EOF\n"
      "  mod(\"key1\") > \"0\"\n"
      "\n"
      "  put key1 \"overwrote-key1\"\n"
      "\n"
      "  put key1 \"created-key1\"\n"
      "  put key2 \"some extra key\"\n"
      "\n"
      "  EOF";
  add<TxnFlags>(root, context, std::move(txn), [](const Context& c, const TxnFlags& f, const Arguments& arguments) {
    return run_txn(c, f.interactive, arguments);
  });

  auto compaction = make("compaction", "[options] <revision>", "Forgets the history before a revision");
  compaction->examples = "  kvctl compaction 1234";
  add<CompactionFlags>(root, context, std::move(compaction),
                       [](const Context& c, const CompactionFlags& f, const Arguments& arguments) {
                         return run_compaction(c, f.physical, arguments);
                       });
}

}  // namespace kv::kvctl
