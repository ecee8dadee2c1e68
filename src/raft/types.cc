#include "raft/types.h"

namespace kv::raft {

// The bytes of a ConfigChange, all numbers little end first:
//
//   1  version, 1
//   1  flags: bit 0 joint, bit 1 leave_joint; the rest 0
//   4  number of changes, at most kMaxChanges; each:
//        1  type: 0 add voter, 1 add learner, 2 remove
//        8  node
//   4  length of the context, then the context, to the end
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint32_t kMaxChanges = 1024;

template <typename T>
void put(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

// Takes a number off the front; false when there are too few bytes.
template <typename T>
bool take(std::string_view& in, T& value) {
  if (in.size() < sizeof(T)) return false;
  value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value | static_cast<T>(static_cast<T>(static_cast<uint8_t>(in[i])) << (8 * i)));
  }
  in.remove_prefix(sizeof(T));
  return true;
}

}  // namespace

std::string encode(const ConfigChange& change) {
  std::string out;
  out.reserve(10 + change.changes.size() * 9 + change.context.size());
  put<uint8_t>(out, kVersion);
  put<uint8_t>(out, static_cast<uint8_t>((change.joint ? 1 : 0) | (change.leave_joint ? 2 : 0)));
  put<uint32_t>(out, static_cast<uint32_t>(change.changes.size()));
  for (const SingleChange& single : change.changes) {
    put<uint8_t>(out, static_cast<uint8_t>(single.type));
    put<uint64_t>(out, single.node.value());
  }
  put<uint32_t>(out, static_cast<uint32_t>(change.context.size()));
  out += change.context;
  return out;
}

std::optional<ConfigChange> decode_config_change(std::string_view bytes) {
  uint8_t version = 0;
  uint8_t flags = 0;
  uint32_t count = 0;
  if (!take(bytes, version) || version != kVersion || !take(bytes, flags) || flags > 3 || !take(bytes, count) ||
      count > kMaxChanges) {
    return std::nullopt;
  }
  ConfigChange change;
  change.joint = (flags & 1) != 0;
  change.leave_joint = (flags & 2) != 0;
  for (uint32_t i = 0; i < count; ++i) {
    uint8_t type = 0;
    uint64_t node = 0;
    if (!take(bytes, type) || type > static_cast<uint8_t>(ChangeType::kRemove) || !take(bytes, node)) {
      return std::nullopt;
    }
    change.changes.push_back({static_cast<ChangeType>(type), NodeId(node)});
  }
  uint32_t length = 0;
  if (!take(bytes, length) || length != bytes.size()) return std::nullopt;
  change.context = std::string(bytes);
  return change;
}

}  // namespace kv::raft
