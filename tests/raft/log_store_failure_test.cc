// The disk fails: a failed write or sync is final (fsyncgate), and nothing that was acknowledged is lost by it.
#include <gtest/gtest.h>

#include "raft/crash_file_system.h"
#include "raft/log_fixture.h"
#include "raft/log_store.h"

namespace kv::raft {
namespace {

using Call = CrashFileSystem::Call;

class LogStoreFailure : public ::testing::Test {
 protected:
  LogStoreFailure() {
    options_.file_system = files_;
    log_ = open_log(options_);
    EXPECT_TRUE(log_->write(HardState{Term(1), NodeId(1), Index(0)}, {make_entry(1, 1, "one")}, true).ok());
  }
  void fail_next(Call call, const std::string& name_part) {
    files_->hook = [this, call, name_part](Call c, const std::string& name) {
      calls_ += name.find(name_part) != std::string::npos ? 1 : 0;
      if (failed_ || c != call || name.find(name_part) == std::string::npos) return false;
      return failed_ = true;
    };
  }
  void expect_final_and_nothing_lost() {
    const Status first = log_->write(std::nullopt, {make_entry(2, 1, "two")}, true);
    ASSERT_FALSE(first.ok());
    const size_t calls = calls_;
    // The disk works again; the log does not.
    EXPECT_EQ(log_->write(std::nullopt, {make_entry(2, 1, "two")}, true), first);
    EXPECT_EQ(log_->write(HardState{Term(2), NodeId(1), Index(0)}, {}, true), first);
    EXPECT_EQ(log_->write(HardState{Term(2), NodeId(1), Index(0)}, {}, false), first);
    EXPECT_EQ(log_->truncate_prefix({Index(1), Term(1), {}}), first);
    EXPECT_EQ(log_->put_meta("name", "value"), first);
    EXPECT_EQ(calls_, calls) << "nothing more is written to the failed file";
    EXPECT_EQ(log_->last_index(), Index(1)) << "what was not acknowledged is not shown";
    log_.reset();
    files_->hook = nullptr;
    options_.file_system = nullptr;
    log_ = open_log(options_);
    ASSERT_TRUE(log_);
    EXPECT_EQ(*log_->entries(Index(1), Index(2), 100)[0].data, "one");
    EXPECT_EQ(log_->hard_state(), (HardState{Term(1), NodeId(1), Index(0)}));
    // The write that failed may be there or not; both are right. The log goes on.
    ASSERT_TRUE(log_->write(std::nullopt, {make_entry(2, 2, "other")}, true).ok());
    EXPECT_EQ(*log_->entries(Index(2), Index(3), 100)[0].data, "other");
  }

  TempDir dir_;
  std::shared_ptr<CrashFileSystem> files_ = std::make_shared<CrashFileSystem>();
  LogStore::Options options_ = log_options(dir_ / "log");
  std::unique_ptr<LogStore> log_;
  bool failed_ = false;
  size_t calls_ = 0;
};

TEST_F(LogStoreFailure, A_failed_sync_is_final) {
  fail_next(Call::kSync, ".log");
  expect_final_and_nothing_lost();
}

TEST_F(LogStoreFailure, A_failed_write_is_final) {
  fail_next(Call::kWrite, ".log");
  expect_final_and_nothing_lost();
}

TEST_F(LogStoreFailure, A_failed_write_of_the_synced_mark_is_final) {
  fail_next(Call::kWrite, "SYNCED");
  expect_final_and_nothing_lost();
}

TEST_F(LogStoreFailure, A_long_entry_that_fails_half_way_is_final) {
  // The body of a long frame goes out in pieces before its header: fail the second.
  size_t writes = 0;
  files_->hook = [&writes](Call call, const std::string& name) {
    return call == Call::kWrite && name.ends_with(".log") && ++writes == 2;
  };
  const Status first = log_->write(std::nullopt, {make_entry(2, 1, std::string(3 << 20, 'x'))}, true);
  ASSERT_FALSE(first.ok());
  EXPECT_EQ(log_->write(std::nullopt, {make_entry(2, 1, "two")}, true), first);
  log_.reset();
  log_ = open_log(options_);
  ASSERT_TRUE(log_);
  EXPECT_EQ(log_->last_index(), Index(1));
  files_->hook = nullptr;
}

}  // namespace
}  // namespace kv::raft
