#include "kvctl/watch_request.h"

#include <algorithm>
#include <utility>

#include "kvctl/command_line.h"
#include "kvctl/txn_parser.h"

namespace kv::kvctl {
namespace {

constexpr const char* kWrongNumber = "bad number of arguments";

// What is wrong with the request itself; in the interactive mode no reason to end.
std::variant<WatchRequest, Exit> range_request(const WatchFlags& flags, std::vector<std::string> range,
                                               std::vector<std::string> command) {
  if (range.empty()) return bad_args(kWrongNumber);
  if (range.size() > 2) return bad_args(kWrongNumber, "A watch takes a key and at most a range_end.");
  WatchRequest request;
  request.command = std::move(command);
  request.key = range[0];
  if (range.size() == 2) {
    if (flags.prefix) return bad_args("`range_end` and `--prefix` are mutually exclusive");
    request.options.range_end = range[1];
  }
  if (flags.prefix) {
    const bool everything = request.key.empty();
    request.options.range_end = everything ? client::unbounded() : client::prefix_end(request.key);
    if (everything) request.key = std::string(1, '\0');
  }
  request.options.start_revision = flags.rev;
  request.options.prev_kv = flags.prev_kv;
  request.options.progress_notify = flags.progress_notify;
  return request;
}

// The range and the command apart; the command line's own errors.
std::optional<Exit> split(const std::vector<std::string>& arguments, std::optional<size_t> separator,
                          const WatchVariables& variables, std::vector<std::string>& range,
                          std::vector<std::string>& command) {
  const auto middle = arguments.begin() + static_cast<std::ptrdiff_t>(separator.value_or(arguments.size()));
  range.assign(arguments.begin(), middle);
  command.assign(middle, arguments.end());
  if (separator && command.empty()) {
    return bad_args("bad number of arguments (found separator --, but no commands)");
  }
  if (variables.key.empty()) {
    if (range.empty()) return bad_args(kWrongNumber);
    return std::nullopt;
  }
  if (!range.empty()) return bad_args("bad number of arguments (found conflicting environment key)");
  range.push_back(variables.key);
  if (!variables.range_end.empty()) range.push_back(variables.range_end);
  return std::nullopt;
}

}  // namespace

void WatchFlags::declare(Flags& flags) {
  flags.add("interactive,i", interactive, "read what to watch from standard input, a line each");
  flags.add("prefix", prefix, "watch all keys that begin with the key");
  flags.add("rev", rev, "begin at this revision (0: now)");
  flags.add("prev-kv", prev_kv, "print what the key held before");
  flags.add("progress-notify", progress_notify, "print from time to time how far a quiet watch is");
}

std::variant<WatchRequest, Exit> watch_request(const WatchFlags& flags, const std::vector<std::string>& arguments,
                                               std::optional<size_t> separator, const WatchVariables& variables) {
  std::vector<std::string> range;
  std::vector<std::string> command;
  if (auto exit = split(arguments, separator, variables, range, command)) return *std::move(exit);
  return range_request(flags, std::move(range), std::move(command));
}

std::variant<WatchLine, Exit> read_watch_line(const std::string& line, const WatchVariables& variables) {
  auto read = split_words(line);
  if (auto* exit = std::get_if<Exit>(&read)) return std::move(*exit);
  const auto& words = std::get<0>(read);
  const auto invalid = [](std::string complaint) {
    return WatchLine{WatchLine::Kind::kInvalid, {}, std::move(complaint)};
  };
  if (words.empty()) return invalid("Invalid command: " + line + " (watch and progress supported)");
  if (words[0] == "progress") return WatchLine{WatchLine::Kind::kProgress, {}, {}};
  if (words[0] != "watch") return invalid("Invalid command " + line + " (only support watch)");
  if (words.size() < 2 && variables.key.empty()) {
    return invalid("Invalid command " + line + " (command type or key is not provided)");
  }

  const auto dashes = std::find(words.begin(), words.end(), "--");
  Flags flags;
  WatchFlags watch_flags;
  watch_flags.declare(flags);
  std::vector<std::string> arguments;
  if (const auto error = read_flags(flags, {words.begin() + 1, dashes}, arguments)) return bad_args(*error);
  std::optional<size_t> separator;
  if (dashes != words.end()) {
    separator = arguments.size();
    arguments.insert(arguments.end(), dashes + 1, words.end());
  }
  std::vector<std::string> range;
  std::vector<std::string> command;
  if (auto exit = split(arguments, separator, variables, range, command)) return *std::move(exit);
  auto request = range_request(watch_flags, std::move(range), std::move(command));
  if (const auto* exit = std::get_if<Exit>(&request)) {
    return invalid("Invalid command " + line + " (" + exit->error + ")");
  }
  return WatchLine{WatchLine::Kind::kWatch, std::get<0>(std::move(request)), {}};
}

}  // namespace kv::kvctl
