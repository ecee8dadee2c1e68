#include "feature_gates.h"

#include <algorithm>
#include <map>

namespace kvd {
namespace {

using kv::Code;
using kv::Status;

struct Known {
  const char* name;
  bool beta;
  bool on;  // unless said otherwise
  // Why it can't be switched on; null: it can, or it is how kvd works in any case.
  const char* not_here;
};

// etcd's features/etcd_features.go, up to 3.7; ascending.
constexpr Known kKnown[] = {
    {"CompactHashCheck", false, false, "states are compared by --corrupt-check-time"},
    {"FastLeaseKeepAlive", true, true, nullptr},
    {"InitialCorruptCheck", false, false, nullptr},
    {"LeaseCheckpoint", false, true, nullptr},
    {"LeaseCheckpointPersist", false, true, nullptr},
    {"PriorityRequest", false, false, nullptr},
    {"SetMemberLocalAddr", false, false, "a member dials from the address that the system chooses"},
    {"StopGRPCServiceOnDefrag", false, false, "clients are served while a member defragments"},
    {"TxnModeWriteWithSharedBuffer", true, true, nullptr},
};

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// As Go's strconv.ParseBool.
std::optional<bool> parse_bool(std::string_view text) {
  for (const char* yes : {"1", "t", "T", "true", "TRUE", "True"})
    if (text == yes) return true;
  for (const char* no : {"0", "f", "F", "false", "FALSE", "False"})
    if (text == no) return false;
  return std::nullopt;
}

Status invalid(std::string text) { return {Code::kInvalidArgument, "--feature-gates: " + std::move(text)}; }

kv::Result<std::map<std::string, bool, std::less<>>> read(std::string_view text) {
  std::map<std::string, bool, std::less<>> given;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    if (item.empty()) continue;
    const size_t equals = item.find('=');
    const std::string name(trim(item.substr(0, equals)));
    if (equals == std::string_view::npos) return invalid("missing bool value for " + name);
    const std::string_view value = trim(item.substr(equals + 1));
    const auto on = parse_bool(value);
    if (!on) return invalid("invalid value of " + name + "=" + std::string(value) + ": it is true or false");
    given[name] = *on;
  }
  return given;
}

}  // namespace

kv::Result<FeatureGates> parse_feature_gates(const std::string& text) {
  const auto given = read(text);
  if (!given.ok()) return given.status();
  for (const auto& [name, on] : *given) {
    const bool known =
        name == "AllAlpha" || name == "AllBeta" ||
        std::any_of(std::begin(kKnown), std::end(kKnown), [&](const Known& k) { return name == k.name; });
    if (!known) return invalid("unrecognized feature gate: " + name);
  }
  FeatureGates gates;
  for (const Known& known : kKnown) {
    // Its own word before that for all of its stage.
    auto said = given->find(std::string_view(known.name));
    if (said == given->end()) said = given->find(std::string_view(known.beta ? "AllBeta" : "AllAlpha"));
    const bool on = said == given->end() ? known.on : said->second;
    if (on && known.not_here != nullptr) {
      return invalid(said->first + "=true asks for " + known.name + ", which kvd does not have: " + known.not_here);
    }
    gates.all.push_back({known.name, known.beta ? "BETA" : "ALPHA", on});
    if (said == given->end()) continue;
    const std::string_view name = known.name;
    if (name == "InitialCorruptCheck") gates.initial_corrupt_check = on;
    if (name == "LeaseCheckpoint") gates.lease_checkpoint = on;
  }
  return gates;
}

}  // namespace kvd
