#include "server/read_queue.h"

#include <utility>

#include "base/metrics.h"
#include "server/errors.h"

namespace kv::server {
namespace {

struct ReadMetrics {
  Counter& failed = Metrics::global().counter("etcd_server_read_indexes_failed_total",
                                              "The total number of failed read indexes seen.");
  Counter& slow = Metrics::global().counter(
      "etcd_server_slow_read_indexes_total",
      "The total number of pending read indexes not in sync with leader's or timed out read index requests.");
};
const ReadMetrics& metrics() {
  static const ReadMetrics made;
  return made;
}

}  // namespace

uint64_t ReadQueue::add(std::vector<Ready>&& reads, int64_t expires_ms) {
  size_.fetch_add(reads.size(), std::memory_order_relaxed);
  asked_.emplace(++last_id_, Group{std::move(reads), expires_ms});
  return last_id_;
}

void ReadQueue::answered(uint64_t id, raft::Index index) {
  auto node = asked_.extract(id);
  if (node.empty()) return;
  if (index) {
    confirmed_.emplace(index, std::move(node.mapped()));
  } else {
    metrics().failed.add();
    refused_.push_back(std::move(node.mapped()));
  }
}

std::vector<uint64_t> ReadQueue::ask_again() {
  std::vector<uint64_t> ids;
  for (Group& group : std::exchange(refused_, {})) {
    asked_.emplace(++last_id_, std::move(group));
    ids.push_back(last_id_);
  }
  return ids;
}

void ReadQueue::serve(raft::Index applied) {
  while (!confirmed_.empty() && confirmed_.begin()->first <= applied) {
    auto node = confirmed_.extract(confirmed_.begin());
    finish(std::move(node.mapped()), Status());
  }
}

void ReadQueue::expire(int64_t now_ms) {
  // Collected first: a completion may do anything but change the queue under the iterator.
  std::vector<std::pair<Group, Status>> expired;
  const auto collect = [&](auto& groups, const Status& status) {
    for (auto it = groups.begin(); it != groups.end();) {
      if (it->second.expires_ms > now_ms) {
        ++it;
        continue;
      }
      expired.emplace_back(std::move(it->second), status);
      it = groups.erase(it);
    }
  };
  collect(asked_, errors::timed_out());
  collect(confirmed_, errors::timed_out_applying());
  std::erase_if(refused_, [&](Group& group) {
    if (group.expires_ms > now_ms) return false;
    expired.emplace_back(std::move(group), errors::timed_out());
    return true;
  });
  metrics().slow.add(expired.size());
  for (auto& [group, status] : expired) finish(std::move(group), status);
}

void ReadQueue::end(const Status& status) {
  for (auto& [id, group] : std::exchange(asked_, {})) finish(std::move(group), status);
  for (auto& [index, group] : std::exchange(confirmed_, {})) finish(std::move(group), status);
  for (Group& group : std::exchange(refused_, {})) finish(std::move(group), status);
}

void ReadQueue::finish(Group&& group, const Status& status) {
  size_.fetch_sub(group.reads.size(), std::memory_order_relaxed);
  for (Ready& ready : group.reads) ready(status);
}

}  // namespace kv::server
