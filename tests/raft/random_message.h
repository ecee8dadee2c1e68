// Random but valid raft messages, the same for the same seed.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "raft/types.h"

namespace kv::raft {

// Small numbers and huge ones alike: every length of a varint comes up.
inline uint64_t random_number(Random& random) { return random.next() >> random.below(64); }

inline std::string random_bytes(Random& random, size_t max) {
  std::string bytes(random.below(max + 1), '\0');
  for (char& c : bytes) c = static_cast<char>(random.next());
  return bytes;
}

inline Payload random_payload(Random& random, size_t max) {
  return std::make_shared<const std::string>(random_bytes(random, max));
}

inline std::vector<NodeId> random_nodes(Random& random) {
  std::vector<NodeId> nodes;
  for (uint64_t i = random.below(5); i > 0; --i) nodes.emplace_back(random_number(random));
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  return nodes;
}

inline MessageBody random_body(Random& random, size_t kind, size_t max_payload) {
  const auto coin = [&random] { return random.one_in(2); };
  const auto index = [&random] { return Index(random_number(random)); };
  const auto term = [&random] { return Term(random_number(random)); };
  const auto type = [&random] { return static_cast<EntryType>(random.below(3)); };
  switch (kind) {
    case 0: return VoteRequest{coin(), coin(), index(), term(), index(), term()};
    case 1: return VoteReply{coin(), coin(), index(), term()};
    case 2: {
      AppendRequest append{Index(random_number(random) / 2), term(), index(), {}};
      const uint64_t count = random.below(8);
      for (uint64_t i = 1; i <= count; ++i) {
        append.entries.push_back({append.previous_index + i, term(), type(), random_payload(random, max_payload)});
      }
      return append;
    }
    case 3: return AppendReply{coin(), index(), index(), term()};
    case 4: return Heartbeat{index(), random_number(random)};
    case 5: return HeartbeatReply{random_number(random)};
    case 6: return ReadIndexRequest{random_number(random)};
    case 7: return ReadIndexReply{random_number(random), index()};
    case 8: return Forward{type(), random_payload(random, max_payload)};
    case 9: {
      Configuration configuration{random_nodes(random), random_nodes(random), random_nodes(random),
                                  random_nodes(random), coin()};
      return SnapshotOffer{{index(), term(), std::move(configuration)}};
    }
    case 10: return SnapshotReply{coin(), index()};
    default: return TimeoutNow{};
  }
}

inline Message random_message(Random& random, size_t kind, size_t max_payload = 64) {
  Message message;
  message.from = NodeId(random_number(random));
  message.to = NodeId(random_number(random));
  message.term = Term(random_number(random));
  message.body = random_body(random, kind, max_payload);
  return message;
}
inline constexpr size_t kMessageKinds = std::variant_size_v<MessageBody>;

}  // namespace kv::raft
