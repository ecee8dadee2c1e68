#include "server/proposal_queue.h"

#include <gtest/gtest.h>

#include "kvdpb/command.pb.h"

namespace kv::server {
namespace {

using raft::Term;

constexpr int64_t kLate = 7000;

class ProposalQueueTest : public testing::Test {
 protected:
  // A client's write of `key`; its call.
  uint64_t write(const std::string& key, int64_t expires_ms = kLate) {
    Completion ignored = [](const Status&, google::protobuf::Message*) {};
    const uint64_t call = *calls_.add(1, expires_ms, ignored);
    queue_.add(command(key), call, expires_ms);
    return call;
  }
  static std::string command(const std::string& key) {
    kvdpb::Command command;
    command.mutable_put()->set_key(key);
    return command.SerializeAsString();
  }
  // All that waits leaves in one entry of `term`: its keys.
  std::vector<std::string> propose(uint64_t term) {
    std::string batch;
    queue_.proposed(queue_.join(batch, 1 << 20), Term(term));
    return keys(batch);
  }
  static std::vector<std::string> keys(const std::string& batch) {
    kvdpb::Batch parsed;
    EXPECT_TRUE(parsed.ParseFromString(batch));
    std::vector<std::string> out;
    for (const auto& command : parsed.commands()) out.push_back(command.put().key());
    return out;
  }
  using Keys = std::vector<std::string>;

  PendingCalls calls_{100, 1000, 0};
  ProposalQueue queue_{calls_};
};

TEST_F(ProposalQueueTest, Joins_as_many_as_fit_and_one_whatever_its_size) {
  const std::string large(500, 'x');
  write(large);
  write("b");
  write("c");
  std::string batch;
  EXPECT_EQ(queue_.join(batch, 100), 1u);
  EXPECT_EQ(keys(batch), Keys{large});
  EXPECT_EQ(queue_.join(batch, 100), 0u) << "what others have put there counts";
  queue_.proposed(1, Term(1));
  batch.clear();
  EXPECT_EQ(queue_.join(batch, 100), 2u);
  EXPECT_EQ(keys(batch), (Keys{"b", "c"}));
  queue_.proposed(2, Term(1));
  EXPECT_FALSE(queue_.waits());
}

TEST_F(ProposalQueueTest, What_left_in_vain_is_proposed_again_once_a_later_term_is_applied) {
  const uint64_t reached = write("reached");
  EXPECT_EQ(propose(2), Keys{"reached"});
  write("lost");
  EXPECT_EQ(propose(2), Keys{"lost"});
  write("to the next leader");
  EXPECT_EQ(propose(3), Keys{"to the next leader"});
  write("new");
  calls_.take({reached});
  EXPECT_FALSE(queue_.term_applied(Term(2))) << "the same leader may still bring it in";
  EXPECT_TRUE(queue_.term_applied(Term(3)));
  EXPECT_EQ(propose(3), (Keys{"lost", "new"})) << "the older one first, and nothing twice";
  EXPECT_FALSE(queue_.term_applied(Term(3)));
  EXPECT_TRUE(queue_.term_applied(Term(5)));
  EXPECT_EQ(propose(5), (Keys{"to the next leader", "lost", "new"}));
}

TEST_F(ProposalQueueTest, An_entry_of_which_some_calls_have_ended_brings_the_others_again) {
  write("impatient", 10);
  write("patient");
  propose(1);
  calls_.expire(10);
  queue_.expire(10);
  EXPECT_TRUE(queue_.term_applied(Term(2)));
  EXPECT_EQ(propose(2), Keys{"patient"});
}

TEST_F(ProposalQueueTest, What_nobody_waits_for_goes_with_its_leader) {
  queue_.add(command("of this leader"), 0, kLate);
  EXPECT_EQ(propose(1), Keys{"of this leader"});
  EXPECT_EQ(queue_.under_way(), 0u);
  EXPECT_FALSE(queue_.term_applied(Term(2)));
  EXPECT_FALSE(queue_.waits());
}

TEST_F(ProposalQueueTest, What_an_older_leader_may_hand_on_is_not_proposed_again) {
  write("to one of an earlier version");
  std::string batch;
  queue_.proposed(queue_.join(batch, 100), Term(1), ProposalQueue::Kept::kNo);
  EXPECT_EQ(queue_.under_way(), 0u);
  EXPECT_FALSE(queue_.term_applied(Term(2)));
}

TEST_F(ProposalQueueTest, What_comes_back_is_let_go_in_the_order_of_its_time) {
  const uint64_t older = write("older", 10);
  propose(1);
  write("younger", 20);
  propose(2);
  queue_.term_applied(Term(2));  // the older one waits again ...
  queue_.term_applied(Term(3));  // ... and the younger one before it
  calls_.expire(10);
  EXPECT_FALSE(calls_.waits(older));
  queue_.expire(10);
  EXPECT_EQ(propose(3), Keys{"younger"});
  write("a", 30);
  calls_.expire(30);
  queue_.expire(0);
  EXPECT_FALSE(queue_.waits()) << "its call has ended";
}

TEST_F(ProposalQueueTest, After_a_snapshot_nobody_can_tell_what_of_its_terms_it_holds) {
  const uint64_t perhaps = write("perhaps in it");
  propose(3);
  write("after it");
  propose(4);
  EXPECT_EQ(queue_.state_replaced(Term(3)), std::vector<uint64_t>{perhaps});
  EXPECT_TRUE(queue_.term_applied(Term(5)));
  EXPECT_EQ(propose(5), Keys{"after it"});
}

TEST_F(ProposalQueueTest, Lets_go_of_what_was_answered_and_of_what_waits_too_long) {
  const uint64_t first = write("first");
  propose(1);
  const uint64_t second = write("second");
  propose(1);
  calls_.take({second});
  queue_.forget_answered();
  EXPECT_EQ(queue_.under_way(), 2u) << "the first stands before it";
  queue_.expire(1);
  EXPECT_EQ(queue_.under_way(), 1u);
  calls_.take({first});
  queue_.forget_answered();
  EXPECT_EQ(queue_.under_way(), 0u);
  write("without a leader", 10);
  write("later", 20);
  queue_.expire(10);
  EXPECT_EQ(propose(1), Keys{"later"});
}

}  // namespace
}  // namespace kv::server
