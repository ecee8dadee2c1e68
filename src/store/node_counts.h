// How many calls of /v2/keys have been served since the start, by kind, as /v2/stats/store tells: writes where they are
// applied, which is on every member, and reads where they are asked.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "kvdpb/command.pb.h"

namespace kv::store {

enum class NodeOperation : uint8_t { kGet, kSet, kDelete, kUpdate, kCreate, kCompareAndSwap, kCompareAndDelete };
inline constexpr size_t kNodeOperations = 7;

// What the call is counted as, whether or not it can be done.
inline NodeOperation operation_of(const kvdpb::NodeRequest& request) {
  using kvdpb::NodeRequest;
  const bool compares = !request.prev_value().empty() || request.prev_index() != 0;
  switch (request.method()) {
    case NodeRequest::POST: return NodeOperation::kCreate;
    case NodeRequest::DELETE: return compares ? NodeOperation::kCompareAndDelete : NodeOperation::kDelete;
    case NodeRequest::PUT:
      if (request.has_prev_exist() && !request.prev_exist()) return NodeOperation::kCreate;
      if (compares) return NodeOperation::kCompareAndSwap;
      return request.has_prev_exist() ? NodeOperation::kUpdate : NodeOperation::kSet;
    default: return NodeOperation::kGet;
  }
}

// Any thread.
class NodeCounts {
 public:
  void add(NodeOperation operation, bool done) { add(cell(operation, done)); }
  void add_expired() { add(expired_); }

  uint64_t get(NodeOperation operation, bool done) const {
    return cells_[2 * static_cast<size_t>(operation) + (done ? 0 : 1)].load(std::memory_order_relaxed);
  }
  uint64_t expired() const { return expired_.load(std::memory_order_relaxed); }

 private:
  using Cell = std::atomic<uint64_t>;
  static void add(Cell& cell) { cell.fetch_add(1, std::memory_order_relaxed); }
  Cell& cell(NodeOperation operation, bool done) { return cells_[2 * static_cast<size_t>(operation) + (done ? 0 : 1)]; }

  std::array<Cell, 2 * kNodeOperations> cells_{};
  Cell expired_{0};
};

}  // namespace kv::store
