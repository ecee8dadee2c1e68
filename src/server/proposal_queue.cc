#include "server/proposal_queue.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

namespace kv::server {
namespace {

// Appends a serialized kvdpb::Command as the next element of a serialized kvdpb::Batch: field 1, length-delimited.
void append_command(std::string& batch, std::string_view command) {
  batch += '\x0a';
  size_t n = command.size();
  for (; n >= 0x80; n >>= 7) batch += static_cast<char>(n | 0x80);
  batch += static_cast<char>(n);
  batch += command;
}

}  // namespace

void ProposalQueue::add(std::string&& command, uint64_t call, int64_t expires_ms) {
  waiting_.push_back({std::move(command), call, expires_ms});
}

size_t ProposalQueue::join(std::string& batch, size_t max_bytes) const {
  size_t count = 0;
  for (const Proposal& proposal : waiting_) {
    if (!batch.empty() && batch.size() + proposal.command.size() > max_bytes) break;
    append_command(batch, proposal.command);
    ++count;
  }
  return count;
}

void ProposalQueue::proposed(size_t count, raft::Term term, Kept kept) {
  Departed departed{term, {}};
  if (kept == Kept::kYes) departed.proposals.reserve(count);
  for (; count > 0; --count) {
    Proposal& proposal = waiting_.front();
    if (kept == Kept::kYes && proposal.call != 0) {
      departed.last_call = std::max(departed.last_call, proposal.call);
      departed.proposals.push_back(std::move(proposal));
    }
    waiting_.pop_front();
  }
  if (!departed.proposals.empty()) under_way_.push_back(std::move(departed));
}

bool ProposalQueue::term_applied(raft::Term term) {
  std::vector<Proposal> again;
  for (; !under_way_.empty() && under_way_.front().term < term; under_way_.pop_front()) {
    for (Proposal& proposal : under_way_.front().proposals)
      if (calls_.waits(proposal.call)) again.push_back(std::move(proposal));
  }
  // Before the others: they are older, and their time is up earlier.
  waiting_.insert(waiting_.begin(), std::make_move_iterator(again.begin()), std::make_move_iterator(again.end()));
  return !again.empty();
}

std::vector<uint64_t> ProposalQueue::state_replaced(raft::Term term) {
  std::vector<uint64_t> calls;
  for (; !under_way_.empty() && under_way_.front().term <= term; under_way_.pop_front())
    for (const Proposal& proposal : under_way_.front().proposals) calls.push_back(proposal.call);
  return calls;
}

// Calls of one entry are answered together, and the last one's time is up last.
bool ProposalQueue::answered(const Departed& departed) const { return !calls_.waits(departed.last_call); }

void ProposalQueue::forget_answered() {
  while (!under_way_.empty() && answered(under_way_.front())) under_way_.pop_front();
}

void ProposalQueue::expire(int64_t now_ms) {
  std::erase_if(waiting_, [&](const Proposal& proposal) {
    return proposal.expires_ms <= now_ms || (proposal.call != 0 && !calls_.waits(proposal.call));
  });
  std::erase_if(under_way_, [this](const Departed& departed) { return answered(departed); });
}

}  // namespace kv::server
