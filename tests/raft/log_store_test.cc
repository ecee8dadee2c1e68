#include "raft/log_store.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <ranges>
#include <set>
#include <thread>

#include "raft/log_fixture.h"

namespace kv::raft {
namespace {

class LogStoreTest : public ::testing::Test {
 protected:
  void open() { log_ = open_log(options_); }
  void reopen() {
    log_.reset();
    open();
    ASSERT_TRUE(log_);
  }
  Status write(const std::vector<Entry>& entries, bool sync = true) { return log_->write(std::nullopt, entries, sync); }
  Status fill(uint64_t from, uint64_t to, uint64_t term, size_t bytes = 10) {
    std::vector<Entry> entries;
    for (uint64_t i = from; i <= to; ++i) {
      entries.push_back(make_entry(i, term, std::string(bytes, static_cast<char>('a' + i % 26))));
    }
    return write(entries);
  }

  TempDir dir_;
  LogStore::Options options_ = log_options(dir_ / "data/log");
  std::unique_ptr<LogStore> log_;
};

TEST_F(LogStoreTest, A_new_log_is_empty_and_begins_at_the_beginning) {
  open();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(log_->first_index(), Index(1));
    EXPECT_EQ(log_->last_index(), Index(0));
    EXPECT_EQ(log_->term(Index(0)), Term(0));
    EXPECT_EQ(log_->term(Index(1)), std::nullopt);
    EXPECT_EQ(log_->hard_state(), HardState());
    EXPECT_EQ(log_->snapshot(), SnapshotMeta());
    EXPECT_TRUE(log_->entries(Index(1), Index(1), 100).empty());
    reopen();
  }
}

TEST_F(LogStoreTest, Entries_and_hard_state_come_back) {
  open();
  const HardState state{Term(3), NodeId(7), Index(1)};
  const std::vector<Entry> entries = {
      make_entry(1, 2, "one"), make_entry(2, 3, ""), {Index(3), Term(3), EntryType::kConfigChange, nullptr}};
  ASSERT_TRUE(log_->write(state, entries, true).ok());
  LogModel model;
  model.write(state, entries);
  model.entries[2].data = std::make_shared<const std::string>();  // on disk, no payload is an empty one
  reopen();
  EXPECT_TRUE(same(model_of(*log_), model));
}

TEST_F(LogStoreTest, A_suffix_is_replaced_by_a_shorter_and_a_longer_one) {
  for (const uint64_t replaced : {uint64_t{3}, uint64_t{1000}}) {  // entry by entry, and as a range
    TempDir dir;
    options_ = log_options(dir / "log");
    open();
    ASSERT_TRUE(fill(1, 10 + replaced, 1).ok());
    ASSERT_TRUE(write({make_entry(8, 2, "new")}).ok());
    EXPECT_EQ(log_->last_index(), Index(8));
    EXPECT_EQ(log_->term(Index(7)), Term(1));
    EXPECT_EQ(log_->term(Index(8)), Term(2));
    EXPECT_EQ(log_->term(Index(9)), std::nullopt);
    const LogModel before = model_of(*log_);
    reopen();
    EXPECT_TRUE(same(model_of(*log_), before));
    ASSERT_TRUE(fill(9, 30, 3).ok());
    EXPECT_EQ(*log_->entries(Index(8), Index(9), 1000)[0].data, "new");
    const LogModel after = model_of(*log_);
    EXPECT_EQ(after.last(), Index(30));
    reopen();
    EXPECT_TRUE(same(model_of(*log_), after));
    log_.reset();
  }
}

TEST_F(LogStoreTest, Entries_stop_before_the_byte_limit_but_are_never_none) {
  open();
  ASSERT_TRUE(fill(1, 10, 1, 100).ok());  // 132 bytes each by Entry::bytes()
  EXPECT_EQ(log_->entries(Index(2), Index(9), SIZE_MAX).size(), 7u);
  EXPECT_EQ(log_->entries(Index(2), Index(9), 1).size(), 1u);
  EXPECT_EQ(log_->entries(Index(2), Index(9), 0).size(), 1u);
  EXPECT_EQ(log_->entries(Index(2), Index(9), 264).size(), 2u);
  EXPECT_EQ(log_->entries(Index(2), Index(9), 395).size(), 2u);
  EXPECT_EQ(log_->entries(Index(2), Index(9), 396).size(), 3u);
}

// The same answers whether entries lie in the cache, on disk, or half and half.
TEST_F(LogStoreTest, Entries_read_the_same_from_cache_and_disk) {
  options_.cache_bytes = 5 * 132;
  open();
  ASSERT_TRUE(fill(1, 20, 1, 100).ok());
  for (uint64_t from = 1; from <= 20; ++from) {
    for (uint64_t to = from + 1; to <= 21; ++to) {
      for (const size_t limit : {size_t{0}, size_t{132}, size_t{500}, SIZE_MAX}) {
        const auto got = log_->entries(Index(from), Index(to), limit);
        const size_t want = std::max<size_t>(1, std::min<size_t>(to - from, limit / 132));
        ASSERT_EQ(got.size(), want) << from << " " << to << " " << limit;
        for (size_t i = 0; i < want; ++i) {
          ASSERT_EQ(got[i].index, Index(from + i));
          ASSERT_EQ((*got[i].data)[0], static_cast<char>('a' + (from + i) % 26));
        }
      }
    }
  }
}

TEST_F(LogStoreTest, A_prefix_goes_and_the_rest_stays) {
  open();
  ASSERT_TRUE(fill(1, 5, 1).ok());
  ASSERT_TRUE(fill(6, 10, 2).ok());
  const SnapshotMeta meta{Index(7), Term(2), {{NodeId(1), NodeId(2)}, {}, {NodeId(3)}, {}, true}};
  ASSERT_TRUE(log_->truncate_prefix(meta).ok());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(log_->first_index(), Index(8));
    EXPECT_EQ(log_->last_index(), Index(10));
    EXPECT_EQ(log_->snapshot(), meta);
    EXPECT_EQ(log_->term(Index(6)), std::nullopt);
    EXPECT_EQ(log_->term(Index(7)), Term(2));
    EXPECT_EQ(log_->term(Index(10)), Term(2));
    EXPECT_EQ(log_->entries(Index(8), Index(11), SIZE_MAX).size(), 3u);
    reopen();
  }
  // An older snapshot changes nothing.
  ASSERT_TRUE(log_->truncate_prefix({Index(3), Term(1), {}}).ok());
  EXPECT_EQ(log_->snapshot(), meta);
}

TEST_F(LogStoreTest, The_whole_log_goes_when_a_snapshot_is_beyond_it_or_disagrees) {
  for (const SnapshotMeta& meta : {SnapshotMeta{Index(50), Term(4), {}}, SnapshotMeta{Index(7), Term(3), {}}}) {
    TempDir dir;
    options_ = log_options(dir / "log");
    open();
    ASSERT_TRUE(fill(1, 10, 1).ok());
    ASSERT_TRUE(log_->truncate_prefix(meta).ok());
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(log_->first_index(), meta.index + 1);
      EXPECT_EQ(log_->last_index(), meta.index);
      EXPECT_EQ(log_->term(meta.index), meta.term);
      reopen();
    }
    ASSERT_TRUE(fill(meta.index.value() + 1, meta.index.value() + 5, 9).ok());
    const LogModel before = model_of(*log_);
    reopen();
    EXPECT_TRUE(same(model_of(*log_), before));
    log_.reset();
  }
}

TEST_F(LogStoreTest, Named_values_come_back) {
  open();
  EXPECT_EQ(*log_->get_meta("cluster_id"), std::nullopt);
  ASSERT_TRUE(log_->put_meta("cluster_id", "abc").ok());
  ASSERT_TRUE(log_->put_meta("empty", "").ok());
  ASSERT_TRUE(log_->put_meta("cluster_id", std::string("x\0y", 3)).ok());
  reopen();
  EXPECT_EQ(*log_->get_meta("cluster_id"), std::string("x\0y", 3));
  EXPECT_EQ(*log_->get_meta("empty"), "");
  EXPECT_EQ(*log_->get_meta("other"), std::nullopt);
}

TEST_F(LogStoreTest, A_second_opener_is_refused_until_the_first_is_gone) {
  open();
  ASSERT_TRUE(fill(1, 3, 1).ok());
  const auto second = LogStore::open(options_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), Code::kUnavailable);
  EXPECT_NE(second.status().text().find("in use by another process"), std::string::npos) << second.status().text();
  // ... and one in another process.
  const pid_t child = ::fork();
  if (child == 0) {
    const auto opened = LogStore::open(options_);
    ::_exit(!opened.ok() && opened.status().code() == Code::kUnavailable ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  reopen();
}

TEST_F(LogStoreTest, Directories_are_for_their_owner_only) {
  open();
  const auto mode = [this](const std::string& name) {
    struct stat found {};
    EXPECT_EQ(::stat((dir_ / name).c_str(), &found), 0);
    return found.st_mode & 0777;
  };
  EXPECT_EQ(mode("data"), 0700u);
  EXPECT_EQ(mode("data/log"), 0700u);
  log_.reset();
  ASSERT_EQ(::chmod((dir_ / "data/log").c_str(), 0755), 0);
  open();
  EXPECT_EQ(mode("data/log"), 0700u);
}

TEST_F(LogStoreTest, A_log_that_should_be_there_and_is_not_is_not_made) {
  options_.create_if_missing = false;
  EXPECT_EQ(LogStore::open(options_).status().code(), Code::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(options_.path));
}

// Against a model, over many memtables and files, with restarts in between.
TEST_F(LogStoreTest, Random_steps_equal_the_model_over_restarts) {
  options_.memtable_bytes = 64 << 10;
  options_.cache_bytes = 4 << 10;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    TempDir dir;
    options_.path = dir / "log";
    open();
    Random random(seed);
    LogModel model;
    for (int i = 0; i < 1500; ++i) {
      const LogStep step = random_step(random, model, 600);
      ASSERT_TRUE(apply(step, *log_).ok());
      apply(step, model);
      if (random.one_in(150)) {
        ASSERT_TRUE(same(model_of(*log_), model)) << "seed " << seed << " step " << i;
        reopen();
        ASSERT_TRUE(same(model_of(*log_), model)) << "seed " << seed << " step " << i << " after a restart";
      }
    }
    ASSERT_TRUE(same(model_of(*log_), model)) << "seed " << seed;
    log_.reset();
  }
}

TEST_F(LogStoreTest, Write_ahead_logs_are_used_again_and_do_not_pile_up) {
  options_.memtable_bytes = 64 << 10;
  open();
  std::map<ino_t, std::set<std::string>> lives;  // of each file, the names it had
  for (uint64_t i = 1; i <= 400; ++i) {
    ASSERT_TRUE(fill(i, i, 1, 10000).ok());
    for (const std::string& name : files_with(options_.path, ".log")) {
      struct stat found {};
      if (::stat(name.c_str(), &found) == 0) lives[found.st_ino].insert(name);
    }
    if (i % 10 == 0) {
      ASSERT_TRUE(log_->truncate_prefix({Index(i - 2), Term(1), {}}).ok());
    }
  }
  const auto names_of = [](const auto& life) { return life.second.size(); };
  EXPECT_GE(std::ranges::max(lives | std::views::transform(names_of)), 2u) << "no file had a second life";
  EXPECT_LE(files_with(options_.path, ".log").size() + files_with(options_.path, "wal-spare").size(), 12u);
  EXPECT_LT(log_->bytes_on_disk(), 3u << 20);
  EXPECT_GT(log_->bytes_on_disk(), 1000u);
  const LogModel before = model_of(*log_);
  for (int i = 0; i < 20; ++i) reopen();
  EXPECT_TRUE(same(model_of(*log_), before));
  EXPECT_LE(files_with(options_.path, ".log").size(), 12u) << "restarts leave one each, up to a limit";
}

// A new log's first file grows block by block. Once the log is in use, one that has its blocks takes over.
TEST_F(LogStoreTest, A_prepared_file_takes_over_soon) {
  options_.memtable_bytes = 4 << 20;
  std::filesystem::create_directories(options_.path);
  // What a preparation that was cut short left behind goes.
  write_file(options_.path + "/wal-spare-.new", "half");
  open();
  EXPECT_TRUE(files_with(options_.path, "wal-spare").empty());
  ASSERT_TRUE(fill(1, 10, 1).ok());
  EXPECT_TRUE(files_with(options_.path, "wal-spare").empty()) << "not before the log is in use";
  const std::string first = newest_wal(options_.path);
  uint64_t next = 11;
  // Less than a memtable's worth in all.
  while (newest_wal(options_.path) == first) {
    ASSERT_LT(next, 10000u) << "no prepared file took over";
    if (next >= 60) ::poll(nullptr, 0, 1);
    ASSERT_TRUE(fill(next, next, 1, next < 60 ? 20000 : 10).ok());
    ++next;
  }
  EXPECT_EQ(std::filesystem::file_size(newest_wal(options_.path)), options_.memtable_bytes);
  ASSERT_TRUE(fill(next, next + 10, 1).ok());
  const LogModel before = model_of(*log_);
  reopen();
  EXPECT_TRUE(same(model_of(*log_), before));
}

TEST_F(LogStoreTest, Readers_may_read_while_the_writer_writes) {
  options_.memtable_bytes = 64 << 10;
  options_.cache_bytes = 8 << 10;
  open();
  ASSERT_TRUE(fill(1, 10, 1).ok());
  std::atomic<bool> done{false};
  std::thread reader([&] {
    Random random(1);
    while (!done) {
      const Index first = log_->first_index();
      const Index last = log_->last_index();
      if (last < first + 20) continue;
      // The prefix may go at any moment; what is read near the end stays.
      const Index from = last - random.below(15);
      const auto entries = log_->entries(from, last + 1, SIZE_MAX);
      for (size_t i = 0; i < entries.size(); ++i) {
        ASSERT_EQ(entries[i].index, from + i);
        ASSERT_EQ((*entries[i].data)[0], static_cast<char>('a' + entries[i].index.value() % 26));
      }
      ASSERT_EQ(log_->term(last), Term(1));
      (void)log_->hard_state();
    }
  });
  for (uint64_t i = 11; i <= 2000; ++i) {
    ASSERT_TRUE(fill(i, i, 1, 500).ok());
    if (i % 100 == 0) {
      ASSERT_TRUE(log_->truncate_prefix({Index(i - 60), Term(1), {}}).ok());
    }
  }
  done = true;
  reader.join();
}

}  // namespace
}  // namespace kv::raft
