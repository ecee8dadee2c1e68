#include "server/elections.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <vector>

#include "recipes_fixture.h"

namespace kv::server {
namespace {

using namespace v3electionpb;

// An observer's stream. `stalled`: what was said waits for the client.
class Observed final : public Sink<LeaderResponse> {
 public:
  bool write(const LeaderResponse& response) override {
    const std::lock_guard lock(mutex_);
    values_.push_back(response.kv().value());
    changed_.notify_all();
    return true;
  }
  void finish(Status status) override {
    const std::lock_guard lock(mutex_);
    end_ = std::move(status);
    changed_.notify_all();
  }
  size_t queued_bytes() const override { return stalled_ ? 1 << 30 : 0; }
  void on_drained(size_t, absl::AnyInvocable<void()> ready) override {
    const std::lock_guard lock(mutex_);
    drained_.push_back(std::move(ready));
  }

  void stall() { stalled_ = true; }
  void drain() {
    stalled_ = false;
    std::vector<absl::AnyInvocable<void()>> drained;
    {
      const std::lock_guard lock(mutex_);
      drained.swap(drained_);
    }
    for (auto& ready : drained) ready();
  }
  bool wait_for(const std::vector<std::string>& values) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return values_ == values; });
  }
  std::optional<Status> wait_for_end() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return end_.has_value(); });
    return end_;
  }
  std::vector<std::string> values() {
    const std::lock_guard lock(mutex_);
    return values_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> values_;
  std::vector<absl::AnyInvocable<void()>> drained_;
  std::optional<Status> end_;
  std::atomic<bool> stalled_{false};
};

class ElectionsTest : public RecipeTest {
 protected:
  Elections& elections() {
    if (!elections_) elections_.emplace(*member_);
    return *elections_;
  }
  Begun<CampaignResponse> campaign(int64_t lease, const std::string& value) {
    CampaignRequest request;
    request.set_name("e");
    request.set_lease(lease);
    request.set_value(value);
    return begin(elections(), &Elections::campaign, request);
  }
  Answer<LeaderResponse> leader() {
    LeaderRequest request;
    request.set_name("e");
    return begin(elections(), &Elections::leader, request).get();
  }
  Status proclaim(const LeaderKey& key, const std::string& value) {
    ProclaimRequest request;
    *request.mutable_leader() = key;
    request.set_value(value);
    return begin(elections(), &Elections::proclaim, request).get().status;
  }
  Status resign(const LeaderKey& key) {
    ResignRequest request;
    *request.mutable_leader() = key;
    return begin(elections(), &Elections::resign, request).get().status;
  }
  CallPtr observe(const std::shared_ptr<Observed>& sink) {
    LeaderRequest request;
    request.set_name("e");
    const auto call = std::make_shared<OwnCall>();
    elections().observe(call, request, sink);
    return call;
  }

  std::optional<Elections> elections_;
};

TEST_F(ElectionsTest, The_first_contender_leads_and_says_its_values) {
  EXPECT_EQ(leader().status.text(), "election: no leader");
  const int64_t lease = grant();
  const auto won = campaign(lease, "one").get();
  ASSERT_TRUE(won.status.ok()) << won.status.to_string();
  EXPECT_EQ(won.response.leader().name(), "e");
  EXPECT_EQ(won.response.leader().lease(), lease);
  EXPECT_EQ(won.response.leader().rev(), 2);
  EXPECT_EQ(leader().response.kv().value(), "one");
  ASSERT_TRUE(proclaim(won.response.leader(), "two").ok());
  EXPECT_EQ(leader().response.kv().value(), "two");
  EXPECT_EQ(leader().response.kv().lease(), lease) << "a new value stays bound to the lease";
}

TEST_F(ElectionsTest, The_next_leads_when_the_leader_resigns) {
  const auto first = campaign(grant(), "first").get();
  auto second = campaign(grant(), "second");
  ASSERT_TRUE(eventually([&] { return count("e/") == 2; }));
  EXPECT_FALSE(second.is_ready());
  ASSERT_TRUE(resign(first.response.leader()).ok());
  const auto won = second.get();
  ASSERT_TRUE(won.status.ok()) << won.status.to_string();
  EXPECT_EQ(leader().response.kv().value(), "second");
  EXPECT_EQ(proclaim(first.response.leader(), "late").text(), "election: not leader");
  EXPECT_TRUE(resign(first.response.leader()).ok()) << "no error, and nobody loses by it";
  EXPECT_EQ(leader().response.kv().value(), "second");
}

TEST_F(ElectionsTest, Campaigning_again_says_the_new_value) {
  const int64_t lease = grant();
  const auto once = campaign(lease, "one").get();
  const auto again = campaign(lease, "two").get();
  ASSERT_TRUE(again.status.ok()) << again.status.to_string();
  EXPECT_EQ(again.response.leader().rev(), once.response.leader().rev());
  EXPECT_EQ(leader().response.kv().value(), "two");
}

TEST_F(ElectionsTest, A_contender_whose_lease_ends_does_not_win) {
  const auto first = campaign(grant(), "first").get();
  const int64_t lease = grant();
  auto second = campaign(lease, "second");
  ASSERT_TRUE(eventually([&] { return count("e/") == 2; }));
  revoke(lease);
  EXPECT_EQ(second.get().status.text(), "etcdserver: requested lease not found");
}

TEST_F(ElectionsTest, Requests_without_a_leader_key_are_refused) {
  EXPECT_EQ(begin(elections(), &Elections::proclaim, ProclaimRequest()).get().status.text(),
            "\"leader\" field must be provided");
  EXPECT_EQ(begin(elections(), &Elections::resign, ResignRequest()).get().status.text(),
            "\"leader\" field must be provided");
}

TEST_F(ElectionsTest, Observers_see_every_leader_and_every_value_in_order) {
  const auto early = std::make_shared<Observed>();
  observe(early);
  const auto first = campaign(grant(), "a1").get();
  ASSERT_TRUE(early->wait_for({"a1"}));
  ASSERT_TRUE(proclaim(first.response.leader(), "a2").ok());
  ASSERT_TRUE(early->wait_for({"a1", "a2"}));
  const auto late = std::make_shared<Observed>();
  observe(late);
  ASSERT_TRUE(late->wait_for({"a2"}));
  auto second = campaign(grant(), "b1");
  ASSERT_TRUE(resign(first.response.leader()).ok());
  ASSERT_TRUE(second.get().status.ok());
  EXPECT_TRUE(early->wait_for({"a1", "a2", "b1"}));
  EXPECT_TRUE(late->wait_for({"a2", "b1"}));
}

TEST_F(ElectionsTest, An_observer_that_reads_slowly_gets_the_last_value) {
  const auto first = campaign(grant(), "0").get();
  const auto slow = std::make_shared<Observed>();
  const auto quick = std::make_shared<Observed>();
  observe(slow);
  observe(quick);
  ASSERT_TRUE(slow->wait_for({"0"}));
  ASSERT_TRUE(quick->wait_for({"0"}));
  slow->stall();
  for (const char* value : {"1", "2", "3"}) ASSERT_TRUE(proclaim(first.response.leader(), value).ok());
  ASSERT_TRUE(quick->wait_for({"0", "1", "2", "3"}));
  EXPECT_TRUE(eventually([&] {
    slow->drain();
    const auto values = slow->values();
    return values.back() == "3";
  }));
  EXPECT_LE(slow->values().size(), 4u);
}

TEST_F(ElectionsTest, An_observer_ends_with_its_call) {
  const auto sink = std::make_shared<Observed>();
  const auto call = observe(sink);
  call->cancel();
  const auto end = sink->wait_for_end();
  ASSERT_TRUE(end);
  EXPECT_EQ(end->code(), Code::kCanceled);
}

}  // namespace
}  // namespace kv::server
