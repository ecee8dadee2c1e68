// tree, diff and history: what is in the key space, and how it came to be so.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <thread>
#include <utility>

#include "base/utf8.h"
#include "kvctl/commands.h"
#include "kvctl/go_format.h"
#include "kvctl/json_text.h"
#include "kvctl/key_pages.h"
#include "kvctl/key_tree.h"
#include "kvctl/line_diff.h"
#include "kvctl/terminal_table.h"

namespace kv::kvctl {
namespace {

using Arguments = std::vector<std::string>;
using client::KeyValue;

std::optional<Exit> refuse_but(const Context& context, bool json) {
  const std::string& format = context.globals.write_out;
  if (format == "simple" || (json && format == "json")) return std::nullopt;
  return bad_feature(format + " not supported as output format",
                     json ? "This is printed as simple or json." : "This is printed as simple.");
}

// ---- tree ----

struct TreeFlags {
  int64_t depth = 0;
  bool values = false;
  int64_t rev = 0;
};

Exit run_tree(const Context& context, const TreeFlags& flags, const Arguments& arguments) {
  if (arguments.size() > 1) return bad_args("tree takes at most one argument, a prefix");
  if (flags.depth < 0) return bad_args("--depth must not be negative", "0 draws every level.");
  if (auto refused = refuse_but(context, false)) return *refused;
  auto client = context.client();
  if (auto* exit = std::get_if<Exit>(&client)) return std::move(*exit);
  const std::string prefix = arguments.empty() ? "" : arguments[0];
  // A prefix that ends within a name still shows whole names.
  const size_t root = prefix.rfind('/') == prefix.npos ? 0 : prefix.rfind('/') + 1;
  const KeyRange range = prefix_range(prefix);
  KeyPages pages(*std::get<0>(client), range, flags.rev, context.call_options(), !flags.values);
  KeyTree tree(static_cast<size_t>(flags.depth));
  for (KeyCursor keys(pages);;) {
    const auto next = keys.next();
    if (!next.ok()) return read_failed(*std::get<0>(client), range, next.status(), context.call_options());
    if (*next == nullptr) break;
    tree.add(std::string_view((*next)->key).substr(root), (*next)->value);
  }
  context.out << tree.draw(root == 0 ? "." : prefix.substr(0, root), flags.values, context.out_terminal) << '\n'
              << tree.keys() << (tree.keys() == 1 ? " key" : " keys") << " at revision " << pages.revision() << '\n';
  return {};
}

// ---- diff ----

struct DiffFlags {
  bool names_only = false;
};

class DiffWriter {
 public:
  DiffWriter(const Context& context, bool names_only)
      : out_(context.out),
        paint_(context.out_terminal),
        names_only_(names_only),
        json_(context.globals.write_out == "json") {}

  // Either may be null, not both.
  void key(const KeyValue* before, const KeyValue* after) {
    if (json_) return json(before, after);
    if (names_only_) {
      out_ << (before == nullptr  ? paint_(Style::kGood, "A")
               : after == nullptr ? paint_(Style::kBad, "D")
                                  : paint_(Style::kChanged, "M"))
           << ' ' << printable((before != nullptr ? before : after)->key) << '\n';
      return;
    }
    out_ << paint_(Style::kHeading, side("---", before)) << '\n' << paint_(Style::kHeading, side("+++", after)) << '\n';
    const std::string_view old_value = before == nullptr ? "" : std::string_view(before->value);
    const std::string_view new_value = after == nullptr ? "" : std::string_view(after->value);
    if (!is_utf8(old_value) || !is_utf8(new_value)) {
      out_ << "Binary values of " << old_value.size() << " and " << new_value.size() << " bytes\n";
      return;
    }
    for (const std::string& line : unified(old_value, new_value)) {
      const Style style = line[0] == '+'   ? Style::kGood
                          : line[0] == '-' ? Style::kBad
                          : line[0] == '@' ? Style::kKey
                                           : Style::kNone;
      out_ << paint_(style, line) << '\n';
    }
  }

 private:
  static std::string side(const char* sign, const KeyValue* kv) {
    if (kv == nullptr) return std::string(sign) + " (none)";
    return std::string(sign) + ' ' + printable(kv->key) + "  (revision " + std::to_string(kv->mod_revision) +
           ", version " + std::to_string(kv->version) + ')';
  }
  void json(const KeyValue* before, const KeyValue* after) {
    out_ << '{' << json_bytes("key", (before != nullptr ? before : after)->key);
    out_ << ",\"what\":\"" << (before == nullptr ? "added" : after == nullptr ? "removed" : "changed") << '"';
    for (const auto& [name, kv] : {std::pair{"before", before}, std::pair{"after", after}}) {
      if (kv == nullptr) continue;
      out_ << ",\"" << name << "\":{\"mod_revision\":" << kv->mod_revision << ",\"version\":" << kv->version;
      if (!names_only_) out_ << ',' << json_bytes("value", kv->value);
      out_ << '}';
    }
    out_ << "}\n";
  }

  std::ostream& out_;
  const Paint paint_;
  const bool names_only_;
  const bool json_;
};

Exit run_diff(const Context& context, const DiffFlags& flags, const Arguments& arguments) {
  if (arguments.size() < 2 || arguments.size() > 3) {
    return bad_args("diff takes two revisions and an optional prefix", "0 stands for now: kvctl diff 120 0 /services/");
  }
  int64_t revisions[2];
  for (int i = 0; i < 2; ++i) {
    const auto revision = go_parse_int(arguments[static_cast<size_t>(i)], 10);
    if (!revision.ok() || revision.value < 0) {
      return bad_args("bad revision " + go_quote(arguments[static_cast<size_t>(i)]),
                      "A revision is a whole number; 0 stands for now.");
    }
    revisions[i] = revision.value;
  }
  if (auto refused = refuse_but(context, true)) return *refused;
  auto made = context.client();
  if (auto* exit = std::get_if<Exit>(&made)) return std::move(*exit);
  Client& client = *std::get<0>(made);
  const auto call = context.call_options();
  const KeyRange range = prefix_range(arguments.size() > 2 ? arguments[2] : "");
  KeyPages old_pages(client, range, revisions[0], call), new_pages(client, range, revisions[1], call);
  KeyCursor old_keys(old_pages), new_keys(new_pages);
  DiffWriter writer(context, flags.names_only);
  const KeyValue* before = nullptr;
  const KeyValue* after = nullptr;
  bool next_before = true, next_after = true;
  for (;;) {
    for (auto [wanted, keys, at] :
         {std::tuple{next_before, &old_keys, &before}, std::tuple{next_after, &new_keys, &after}}) {
      if (!wanted) continue;
      const auto next = keys->next();
      if (!next.ok()) return read_failed(client, range, next.status(), call);
      *at = *next;
    }
    if (before == nullptr && after == nullptr) return {};
    next_before = before != nullptr && (after == nullptr || before->key <= after->key);
    next_after = after != nullptr && (before == nullptr || after->key <= before->key);
    if (!next_before || !next_after) {
      writer.key(next_before ? before : nullptr, next_after ? after : nullptr);
    } else if (before->mod_revision != after->mod_revision && before->value != after->value) {
      writer.key(before, after);
    }
  }
}

// ---- history ----

struct Change {
  int64_t revision = 0;
  int64_t version = 0;  // 0: the key was deleted
  std::string value{};
  int64_t lease = 0;
};

struct History {
  int64_t begin = 1;  // what was before is compacted
  std::vector<Change> changes{};
};

// How long the first question how far a watch is goes without an answer before it is put again; then twice as long.
constexpr auto kAskAgainFirst = std::chrono::milliseconds(20);
constexpr auto kAskAgainMax = std::chrono::milliseconds(250);
// For a server that says nothing.
constexpr std::chrono::milliseconds kPatience = std::chrono::seconds(10);

// Whether a server of that version says that a watch was sent all only when it was: etcd from 3.4.25 and 3.5.8 on.
bool progress_is_true(const std::string& version) {
  int major = 0, minor = 0, patch = 0;
  if (std::sscanf(version.c_str(), "%d.%d.%d", &major, &minor, &patch) != 3) return false;
  const int patch_min = minor == 4 ? 25 : minor == 5 ? 8 : 0;
  return major > 3 || (major == 3 && minor >= 4 && patch >= patch_min);
}

// The version of a member, by its id; empty when none of the endpoints tells it before `give_up`.
std::string version_of_member(Client& client, const std::vector<std::string>& endpoints, uint64_t member_id,
                              std::chrono::steady_clock::time_point give_up) {
  for (const std::string& endpoint : endpoints) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(give_up - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    const auto status = client.status(endpoint, {.timeout = left});
    if (status.ok() && status->header.member_id == member_id) return status->version;
  }
  return "";
}

// Reads by a watch from where history begins to now. What there is now says what its last event is.
Result<History> read_history(Client& client, const std::vector<std::string>& endpoints, const std::string& key,
                             const client::CallOptions& call) {
  const auto now = client.get(key, {}, call);
  if (!now.ok()) return now.status();
  const int64_t last_revision = now->kvs.empty() ? 0 : now->kvs[0].mod_revision;
  const auto begin = oldest_revision(client, {key, ""}, call);
  if (!begin.ok()) return begin.status();
  History history{.begin = *begin};
  if (*begin > 1) {
    // The change that was in force when history was cut is no event any more, but it can still be read.
    const auto first = client.get(key, {.revision = *begin}, call);
    if (!first.ok()) return first.status();
    if (!first->kvs.empty() && first->kvs[0].mod_revision < *begin) {
      const KeyValue& kv = first->kvs[0];
      history.changes.push_back({kv.mod_revision, kv.version, kv.value, kv.lease});
    }
    // A deletion at `begin` itself follows as an event; whether there was a key before it, nobody can say.
  }
  // A key that isn't there may have no event at all, or have been deleted and made anew: then the server's word that
  // all was sent has to do.
  const bool gone = last_revision == 0;
  const auto complete = [&] {
    return !gone && !history.changes.empty() && history.changes.back().revision >= last_revision;
  };
  if (complete()) return history;
  client::Watcher watcher = client.watch(key, {.start_revision = *begin});
  const auto created = watcher.wait_created(client::at_most(kPatience));
  if (!created.ok()) return created.status();
  // Older servers give their word too early, while a new watch waits to be served, which takes them a tenth of a
  // second: theirs is believed once the watch stands for a second.
  const auto believe = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  auto give_up = believe + kPatience;
  std::map<uint64_t, bool> truthful;  // the members that gave their word; the watch may move from one to another
  std::chrono::milliseconds ask_again = kAskAgainFirst;
  while (!complete()) {
    if (gone) watcher.request_progress();
    auto next = watcher.next(client::at_most(gone ? ask_again : kPatience));
    if (gone) ask_again = std::min<std::chrono::milliseconds>(2 * ask_again, kAskAgainMax);
    if (!next.ok()) {
      if (gone && next.status().code() == Code::kDeadlineExceeded && std::chrono::steady_clock::now() < give_up)
        continue;
      return next.status();
    }
    if (next->progress()) {
      if (!gone) continue;
      const uint64_t member = next->header.member_id;
      if (!truthful.contains(member))
        truthful[member] = progress_is_true(version_of_member(client, endpoints, member, believe));
      const auto when = std::chrono::steady_clock::now();
      if (next->header.revision >= now->header.revision && (truthful[member] || when >= believe)) break;
      std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(
          ask_again, std::max<std::chrono::nanoseconds>(believe - when, std::chrono::milliseconds(10))));
      continue;
    }
    give_up = std::chrono::steady_clock::now() + kPatience;
    for (auto& event : next->events) {
      if (event.kv.mod_revision > now->header.revision) return history;
      const bool deleted = event.type == client::EventType::kDelete;
      history.changes.push_back(
          {event.kv.mod_revision, deleted ? 0 : event.kv.version, std::move(event.kv.value), event.kv.lease});
    }
  }
  return history;
}

const char* what_happened(const Change& change) {
  return change.version == 0 ? "deleted" : change.version == 1 ? "created" : "changed";
}

struct HistoryFlags {
  int64_t limit = 0;
};

Exit run_history(const Context& context, const HistoryFlags& flags, const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("history takes one key", "kvctl history config");
  if (flags.limit < 0) return bad_args("--limit must not be negative");
  if (auto refused = refuse_but(context, true)) return *refused;
  auto client = context.client();
  if (auto* exit = std::get_if<Exit>(&client)) return std::move(*exit);
  const std::string& key = arguments[0];
  auto history = read_history(*std::get<0>(client), context.globals.endpoints, key, context.call_options());
  if (!history.ok()) return failed(history.status());
  auto& changes = history->changes;
  if (const auto limit = static_cast<size_t>(flags.limit); limit > 0 && changes.size() > limit) {
    changes.erase(changes.begin(), changes.end() - flags.limit);
  }
  if (context.globals.write_out == "json") {
    for (const Change& change : changes) {
      context.out << "{\"revision\":" << change.revision << ",\"what\":\"" << what_happened(change) << '"';
      if (change.version > 0) {
        context.out << ",\"version\":" << change.version << ',' << json_bytes("value", change.value);
        if (change.lease != 0) context.out << ",\"lease\":\"" << hex16(change.lease) << '"';
      }
      context.out << "}\n";
    }
    return {};
  }
  if (changes.empty()) {
    std::string hint = "See which keys there are: kvctl tree";
    if (history->begin > 1) hint = "History begins at revision " + std::to_string(history->begin) + "; " + hint;
    return {kExitError, "key " + go_quote(key) + " has no history", std::move(hint)};
  }
  Rows table{{"revision", "version", "what", "lease", "value"}, {}};
  bool leases = false;
  for (const Change& change : changes) {
    leases = leases || change.lease != 0;
    table.rows.push_back({std::to_string(change.revision), change.version == 0 ? "-" : std::to_string(change.version),
                          what_happened(change), change.lease == 0 ? "" : hex16(change.lease), change.value});
  }
  if (!leases) {
    table.heading.erase(table.heading.begin() + 3);
    for (auto& row : table.rows) row.erase(row.begin() + 3);
  }
  Terminal terminal = context.out_terminal;
  if (!terminal.is_terminal) terminal.columns = SIZE_MAX;
  context.out << terminal_table(table, terminal, {.style = [](std::string_view, std::string_view cell) {
                                  return cell == "created"   ? Style::kGood
                                         : cell == "deleted" ? Style::kBad
                                         : cell == "changed" ? Style::kChanged
                                                             : Style::kNone;
                                }});
  if (history->begin > 1) context.err << "What was before revision " << history->begin << " is compacted.\n";
  return {};
}

}  // namespace

void add_explore_commands(Command& root, Context& context) {
  auto tree = std::make_unique<Command>();
  tree->name = "tree";
  tree->arguments = "[options] [prefix]";
  tree->summary = "Draws keys as a tree, split at '/'";
  tree->description =
      "Draws all keys, or those with a prefix, as a tree whose folders are the parts of the keys between '/', with "
      "the\n"
      "number of keys in each folder.";
  tree->examples =
      "  kvctl tree\n"
      "  kvctl tree /services/ --depth 2\n"
      "  kvctl tree /config/ --values";
  tree->group = kKeysGroup;
  const auto tree_flags = std::make_shared<TreeFlags>();
  tree->flags.add("depth", tree_flags->depth, "draw this many levels, and only count what is below (0: all)");
  tree->flags.add("values", tree_flags->values, "show values, too");
  tree->flags.add("rev", tree_flags->rev, "show what there was at this revision (0: now)");
  tree->run = [&context, tree_flags](const Arguments& arguments) { return run_tree(context, *tree_flags, arguments); };
  root.children.push_back(std::move(tree));

  auto history = std::make_unique<Command>();
  history->name = "history";
  history->arguments = "[options] <key>";
  history->summary = "Lists the changes of a key that history still has";
  history->description =
      "Lists the changes of a key, the oldest first, back to the last compaction: at which revision, the key's "
      "version,\n"
      "what happened, and the value. With -w json, one object a line.";
  history->examples =
      "  kvctl history config\n"
      "  kvctl history config --limit 5 -w json";
  history->group = kKeysGroup;
  const auto history_flags = std::make_shared<HistoryFlags>();
  history->flags.add("limit", history_flags->limit, "only the newest so many changes (0: all)");
  history->run = [&context, history_flags](const Arguments& arguments) {
    return run_history(context, *history_flags, arguments);
  };
  root.children.push_back(std::move(history));

  auto diff = std::make_unique<Command>();
  diff->name = "diff";
  diff->arguments = "[options] <rev1> <rev2> [prefix]";
  diff->summary = "Shows what differs between two revisions";
  diff->description =
      "Shows which keys were added, removed or given another value between two revisions, each as `diff -u` shows two\n"
      "files. 0 stands for now. With -w json, one object a line.";
  diff->examples =
      "  kvctl diff 120 0\n"
      "  kvctl diff 120 150 /services/ --names-only";
  diff->group = kKeysGroup;
  const auto diff_flags = std::make_shared<DiffFlags>();
  diff->flags.add("names-only", diff_flags->names_only, "print A (added), D (deleted) or M (changed) and the key");
  diff->run = [&context, diff_flags](const Arguments& arguments) { return run_diff(context, *diff_flags, arguments); };
  root.children.push_back(std::move(diff));
}

}  // namespace kv::kvctl
