// Backups on their way to clients: from a checkpoint that the test makes, to clients that read as they like.
#include "server/backups.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>

#include "fixture.h"
#include "server/errors.h"

namespace kv::server {
namespace {

namespace fs = std::filesystem;
using etcdserverpb::SnapshotResponse;

// Takes what it is sent; tells that it has, when it is told so.
class SlowSink final : public Sink<SnapshotResponse> {
 public:
  bool write(const SnapshotResponse& response) override {
    const std::lock_guard lock(mutex_);
    if (gone_) return false;
    bytes_ += response.blob();
    remaining_.push_back(response.remaining_bytes());
    versions_.insert(response.version());
    queued_ += response.blob().size();
    most_queued_ = std::max(most_queued_, queued_);
    return true;
  }
  void finish(Status status) override {
    const std::lock_guard lock(mutex_);
    ended_.push_back(std::move(status));
  }
  size_t queued_bytes() const override {
    const std::lock_guard lock(mutex_);
    return queued_;
  }
  void on_drained(size_t below_bytes, absl::AnyInvocable<void()> ready) override {
    {
      const std::lock_guard lock(mutex_);
      if (queued_ >= below_bytes && !gone_) {
        waiter_ = std::move(ready);
        return;
      }
    }
    ready();
  }

  bool waits() const {
    const std::lock_guard lock(mutex_);
    return static_cast<bool>(waiter_);
  }
  void drain(bool gone = false) {
    absl::AnyInvocable<void()> waiter;
    {
      const std::lock_guard lock(mutex_);
      queued_ = 0;
      gone_ = gone_ || gone;
      std::swap(waiter, waiter_);
    }
    if (waiter) waiter();
  }
  std::vector<Status> ended() const {
    const std::lock_guard lock(mutex_);
    return ended_;
  }

  mutable std::mutex mutex_;
  std::string bytes_;
  std::vector<uint64_t> remaining_;
  std::set<std::string> versions_;
  size_t queued_ = 0;
  size_t most_queued_ = 0;
  bool gone_ = false;
  absl::AnyInvocable<void()> waiter_;
  std::vector<Status> ended_;
};

class BackupsTest : public testing::Test {
 protected:
  BackupsTest()
      : backups_({.directory = directory_.path() + "/backup",
                  .storage_version = "3.6.0",
                  .streams_max = 2,
                  .blob_bytes = 10'000,
                  .queued_bytes_max = 100'000},
                 [this](const std::string& path) { return checkpoint(path); }) {}

  Result<store::BackupInfo> checkpoint(const std::string& path) {
    if (!failure_.ok()) return failure_;
    fs::create_directory(path);
    std::ofstream(path + "/000007.sst") << std::string(500'000, 'x');
    return store::BackupInfo{.revision = 5};
  }

  std::shared_ptr<SlowSink> serve() {
    auto sink = std::make_shared<SlowSink>();
    last_call_ = std::make_shared<InlineCall>();
    backups_.serve(last_call_, sink);
    return sink;
  }
  // How many checkpoints lie there.
  size_t checkpoints() const {
    std::error_code error;
    size_t n = 0;
    for (fs::directory_iterator it(directory_.path() + "/backup", error), end; !error && it != end; it.increment(error))
      ++n;
    return n;
  }

  TempDirectory directory_;
  Status failure_;
  CallPtr last_call_;
  Backups backups_;
};

TEST_F(BackupsTest, Sends_a_whole_backup_to_a_client_that_takes_it) {
  ASSERT_TRUE(backups_.start().ok());
  const auto sink = serve();
  while (sink->ended().empty()) sink->drain();
  ASSERT_EQ(sink->ended(), std::vector<Status>{Status()});
  EXPECT_EQ(sink->versions_, std::set<std::string>{"3.6.0"});
  EXPECT_LE(sink->most_queued_, 110'000u);
  // As etcd counts: the sum at the end is a message of its own and is not among the bytes that remain.
  ASSERT_GT(sink->remaining_.size(), 50u);
  EXPECT_EQ(sink->remaining_[0], sink->bytes_.size() - 32 - 10'000);
  EXPECT_EQ(sink->remaining_.back(), 0u);
  EXPECT_EQ(sink->remaining_[sink->remaining_.size() - 2], 0u);

  const std::string path = directory_.path() + "/saved";
  std::ofstream(path, std::ios::binary) << sink->bytes_;
  const auto file = store::BackupFile::open(path);
  ASSERT_TRUE(file.ok()) << file.status().to_string();
  EXPECT_TRUE((*file)->verify(true).ok());
  EXPECT_TRUE(eventually([&] { return checkpoints() == 0; }));
}

TEST_F(BackupsTest, Waits_for_a_slow_client_and_serves_others_meanwhile) {
  ASSERT_TRUE(backups_.start().ok());
  const auto slow = serve();
  ASSERT_TRUE(eventually([&] { return slow->waits(); }));
  const auto quick = serve();
  while (quick->ended().empty()) quick->drain();
  EXPECT_TRUE(slow->waits());
  EXPECT_LE(slow->most_queued_, 110'000u);
  while (slow->ended().empty()) slow->drain();
  EXPECT_TRUE(slow->bytes_ == quick->bytes_);
}

TEST_F(BackupsTest, Takes_so_many_clients_and_no_more) {
  ASSERT_TRUE(backups_.start().ok());
  const auto one = serve();
  const auto two = serve();
  EXPECT_EQ(serve()->ended(), std::vector<Status>{errors::too_many_requests()});
  while (one->ended().empty()) one->drain();
  EXPECT_TRUE(eventually([&] { return serve()->ended().empty(); }));
}

TEST_F(BackupsTest, Forgets_a_client_that_went_away) {
  ASSERT_TRUE(backups_.start().ok());
  const auto sink = serve();
  ASSERT_TRUE(eventually([&] { return sink->waits(); }));
  EXPECT_EQ(checkpoints(), 1u);
  last_call_->cancel();
  sink->drain(true);
  EXPECT_TRUE(eventually([&] { return checkpoints() == 0; }));
  EXPECT_EQ(sink->ended().size(), 1u);
}

TEST_F(BackupsTest, Ends_its_streams_when_the_server_stops) {
  ASSERT_TRUE(backups_.start().ok());
  const auto sink = serve();
  ASSERT_TRUE(eventually([&] { return sink->waits(); }));
  backups_.stop();
  EXPECT_EQ(sink->ended(), std::vector<Status>{errors::stopped()});
  EXPECT_FALSE(fs::exists(directory_.path() + "/backup"));
  EXPECT_EQ(serve()->ended(), std::vector<Status>{errors::stopped()});
}

TEST_F(BackupsTest, Removes_what_a_crash_has_left) {
  fs::create_directories(directory_.path() + "/backup/1");
  std::ofstream(directory_.path() + "/backup/1/CURRENT") << "x";
  ASSERT_TRUE(backups_.start().ok());
  EXPECT_FALSE(fs::exists(directory_.path() + "/backup"));
}

TEST_F(BackupsTest, Says_why_there_is_no_backup) {
  ASSERT_TRUE(backups_.start().ok());
  failure_ = {Code::kInternal, "the disk is full"};
  const auto sink = serve();
  EXPECT_TRUE(eventually([&] { return sink->ended().size() == 1; }));
  EXPECT_EQ(sink->ended(), std::vector<Status>{failure_});
}

}  // namespace
}  // namespace kv::server
