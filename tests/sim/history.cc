#include "history.h"

#include <algorithm>

namespace kv::sim {

std::optional<std::string> why_not_linearizable(const std::vector<RegisterCall>& calls) {
  // A cluster is a write and all reads of its value. Its zone runs from the first end to the last begin: if the
  // end comes first (a forward zone), the register held this value all through the zone; otherwise some moment
  // in the (backward) zone is enough.
  struct Cluster {
    uint64_t value = 0;
    bool written = false;
    bool read = false;
    bool unknown = false;
    uint64_t write_begin = 0;
    uint64_t first_end = RegisterCall::kNever;
    uint64_t last_begin = 0;

    bool forward() const { return first_end < last_begin; }
    uint64_t low() const { return std::min(first_end, last_begin); }
    uint64_t high() const { return std::max(first_end, last_begin); }
  };
  std::map<uint64_t, Cluster> clusters;
  clusters[0] = {.value = 0, .written = true, .first_end = 0};  // time 0 is before every call
  for (const RegisterCall& call : calls) {
    Cluster& cluster = clusters[call.value];
    cluster.value = call.value;
    if (call.is_write) {
      cluster.written = true;
      cluster.write_begin = call.begin;
      cluster.unknown = call.end == RegisterCall::kNever;
    } else {
      cluster.read = true;
    }
    cluster.first_end = std::min(cluster.first_end, call.end);
    cluster.last_begin = std::max(cluster.last_begin, call.begin);
  }

  std::vector<Cluster> forward;
  std::vector<Cluster> backward;
  for (const auto& [value, cluster] : clusters) {
    const std::string what = "value " + std::to_string(value);
    if (!cluster.written) return what + " was read and never written";
    if (cluster.first_end < cluster.write_begin) return what + " was read before its write began";
    if (cluster.unknown && !cluster.read) continue;  // it may as well take effect after everything else
    (cluster.forward() ? forward : backward).push_back(cluster);
  }
  std::sort(forward.begin(), forward.end(), [](const Cluster& a, const Cluster& b) { return a.low() < b.low(); });
  for (size_t i = 1; i < forward.size(); ++i) {
    if (forward[i].low() < forward[i - 1].high()) {
      return "values " + std::to_string(forward[i - 1].value) + " and " + std::to_string(forward[i].value) +
             " must both be there at time " + std::to_string(forward[i].low());
    }
  }
  for (const Cluster& cluster : backward) {
    // The forward zones don't overlap, so only the last that begins before this one can hold it.
    auto it = std::upper_bound(forward.begin(), forward.end(), cluster.low(),
                               [](uint64_t time, const Cluster& zone) { return time < zone.low(); });
    if (it == forward.begin()) continue;
    --it;
    if (it->low() < cluster.low() && cluster.high() < it->high()) {
      return "value " + std::to_string(cluster.value) + " must be there at some time in which value " +
             std::to_string(it->value) + " was";
    }
  }
  return std::nullopt;
}

uint64_t History::begin_write(raft::NodeId node, uint32_t key) {
  const uint64_t id = next_id_++;
  calls_[id] = {.node = node, .key = key, .call = {.is_write = true, .value = id, .begin = ++clock_}};
  return id;
}

void History::refused(uint64_t id) {
  Call& call = calls_[id];
  call.outcome = Outcome::kRefused;
  if (call.index) checker_->fail("refused proposal committed", "call " + std::to_string(id));
}

void History::write_committed(uint64_t id, raft::Index index) {
  const auto it = calls_.find(id);
  if (it == calls_.end()) {
    checker_->fail("committed what nobody proposed", "at " + to_string(index));
    return;
  }
  Call& call = it->second;
  if (call.outcome == Outcome::kRefused) {
    checker_->fail("refused proposal committed", "call " + std::to_string(id) + " at " + to_string(index));
  }
  if (call.index) {
    checker_->fail("proposal committed twice",
                   "call " + std::to_string(id) + " at " + to_string(call.index) + " and " + to_string(index));
  }
  call.index = index;
}

void History::acknowledged(uint64_t id, raft::Index index) {
  Call& call = calls_[id];
  call.outcome = Outcome::kOk;
  call.call.end = ++clock_;
  call.acknowledged_index = index;
  ++writes_acknowledged_;
}

std::optional<raft::Index> History::acknowledged_at(uint64_t id) const {
  const Call& call = calls_.at(id);
  if (!call.call.is_write || call.outcome != Outcome::kOk) return std::nullopt;
  return call.acknowledged_index;
}

uint64_t History::begin_read(raft::NodeId node, uint32_t key) {
  const uint64_t id = next_id_++;
  calls_[id] = {.node = node, .key = key, .call = {.begin = ++clock_}, .least_index = checker_->commit()};
  waiting_reads_[id] = node;
  return id;
}

void History::read_indexed(uint64_t id, raft::Index index) {
  const auto waiting = waiting_reads_.find(id);
  if (waiting == waiting_reads_.end()) {
    checker_->fail("read answered twice", "call " + std::to_string(id) + " at " + to_string(index));
    return;
  }
  waiting_reads_.erase(waiting);
  Call& call = calls_[id];
  if (!index) {
    call.outcome = Outcome::kRefused;
    ++reads_refused_;
    return;
  }
  call.index = index;
  if (index < call.least_index) {
    checker_->fail("stale read", "call " + std::to_string(id) + " through n" + to_string(call.node) + " began when " +
                                     to_string(call.least_index) + " was committed and got index " + to_string(index));
  }
}

void History::read_done(uint64_t id, uint64_t value) {
  Call& call = calls_[id];
  call.outcome = Outcome::kOk;
  call.call.value = value;
  call.call.end = ++clock_;
  ++reads_answered_;
}

void History::node_crashed(raft::NodeId node) {
  std::erase_if(waiting_reads_, [node](const auto& entry) { return entry.second == node; });
}

std::string History::describe_waiting_read() const {
  if (waiting_reads_.empty()) return "none";
  const auto& [id, node] = *waiting_reads_.begin();
  return "call " + std::to_string(id) + " through n" + to_string(node);
}

void History::judge() {
  std::map<uint32_t, std::vector<RegisterCall>> registers;
  for (const auto& [id, call] : calls_) {
    if (call.call.is_write && call.outcome == Outcome::kOk && call.index != call.acknowledged_index) {
      checker_->fail("acknowledged write lost", "call " + std::to_string(id) + " was acknowledged at " +
                                                    to_string(call.acknowledged_index) + " and is at " +
                                                    to_string(call.index));
    }
    if (call.outcome == Outcome::kOk || (call.call.is_write && call.outcome == Outcome::kUnknown)) {
      registers[call.key].push_back(call.call);
    }
  }
  for (const auto& [key, calls] : registers) {
    if (const auto why = why_not_linearizable(calls)) {
      checker_->fail("not linearizable", "key " + std::to_string(key) + ": " + *why);
      return;
    }
  }
}

}  // namespace kv::sim
