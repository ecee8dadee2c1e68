#include "kvctl/requests.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <optional>
#include <utility>

#include "kvctl/go_format.h"

namespace kv::kvctl {
namespace {

using client::SortOrder;
using client::SortTarget;

constexpr const char* kPrefixAndFromKey = "`--prefix` and `--from-key` cannot be set at the same time, choose one";
constexpr const char* kRangeAndPrefix =
    "too many arguments, only accept one argument when `--prefix` or `--from-key` is set";

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

// The range that a key, an end and the two flags mean. The empty key with either flag is the first of all keys.
void set_range(bool prefix, bool from_key, std::string& key, std::string& range_end) {
  if (!prefix && !from_key) return;
  const bool everything = key.empty();
  if (everything) key = std::string(1, '\0');
  range_end = prefix && !everything ? client::prefix_end(key) : client::unbounded();
}

std::optional<SortOrder> sort_order(const std::string& text) {
  if (text.empty()) return SortOrder::kNone;
  if (text == "ASCEND") return SortOrder::kAscend;
  if (text == "DESCEND") return SortOrder::kDescend;
  return std::nullopt;
}

std::optional<SortTarget> sort_target(const std::string& text) {
  if (text.empty() || text == "KEY") return SortTarget::kKey;
  if (text == "CREATE") return SortTarget::kCreateRevision;
  if (text == "MODIFY") return SortTarget::kModRevision;
  if (text == "VALUE") return SortTarget::kValue;
  if (text == "VERSION") return SortTarget::kVersion;
  return std::nullopt;
}

}  // namespace

std::variant<bool, Exit> is_serializable(const std::string& consistency) {
  if (consistency == "s") return true;
  if (consistency == "l") return false;
  return bad_feature("unknown consistency flag " + go_quote(consistency),
                     "It takes l (linearizable) or s (serializable).");
}

void GetFlags::declare(Flags& flags) {
  flags.add("consistency", consistency, "Linearizable(l) or Serializable(s)");
  flags.add("count-only", count_only, "get only the count; with -w fields");
  flags.add("from-key", from_key, "get keys that are greater than or equal to the key, by bytes");
  flags.add("keys-only", keys_only, "get only the keys");
  flags.add("limit", limit, "largest number of keys (0: all)");
  flags.add("max-create-rev", max_create_rev, "leave out what was created after this revision");
  flags.add("max-mod-rev", max_mod_rev, "leave out what was changed after this revision");
  flags.add("min-create-rev", min_create_rev, "leave out what was created before this revision");
  flags.add("min-mod-rev", min_mod_rev, "leave out what was changed before this revision");
  flags.add("order", order, "ASCEND or DESCEND (ASCEND by default)");
  flags.add("prefix", prefix, "get all keys that begin with the key");
  flags.add("print-value-only", print_value_only, "print values without keys; with -w simple");
  flags.add("rev", rev, "get what there was at this revision (0: now)");
  flags.add("sort-by", sort_by, "CREATE, KEY, MODIFY, VALUE or VERSION");
}

std::variant<client::GetOp, Exit> GetFlags::request(const std::vector<std::string>& arguments) const {
  if (arguments.empty()) {
    return bad_args("get command needs one argument as key and an optional argument as range_end");
  }
  if (prefix && from_key) return bad_args(kPrefixAndFromKey);
  if (keys_only && count_only) {
    return bad_args("`--keys-only` and `--count-only` cannot be set at the same time, choose one");
  }
  client::GetOp op;
  const auto serializable = is_serializable(consistency);
  if (const auto* exit = std::get_if<Exit>(&serializable)) return *exit;
  op.options.serializable = std::get<bool>(serializable);

  op.key = arguments[0];
  if (arguments.size() > 1) {
    if (prefix || from_key) return bad_args(kRangeAndPrefix);
    op.options.range_end = arguments[1];
  }
  op.options.limit = limit;
  if (rev > 0) op.options.revision = rev;

  const auto by_order = sort_order(upper(order));
  if (!by_order) return bad_feature("bad sort order " + order, "--order takes ASCEND or DESCEND.");
  const auto by_target = sort_target(upper(sort_by));
  if (!by_target) {
    return bad_feature("bad sort target " + sort_by, "--sort-by takes CREATE, KEY, MODIFY, VALUE or VERSION.");
  }
  op.options.sort_order = *by_order;
  op.options.sort_target = *by_target;

  set_range(prefix, from_key, op.key, op.options.range_end);
  op.options.keys_only = keys_only;
  op.options.count_only = count_only;

  const auto crossed = [](const char* what, int64_t min, int64_t max) {
    return bad_feature(std::string("getMin") + what + "Rev(=" + std::to_string(min) + ") > getMax" + what +
                       "Rev(=" + std::to_string(max) + ")");
  };
  if (max_create_rev > 0 && min_create_rev > max_create_rev) return crossed("Create", min_create_rev, max_create_rev);
  if (max_mod_rev > 0 && min_mod_rev > max_mod_rev) return crossed("Mod", min_mod_rev, max_mod_rev);
  op.options.min_create_revision = std::max<int64_t>(min_create_rev, 0);
  op.options.max_create_revision = std::max<int64_t>(max_create_rev, 0);
  op.options.min_mod_revision = std::max<int64_t>(min_mod_rev, 0);
  op.options.max_mod_revision = std::max<int64_t>(max_mod_rev, 0);
  return op;
}

void PutFlags::declare(Flags& flags) {
  flags.add("ignore-lease", ignore_lease, "keep the lease that the key has");
  flags.add("ignore-value", ignore_value, "keep the value that the key has");
  flags.add("lease", lease, "lease to attach the key to, in hexadecimal");
  flags.add("prev-kv", prev_kv, "print what the key held before");
}

std::variant<client::PutOp, Exit> PutFlags::request(const std::vector<std::string>& arguments, std::istream* in) const {
  const auto no_value = [] { return bad_args("put command needs 1 argument and input from stdin or 2 arguments"); };
  if (arguments.empty()) return no_value();
  if (ignore_value && arguments.size() > 1) {
    return bad_args("put command needs only 1 argument when 'ignore-value' is set");
  }
  client::PutOp op;
  op.key = arguments[0];
  if (!ignore_value) {
    if (arguments.size() > 1) {
      op.value = arguments[1];
    } else {
      if (in != nullptr) op.value.assign(std::istreambuf_iterator<char>(*in), {});
      if (op.value.empty()) return no_value();
    }
  }
  const auto id = go_parse_int(lease, 16);
  if (!id.ok()) return bad_args("bad lease ID (" + id.error + "), expecting ID in Hex");
  op.options = {.lease = id.value, .prev_kv = prev_kv, .ignore_value = ignore_value, .ignore_lease = ignore_lease};
  return op;
}

void DelFlags::declare(Flags& flags) {
  flags.add("from-key", from_key, "delete keys that are greater than or equal to the key, by bytes");
  flags.add("prefix", prefix, "delete all keys that begin with the key");
  flags.add("prev-kv", prev_kv, "print what was deleted");
  flags.add("range", range, "delete up to range_end without the pause that guards against slips");
}

std::variant<client::RemoveOp, Exit> DelFlags::request(const std::vector<std::string>& arguments) const {
  if (arguments.empty() || arguments.size() > 2) {
    return bad_args("del command needs one argument as key and an optional argument as range_end");
  }
  if (prefix && from_key) return bad_args(kPrefixAndFromKey);
  client::RemoveOp op;
  op.key = arguments[0];
  if (arguments.size() > 1) {
    if (prefix || from_key) return bad_args(kRangeAndPrefix);
    op.options.range_end = arguments[1];
  }
  set_range(prefix, from_key, op.key, op.options.range_end);
  op.options.prev_kv = prev_kv;
  return op;
}

}  // namespace kv::kvctl
