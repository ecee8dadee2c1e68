#include "raft/core/reads.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace kv::raft {

void ReadRounds::add(Read read) {
  if (size() == 0) ticks_ = 0;
  waiting_.push_back(read);
}

void ReadRounds::begin(Index commit) {
  KV_CHECK(wants_round(), "no read wants a round");
  ++round_;
  ticks_ = 0;
  index_ = commit;
  confirming_.swap(waiting_);
}

std::vector<ReadRounds::Read> ReadRounds::confirmed() {
  ticks_ = 0;
  return std::exchange(confirming_, {});
}

std::vector<ReadRounds::Read> ReadRounds::tick(uint32_t limit) {
  if (size() == 0 || ++ticks_ < limit) return {};
  ticks_ = 0;
  return abandon();
}

std::vector<ReadRounds::Read> ReadRounds::abandon() {
  std::vector<Read> all = std::exchange(confirming_, {});
  all.insert(all.end(), waiting_.begin(), waiting_.end());
  waiting_.clear();
  return all;
}

void ForwardedReads::begin(uint64_t number) {
  KV_CHECK(wants_batch(), "no read wants a batch");
  size_ += waiting_.size();
  batches_.push_back({number, 0, std::exchange(waiting_, {})});
}

std::vector<uint64_t> ForwardedReads::answered(uint64_t number) {
  const auto batch = std::find_if(batches_.begin(), batches_.end(), [&](const Batch& b) { return b.number == number; });
  if (batch == batches_.end()) return {};
  std::vector<uint64_t> ids = std::move(batch->ids);
  batches_.erase(batch);
  size_ -= ids.size();
  return ids;
}

std::vector<uint64_t> ForwardedReads::tick(uint32_t limit) {
  std::vector<uint64_t> expired;
  for (Batch& batch : batches_) ++batch.ticks;
  // Batches are in the order of their age.
  while (!batches_.empty() && batches_.front().ticks >= limit) {
    const std::vector<uint64_t>& ids = batches_.front().ids;
    expired.insert(expired.end(), ids.begin(), ids.end());
    size_ -= ids.size();
    batches_.pop_front();
  }
  return expired;
}

std::vector<uint64_t> ForwardedReads::abandon() {
  std::vector<uint64_t> all;
  for (const Batch& batch : batches_) all.insert(all.end(), batch.ids.begin(), batch.ids.end());
  all.insert(all.end(), waiting_.begin(), waiting_.end());
  batches_.clear();
  waiting_.clear();
  size_ = 0;
  return all;
}

}  // namespace kv::raft
