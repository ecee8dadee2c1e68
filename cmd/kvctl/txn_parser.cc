#include "kvctl/txn_parser.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "kvctl/command_line.h"
#include "kvctl/go_format.h"
#include "kvctl/requests.h"

namespace kv::kvctl {
namespace {

using client::Compare;
using client::CompareTarget;
using client::Comparison;

constexpr std::string_view kSpaces = " \t\r\n\v\f";

constexpr const char* kCompareHint =
    "A comparison looks like mod(\"key\") > \"0\": create, mod, version, value or lease, the key and the operand in "
    "double quotes, a space on each side of the operator.";

Exit invalid(std::string error, std::string hint = {}) {
  return {kExitInvalidInput, std::move(error), std::move(hint)};
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

void skip_spaces(std::string_view& text) { text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size())); }

// Where the quoted string at the front of `text` ends, its quotes included; nullopt when it has no end.
std::optional<size_t> quoted_size(std::string_view text) {
  if (text.empty() || (text[0] != '"' && text[0] != '`')) return std::nullopt;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == text[0]) return i + 1;
    if (text[0] == '"' && text[i] == '\\') ++i;
  }
  return std::nullopt;
}

// Takes a quoted string from the front of `text`, after any spaces.
std::optional<std::string> take_quoted(std::string_view& text) {
  skip_spaces(text);
  const auto size = quoted_size(text);
  if (!size) return std::nullopt;
  auto value = go_unquote(text.substr(0, *size));
  if (value) text.remove_prefix(*size);
  return value;
}

// What stands behind "TARGET(": "key") OP "operand". Whatever follows is not looked at, as in etcdctl.
struct Comparands {
  std::string key{};
  std::string op{};
  std::string operand{};
  bool complete = false;
};

Comparands take_comparands(std::string_view text) {
  Comparands found;
  const auto key = take_quoted(text);
  if (!key) return found;
  found.key = *key;
  if (!text.starts_with(')')) return found;
  text.remove_prefix(1);
  if (text.empty() || kSpaces.find(text[0]) == kSpaces.npos) return found;
  skip_spaces(text);
  const size_t op_size = std::min(text.find_first_of(kSpaces), text.size());
  found.op = std::string(text.substr(0, op_size));
  text.remove_prefix(op_size);
  const auto operand = take_quoted(text);
  if (!operand) return found;
  found.operand = *operand;
  found.complete = true;
  return found;
}

std::optional<Comparison> comparison_named(std::string_view op) {
  if (op == "=") return Comparison::kEqual;
  if (op == "!=") return Comparison::kNotEqual;
  if (op == ">") return Comparison::kGreater;
  if (op == "<") return Comparison::kLess;
  return std::nullopt;
}

std::optional<CompareTarget> target_named(std::string_view name) {
  if (name == "ver" || name == "version") return CompareTarget::kVersion;
  if (name == "c" || name == "create") return CompareTarget::kCreateRevision;
  if (name == "m" || name == "mod") return CompareTarget::kModRevision;
  if (name == "val" || name == "value") return CompareTarget::kValue;
  if (name == "lease") return CompareTarget::kLease;
  return std::nullopt;
}

// A command by its name or by a beginning that no other has.
std::string_view request_named(std::string_view word) {
  for (const std::string_view name : {"get", "put", "del"}) {
    if (!word.empty() && name.starts_with(word)) return name;
  }
  return {};
}

// Reads flags and arguments behind the request's name into `flags`, and makes the request of them.
template <typename RequestFlags, typename Make>
std::variant<client::Op, Exit> make_request(std::string_view line, const std::vector<std::string>& words, Make make) {
  RequestFlags request_flags;
  Flags flags;
  request_flags.declare(flags);
  std::vector<std::string> arguments;
  if (const auto error = read_flags(flags, {words.begin() + 1, words.end()}, arguments)) {
    return invalid("invalid txn request: " + std::string(line), *error + ".");
  }
  auto made = make(request_flags, arguments);
  if (auto* exit = std::get_if<Exit>(&made)) return std::move(*exit);
  return client::Op{std::get<0>(std::move(made))};
}

// The lines up to the next blank one, each given to `take`, which returns an error or nothing.
template <typename Take>
std::optional<Exit> read_lines(std::istream& in, std::string_view list, Take take) {
  for (std::string text; std::getline(in, text) && !in.eof();) {
    const std::string_view line = trimmed(text);
    if (line.empty()) return std::nullopt;
    if (auto exit = take(line)) return exit;
  }
  return invalid("EOF",
                 "The input ended before the blank line that ends the " + std::string(list) + ". Nothing was sent.");
}

}  // namespace

std::variant<Compare, Exit> parse_compare(std::string_view line) {
  const std::string text(line);
  const size_t paren = line.find('(');
  if (paren == line.npos) return invalid("malformed comparison: " + text, kCompareHint);
  const std::string target_name(line.substr(0, paren));
  const Comparands found = take_comparands(line.substr(paren + 1));
  if (!found.complete) {
    return invalid("malformed comparison: " + text + "; got " + target_name + "(" + go_quote(found.key) + ") " +
                       found.op + " " + go_quote(found.operand),
                   kCompareHint);
  }
  const auto target = target_named(target_name);
  if (!target) return invalid("malformed comparison: " + text + " (unknown target " + target_name + ")", kCompareHint);

  Compare compare;
  compare.key = found.key;
  compare.target = *target;
  if (*target == CompareTarget::kValue) {
    compare.operand = found.operand;
  } else {
    const auto number = go_parse_int(found.operand, *target == CompareTarget::kLease ? 16 : 10);
    if (!number.ok()) return invalid("invalid txn compare request: " + text, number.error + ".");
    compare.operand = number.value;
  }
  const auto comparison = comparison_named(found.op);
  if (!comparison) {
    return invalid("malformed comparison: " + text + " (unknown operator " + found.op + ")",
                   "The operators are =, !=, < and >.");
  }
  compare.comparison = *comparison;
  return compare;
}

std::variant<std::vector<std::string>, Exit> split_words(std::string_view line) {
  std::vector<std::string> words;
  for (size_t i = 0; i < line.size();) {
    const std::string_view rest = line.substr(i);
    if (rest[0] == '"') {
      const auto size = quoted_size(rest);
      if (!size) {
        ++i;
        continue;
      }
      auto word = go_unquote(rest.substr(0, *size));
      if (!word) {
        return invalid("invalid syntax", "An escape in " + std::string(rest.substr(0, *size)) + " is not one of Go's.");
      }
      words.push_back(*std::move(word));
      i += *size;
    } else if (rest[0] == '\'') {
      const size_t end = rest.find('\'', 1);
      if (end == rest.npos) {
        ++i;
        continue;
      }
      words.emplace_back(rest.substr(1, end - 1));
      i += end + 1;
    } else if (kSpaces.find(rest[0]) != kSpaces.npos) {
      ++i;
    } else {
      const size_t size = std::min(rest.find_first_of(kSpaces), rest.size());
      words.emplace_back(rest.substr(0, size));
      i += size;
    }
  }
  return words;
}

std::variant<client::Op, Exit> parse_request(std::string_view line) {
  auto split = split_words(line);
  if (auto* exit = std::get_if<Exit>(&split)) return std::move(*exit);
  const auto& words = std::get<std::vector<std::string>>(split);
  if (words.size() < 2) {
    return invalid("invalid txn compare request: " + std::string(line), "A request is get, put or del with its key.");
  }
  const std::string_view name = request_named(words[0]);
  if (name == "get") {
    return make_request<GetFlags>(line, words, [](const GetFlags& f, const auto& args) { return f.request(args); });
  }
  if (name == "put") {
    return make_request<PutFlags>(line, words,
                                  [](const PutFlags& f, const auto& args) { return f.request(args, nullptr); });
  }
  if (name == "del") {
    return make_request<DelFlags>(line, words, [](const DelFlags& f, const auto& args) { return f.request(args); });
  }
  return invalid("invalid txn request: " + std::string(line), "The requests of a transaction are get, put and del.");
}

std::variant<client::Txn, Exit> read_txn(std::istream& in, const std::function<void(std::string_view)>& prompt) {
  client::Txn txn;
  prompt("compares:");
  const auto take_compare = [&](std::string_view line) -> std::optional<Exit> {
    auto compare = parse_compare(line);
    if (auto* exit = std::get_if<Exit>(&compare)) return std::move(*exit);
    txn.when({std::get<Compare>(std::move(compare))});
    return std::nullopt;
  };
  if (auto exit = read_lines(in, "compares", take_compare)) return *std::move(exit);

  struct {
    std::string_view heading;
    std::string_view name;
    client::Txn& (client::Txn::*add)(std::vector<client::Op>);
  } const branches[] = {{"success requests (get, put, del):", "success requests", &client::Txn::then},
                        {"failure requests (get, put, del):", "failure requests", &client::Txn::otherwise}};
  for (const auto& branch : branches) {
    prompt(branch.heading);
    const auto take_request = [&](std::string_view line) -> std::optional<Exit> {
      auto op = parse_request(line);
      if (auto* exit = std::get_if<Exit>(&op)) return std::move(*exit);
      (txn.*branch.add)({std::get<client::Op>(std::move(op))});
      return std::nullopt;
    };
    if (auto exit = read_lines(in, branch.name, take_request)) return *std::move(exit);
  }
  return txn;
}

}  // namespace kv::kvctl
