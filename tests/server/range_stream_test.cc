// A Range in pieces on its way to a client: no more is read than the client takes, and what is pinned is let go when
// the stream ends in whichever way.
#include "server/range_stream.h"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

namespace kv::server {
namespace {

using etcdserverpb::RangeResponse;
using etcdserverpb::RangeStreamResponse;

class FakeCall final : public CallContext {
 public:
  void post(absl::AnyInvocable<void()> work) override { posted.push_back(std::move(work)); }
  void run_posted() {
    while (!posted.empty()) {
      auto work = std::move(posted.front());
      posted.pop_front();
      work();
    }
  }
  std::deque<absl::AnyInvocable<void()>> posted;
};

struct FakeSink final : Sink<RangeStreamResponse> {
  bool write(const RangeStreamResponse& response) override {
    if (closed) return false;
    written.push_back(response);
    queued += response.ByteSizeLong();
    return true;
  }
  void finish(Status s) override { ended.push_back(std::move(s)); }
  size_t queued_bytes() const override { return queued; }
  void on_drained(size_t below_bytes, absl::AnyInvocable<void()> ready) override {
    if (queued < below_bytes || closed) return ready();
    below = below_bytes;
    waiter = std::move(ready);
  }
  void drain() {
    queued = 0;
    if (waiter) std::exchange(waiter, nullptr)();
  }
  bool closed = false;
  size_t queued = 0;
  size_t below = 0;
  absl::AnyInvocable<void()> waiter;
  std::vector<RangeStreamResponse> written;
  std::vector<Status> ended;
};

// Keys of `value_bytes` each, and how many it was asked for.
class FakeCursor final : public store::RangeCursor {
 public:
  FakeCursor(bool* alive, std::vector<int64_t>* asked, int64_t keys, size_t value_bytes, Status failure)
      : alive_(alive), asked_(asked), left_(keys), value_bytes_(value_bytes), failure_(std::move(failure)) {
    *alive_ = true;
  }
  ~FakeCursor() override { *alive_ = false; }
  Status next(int64_t max_keys, size_t max_bytes, RangeResponse* piece) override {
    asked_->push_back(max_keys);
    if (!failure_.ok() && asked_->size() > 2) return failure_;
    for (size_t bytes = 0; left_ > 0 && piece->kvs_size() < max_keys && bytes < max_bytes; --left_) {
      piece->add_kvs()->set_value(std::string(value_bytes_, 'v'));
      bytes += value_bytes_;
    }
    if (left_ == 0) piece->mutable_header()->set_revision(5);
    return {};
  }
  bool done() const override { return left_ == 0; }

 private:
  bool* const alive_;
  std::vector<int64_t>* const asked_;
  int64_t left_;
  const size_t value_bytes_;
  const Status failure_;
};

class RangeStreamTest : public testing::Test {
 protected:
  void run(int64_t keys, size_t value_bytes, Status failure = {}) {
    run_range_stream(call_, std::make_unique<FakeCursor>(&alive_, &asked_, keys, value_bytes, std::move(failure)),
                     {.piece_bytes = 1000, .fill = [](auto* header) { header->set_member_id(7); }}, sink_);
  }
  std::shared_ptr<FakeCall> call_ = std::make_shared<FakeCall>();
  std::shared_ptr<FakeSink> sink_ = std::make_shared<FakeSink>();
  bool alive_ = false;
  std::vector<int64_t> asked_;
};

TEST_F(RangeStreamTest, Pieces_grow_towards_their_size_and_the_last_has_the_header) {
  run(200, 10);
  while (alive_) {
    call_->run_posted();
    sink_->drain();
  }
  EXPECT_EQ(std::vector<int64_t>(asked_.begin(), asked_.begin() + 4), (std::vector<int64_t>{10, 20, 40, 40}));
  int keys = 0;
  for (const auto& response : sink_->written) {
    keys += response.range_response().kvs_size();
    EXPECT_EQ(response.range_response().has_header(), &response == &sink_->written.back());
  }
  EXPECT_EQ(keys, 200);
  EXPECT_EQ(sink_->written.back().range_response().header().revision(), 5);
  EXPECT_EQ(sink_->written.back().range_response().header().member_id(), 7u);
  ASSERT_EQ(sink_->ended.size(), 1u);
  EXPECT_TRUE(sink_->ended[0].ok());
}

TEST_F(RangeStreamTest, No_more_waits_than_the_client_takes) {
  run(1000, 300);
  for (int i = 0; i < 5; ++i) {
    call_->run_posted();
    EXPECT_LE(sink_->queued, 2 * 1000u + 400);
    EXPECT_TRUE(sink_->waiter) << "it waits for the client";
    const size_t before = asked_.size();
    call_->run_posted();
    EXPECT_EQ(asked_.size(), before);
    sink_->drain();
    call_->run_posted();
    EXPECT_GT(asked_.size(), before);
  }
}

TEST_F(RangeStreamTest, A_client_that_goes_away_lets_the_state_go) {
  run(1000, 300);
  call_->run_posted();
  EXPECT_TRUE(alive_);
  call_->cancel();
  sink_->closed = true;
  sink_->drain();  // as doors do when a stream is over
  call_->run_posted();
  EXPECT_FALSE(alive_);
  EXPECT_TRUE(sink_->ended.empty());

  sink_ = std::make_shared<FakeSink>();
  sink_->closed = true;
  call_ = std::make_shared<FakeCall>();
  run(1000, 300);
  EXPECT_FALSE(alive_) << "write() says that nobody is there";
}

TEST_F(RangeStreamTest, A_failure_ends_the_stream) {
  run(1000, 1, {Code::kDataLoss, "damaged"});
  call_->run_posted();
  EXPECT_FALSE(alive_);
  ASSERT_EQ(sink_->ended.size(), 1u);
  EXPECT_EQ(sink_->ended[0].code(), Code::kDataLoss);
}

}  // namespace
}  // namespace kv::server
