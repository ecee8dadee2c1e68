// The engine of a follower, with a leader that the test plays.
#include "server/engine.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

#include "fixture.h"
#include "kvdpb/command.pb.h"

namespace kv::server {
namespace {

using raft::Index;
using raft::Message;
using raft::NodeId;
using raft::Term;
using Forwards = raft::Transport::Forwards;

constexpr uint64_t kSelf = 1;
constexpr auto kPatience = std::chrono::seconds(20);

class EngineTest : public testing::TestWithParam<int> {
 protected:
  EngineTest() {
    auto log = raft::LogStore::open({.path = directory_.path() + "/log"});
    EXPECT_TRUE(log.ok()) << log.status().to_string();
    log_ = *std::move(log);
    auto store = store::Store::open({.path = directory_.path() + "/state"});
    EXPECT_TRUE(store.ok()) << store.status().to_string();
    store_ = *std::move(store);
    applier_ = std::make_unique<Applier>(*store_, calls_, kSelf, 1234, term_);

    EngineOptions options;
    options.core.id = NodeId(kSelf);
    options.core.election_ticks = 1'000'000;  // the test's leaders are silent for as long as they like
    options.core.pre_vote = false;
    options.initial.configuration.voters = {NodeId(1), NodeId(2), NodeId(3)};
    options.tick_ms = 5;
    options.pipeline_threads = GetParam();
    options.sync = false;
    Engine::Ports ports;
    ports.log = log_.get();
    ports.applier = applier_.get();
    ports.calls = &calls_;
    ports.clock = &Clock::system();
    ports.send = [this](std::vector<Message> messages) { take(std::move(messages)); };
    ports.failed = [](const Status& status) { ADD_FAILURE() << status.to_string(); };
    ports.soft_state_changed = [](raft::SoftState, Term) {};
    ports.forwards_to = [this](NodeId) {
      ++asked_;
      return forwards_.load();
    };
    engine_ = std::make_unique<Engine>(options, std::move(ports), term_);
    engine_->start();
  }
  ~EngineTest() override {
    engine_->stop();
    calls_.close({Code::kUnavailable, "the test is over"});
  }

  void take(std::vector<Message>&& messages) {
    const std::lock_guard lock(mutex_);
    for (Message& message : messages) {
      if (const auto* forward = std::get_if<raft::Forward>(&message.body)) {
        for (const std::string& key : keys(forward->data))
          forwarded_.push_back(key + " to " + to_string(message.to) + " in term " + to_string(message.term));
      } else if (const auto* append = std::get_if<raft::AppendRequest>(&message.body)) {
        for (const raft::Entry& entry : append->entries) appended_.merge(keys(entry.data));
      }
    }
    came_.notify_all();
  }
  static std::set<std::string> keys(const raft::Payload& data) {
    kvdpb::Batch batch;
    EXPECT_TRUE(batch.ParseFromString(*data));
    std::set<std::string> keys;
    for (const auto& command : batch.commands()) keys.insert(command.put().key());
    return keys;
  }
  // The first `count` that were forwarded since the start.
  std::vector<std::string> forwarded(size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(came_.wait_for(lock, kPatience, [&] { return forwarded_.size() >= count; }));
    return forwarded_;
  }
  using Texts = std::vector<std::string>;

  void write(const std::string& key) {
    Completion done = [this](const Status& status, google::protobuf::Message*) {
      EXPECT_TRUE(status.ok()) << status.to_string();
      const std::lock_guard lock(mutex_);
      ++answered_;
      came_.notify_all();
    };
    const int64_t expires_ms = Clock::system().monotonic_ms() + 60'000;
    kvdpb::Command command;
    command.set_origin(kSelf);
    command.set_call(*calls_.add(1, expires_ms, done));
    command.mutable_put()->set_key(key);
    ASSERT_TRUE(engine_->propose(command.SerializeAsString(), command.call()));
    const std::lock_guard lock(mutex_);
    commands_[key] = std::move(command);
  }
  void hear(uint64_t from, uint64_t term, raft::MessageBody body) {
    engine_->deliver({{NodeId(from), NodeId(kSelf), Term(term), std::move(body)}});
  }
  // The leader of `term` has that entry committed: a noop, or the write of `key`.
  void commit(uint64_t from, uint64_t term, uint64_t index, uint64_t previous_term, const std::string& key = "") {
    kvdpb::Batch batch;
    if (!key.empty()) *batch.add_commands() = commands_.at(key);
    raft::AppendRequest append;
    append.previous_index = Index(index - 1);
    append.previous_term = Term(previous_term);
    append.commit = Index(index);
    append.entries = {{Index(index), Term(term), key.empty() ? raft::EntryType::kNoop : raft::EntryType::kCommand,
                       std::make_shared<const std::string>(batch.SerializeAsString())}};
    hear(from, term, std::move(append));
  }
  bool answered(int count) {
    std::unique_lock lock(mutex_);
    return came_.wait_for(lock, kPatience, [&] { return answered_ >= count; });
  }

  TempDirectory directory_;
  std::unique_ptr<raft::LogStore> log_;
  std::unique_ptr<store::Store> store_;
  PendingCalls calls_{100, 1 << 20, 0};
  std::atomic<uint64_t> term_{0};
  std::unique_ptr<Applier> applier_;
  std::atomic<Forwards> forwards_{Forwards::kInTheirTerm};
  std::atomic<int> asked_{0};
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<std::string> forwarded_;
  std::set<std::string> appended_;
  int answered_ = 0;
  std::map<std::string, kvdpb::Command> commands_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(EngineTest, A_write_waits_for_a_leader_and_then_for_a_stream_to_it) {
  forwards_ = Forwards::kLost;
  write("a");
  hear(2, 1, raft::Heartbeat{});
  ASSERT_TRUE(eventually([&] { return asked_ >= 3; }));
  {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(forwarded_, Texts{}) << "it would be lost, and its client wait for nothing";
  }
  forwards_ = Forwards::kInTheirTerm;
  EXPECT_EQ(forwarded(1), Texts{"a to 2 in term 1"});
  commit(2, 1, 1, 0);
  commit(2, 1, 2, 1, "a");
  EXPECT_TRUE(answered(1));
}

TEST_P(EngineTest, What_the_last_leader_did_not_bring_into_the_log_goes_to_the_next_once) {
  hear(2, 1, raft::Heartbeat{});
  write("kept");
  forwarded(1);
  write("lost");
  EXPECT_EQ(forwarded(2), (Texts{"kept to 2 in term 1", "lost to 2 in term 1"}));
  commit(2, 1, 1, 0);
  // The next leader has an entry of the last one before its own.
  commit(3, 2, 2, 1);
  EXPECT_EQ(forwarded(4).size(), 4u) << "none was there";
  commit(3, 2, 3, 2, "kept");
  EXPECT_TRUE(answered(1));
  hear(2, 3, raft::Heartbeat{});
  commit(2, 3, 4, 2);
  EXPECT_EQ(forwarded(5), (Texts{"kept to 2 in term 1", "lost to 2 in term 1", "kept to 3 in term 2",
                                 "lost to 3 in term 2", "lost to 2 in term 3"}));
  commit(2, 3, 5, 3, "lost");
  EXPECT_TRUE(answered(2));
}

TEST_P(EngineTest, A_leader_of_an_earlier_version_may_hand_it_on_so_nothing_is_sent_again) {
  forwards_ = Forwards::kInAnyTerm;
  hear(2, 1, raft::Heartbeat{});
  write("a");
  forwarded(1);
  commit(2, 1, 1, 0);
  commit(3, 2, 2, 1);
  write("b");
  EXPECT_EQ(forwarded(2), (Texts{"a to 2 in term 1", "b to 3 in term 2"}));
  commit(3, 2, 3, 2, "a");
  commit(3, 2, 4, 2, "b");
  EXPECT_TRUE(answered(2));
}

// The same member leads again when what was forwarded to it arrives.
TEST_P(EngineTest, A_leader_takes_what_is_forwarded_in_its_own_term_only) {
  const auto lead = [this](uint64_t term) {
    engine_->run([](raft::Core& core) { core.campaign(); });
    ASSERT_TRUE(eventually([&] { return term_ == term; }));
    hear(2, term, raft::VoteReply{.granted = true});
    ASSERT_TRUE(eventually([&] { return engine_->soft_state().role == raft::Role::kLeader; }));
  };
  const auto forward = [this](uint64_t term, const std::string& key) {
    kvdpb::Batch batch;
    batch.add_commands()->mutable_put()->set_key(key);
    hear(2, term, raft::Forward{.data = std::make_shared<const std::string>(batch.SerializeAsString())});
  };
  lead(1);
  hear(3, 2, raft::Heartbeat{});
  ASSERT_TRUE(eventually([&] { return term_ == 2; }));
  lead(3);
  forward(1, "late");
  forward(3, "in time");
  hear(2, 3, raft::AppendReply{.accepted = true, .index = Index(1)});
  std::unique_lock lock(mutex_);
  EXPECT_TRUE(came_.wait_for(lock, kPatience, [&] { return !appended_.empty(); }));
  EXPECT_EQ(appended_, std::set<std::string>{"in time"});
}

INSTANTIATE_TEST_SUITE_P(Threads, EngineTest, testing::Values(1, 3));

}  // namespace
}  // namespace kv::server
