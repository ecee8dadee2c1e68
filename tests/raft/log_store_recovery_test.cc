// What recovery makes of every damage: the exact log, or the exact log without a last write that was not
// acknowledged, or DataLoss. Never a wrong entry, never silence about a lost one.
#include <gtest/gtest.h>

#include "raft/log_fixture.h"
#include "raft/log_store.h"
#include "raft/no_sync_file_system.h"

namespace kv::raft {
namespace {

// A log as a crash of its process leaves it, with what it held after each of its batches.
class LogRecovery : public ::testing::Test {
 protected:
  void begin(size_t memtable_bytes = 64 << 20, bool prepare_files = true) {
    options_ = log_options(dir_ / "live");
    options_.memtable_bytes = memtable_bytes;
    options_.prepare_files = prepare_files;
    options_.file_system = std::make_shared<NoSyncFileSystem>();  // thousands of trials
    log_ = open_log(options_);
  }
  void write(const std::optional<HardState>& state, const std::vector<Entry>& entries) {
    before_mark_ = read_file(options_.path + "/SYNCED");
    if (first_mark_.empty()) first_mark_ = before_mark_;
    before_ = model_;
    ASSERT_TRUE(log_->write(state, entries, true).ok());
    model_.write(state, entries);
  }
  // Small batches of every kind that matters.
  void write_samples(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t next = model_.last().value() + 1;
      const HardState state{Term(2), NodeId(i % 3 + 1), Index(next - 1)};
      write(state, {make_entry(next, 2, "value " + std::to_string(next)), make_entry(next + 1, 2, "x")});
    }
  }
  // The process dies. The image is opened with the mark of the last write (it was acknowledged), with that of the
  // one before (it was not), or with the first mark of all (a power failure took the others back).
  enum class Mark : uint8_t { kLast, kOneBefore, kFirst };
  void crash() {
    image_ = dir_ / "image";
    copy_log(options_.path, image_);
    wal_ = std::filesystem::path(newest_wal(image_)).filename().string();
    content_ = read_file(image_ + "/" + wal_);
    frames_ = frames_of(content_, wal_);
    ASSERT_GE(frames_.size(), 4u);
  }
  enum class Outcome : uint8_t { kWhole, kWithoutLast, kDataLoss, kWrong };
  Outcome recover_with(const std::string& wal_content, Mark mark) {
    const std::string trial = dir_ / "trial";
    copy_log(image_, trial);
    write_file(trial + "/" + wal_, wal_content);
    set_mark(trial, mark);
    return recover(trial);
  }
  void set_mark(const std::string& directory, Mark mark) {
    if (mark == Mark::kOneBefore) write_file(directory + "/SYNCED", before_mark_);
    if (mark == Mark::kFirst) write_file(directory + "/SYNCED", first_mark_);
  }
  Outcome recover(const std::string& directory) {
    LogStore::Options options = options_;
    options.path = directory;
    auto opened = LogStore::open(options);
    if (!opened.ok()) {
      text_ = opened.status().text();
      return opened.status().code() == Code::kDataLoss ? Outcome::kDataLoss : Outcome::kWrong;
    }
    const LogModel got = model_of(**opened);
    if (got == model_) return Outcome::kWhole;
    if (got == before_) return Outcome::kWithoutLast;
    return Outcome::kWrong;
  }

  TempDir dir_;
  LogStore::Options options_;
  std::unique_ptr<LogStore> log_;
  LogModel model_;
  LogModel before_;          // without the last batch
  std::string before_mark_;  // SYNCED without the last batch
  std::string first_mark_;   // ... without any
  std::string image_;
  std::string wal_;
  std::string content_;
  std::vector<FramePlace> frames_;
  std::string text_;  // of the last DataLoss
};

TEST_F(LogRecovery, Every_cut_of_the_last_records_is_the_exact_prefix_or_data_loss) {
  begin();
  write_samples(6);
  crash();
  const FramePlace last = frames_.back();
  ASSERT_LE(last.end, content_.size());
  for (size_t length = frames_[frames_.size() - 3].begin; length <= content_.size(); ++length) {
    const std::string cut = content_.substr(0, length);
    // A last write that was acknowledged is missed ...
    ASSERT_EQ(recover_with(cut, Mark::kLast), length >= last.end ? Outcome::kWhole : Outcome::kDataLoss) << length;
    // ... and one that was not is cut off, but nothing before it.
    const Outcome expected = length >= last.end                          ? Outcome::kWhole
                             : length >= frames_[frames_.size() - 2].end ? Outcome::kWithoutLast
                                                                         : Outcome::kDataLoss;
    ASSERT_EQ(recover_with(cut, Mark::kOneBefore), expected) << length << " of " << content_.size();
  }
}

TEST_F(LogRecovery, Every_flipped_byte_of_the_last_and_the_middle_records_is_found) {
  begin();
  write_samples(8);
  crash();
  const size_t count = frames_.size();
  for (const size_t f : {size_t{1}, count / 2, count - 2, count - 1}) {
    for (size_t at = frames_[f].begin; at < frames_[f].padded && at < content_.size(); ++at) {
      for (const char mask : {'\x01', '\x80', '\xff'}) {
        if (mask != '\xff' && f != count - 1) continue;
        // The bytes between frames mean nothing.
        const bool padding = at >= frames_[f].end;
        std::string flipped = content_;
        flipped[at] = static_cast<char>(flipped[at] ^ mask);
        ASSERT_EQ(recover_with(flipped, Mark::kLast), padding ? Outcome::kWhole : Outcome::kDataLoss) << f << " " << at;
        if (mask != '\xff') continue;
        const Outcome expected = padding          ? Outcome::kWhole
                                 : f == count - 1 ? Outcome::kWithoutLast
                                                  : Outcome::kDataLoss;
        ASSERT_EQ(recover_with(flipped, Mark::kOneBefore), expected) << f << " " << at;
        // The frames alone tell it, without any help of the mark.
        ASSERT_EQ(recover_with(flipped, Mark::kFirst), expected) << f << " " << at;
      }
    }
  }
}

TEST_F(LogRecovery, Sectors_of_zeros_or_of_an_earlier_life_are_found) {
  // Small memtables, until the newest file is in its second life and holds frames of its first behind the new ones.
  begin(64 << 10, false);
  const auto has_remains = [this](size_t frames_min) {
    const std::string name = newest_wal(options_.path);
    const std::string content = read_file(name);
    const auto frames = frames_of(content, name);
    return frames.size() >= frames_min && content.size() > frames.back().padded + 8000;
  };
  do {
    const uint64_t next = model_.last().value() + 1;
    ASSERT_LT(next, 5000u) << "no file was ever used again";
    write(std::nullopt, {make_entry(next, 1, std::string(5000, static_cast<char>('a' + next % 26)))});
    if (next % 10 == 9) {
      const SnapshotMeta meta{Index(next - 3), Term(1), {{NodeId(1)}}};
      ASSERT_TRUE(log_->truncate_prefix(meta).ok());
      model_.truncate(meta);
    }
  } while (!has_remains(2));
  write_samples(6);
  ASSERT_TRUE(has_remains(6));
  crash();
  ASSERT_GT(content_.size(), frames_.back().padded + 1000) << "no remains of an earlier life behind the end";
  ASSERT_EQ(recover_with(content_, Mark::kLast), Outcome::kWhole);
  for (size_t at = frames_[frames_.size() - 4].begin / 512 * 512; at < frames_.back().end; at += 512) {
    for (const bool zeros : {true, false}) {
      std::string damaged = content_;
      const size_t n = std::min<size_t>(512, damaged.size() - at);
      const std::string old = content_.substr(frames_.back().padded + 64, n);
      damaged.replace(at, n, zeros ? std::string(n, '\0') : old + std::string(n - old.size(), 'z'));
      const bool only_last = at >= frames_.back().begin;
      ASSERT_EQ(recover_with(damaged, Mark::kLast), Outcome::kDataLoss) << at;
      const Outcome expected = only_last ? Outcome::kWithoutLast : Outcome::kDataLoss;
      ASSERT_EQ(recover_with(damaged, Mark::kOneBefore), expected) << at;
      // Without the mark, damage shows when a whole frame stands behind it. (One sector that takes the last frame and
      // the one before, and the loss of the mark too: that can't be told from a torn tail.)
      if (only_last || at + n <= frames_.back().begin) {
        ASSERT_EQ(recover_with(damaged, Mark::kFirst), expected) << at;
      }
    }
  }
  // Every byte of the last frame, behind which old frames stand.
  for (size_t at = frames_.back().begin; at < frames_.back().end; ++at) {
    std::string flipped = content_;
    flipped[at] = static_cast<char>(~flipped[at]);
    ASSERT_EQ(recover_with(flipped, Mark::kLast), Outcome::kDataLoss) << at;
    ASSERT_EQ(recover_with(flipped, Mark::kOneBefore), Outcome::kWithoutLast) << at;
  }
}

TEST_F(LogRecovery, Data_loss_says_what_and_what_to_do) {
  begin();
  write_samples(6);
  crash();
  std::string flipped = content_;
  flipped[frames_[2].begin + 50] ^= 1;
  ASSERT_EQ(recover_with(flipped, Mark::kLast), Outcome::kDataLoss);
  for (const char* part : {"frame 2", "remove it from the cluster", "delete its data directory", "add it again"}) {
    EXPECT_NE(text_.find(part), std::string::npos) << text_;
  }
  EXPECT_NE(text_.find(dir_.path()), std::string::npos) << text_;
  ASSERT_EQ(recover_with(content_.substr(0, frames_[3].end), Mark::kLast), Outcome::kDataLoss);
  EXPECT_NE(text_.find("index " + to_string(model_.last())), std::string::npos) << text_;
}

// Looking must not change anything: what was found damaged is found damaged again.
TEST_F(LogRecovery, A_damaged_log_stays_as_it_is) {
  begin();
  write_samples(6);
  crash();
  content_[frames_[2].begin + 50] ^= 1;
  write_file(image_ + "/" + wal_, content_);
  ASSERT_EQ(recover(image_), Outcome::kDataLoss);
  EXPECT_EQ(read_file(image_ + "/" + wal_), content_);
  ASSERT_EQ(recover(image_), Outcome::kDataLoss);
  content_[frames_[2].begin + 50] ^= 1;
  write_file(image_ + "/" + wal_, content_);
  EXPECT_EQ(recover(image_), Outcome::kWhole);
}

TEST_F(LogRecovery, A_log_whose_torn_tail_was_cut_goes_on_and_comes_back) {
  begin();
  write_samples(6);
  crash();
  write_file(image_ + "/" + wal_, content_.substr(0, frames_.back().end - 1));
  write_file(image_ + "/SYNCED", before_mark_);
  LogStore::Options options = options_;
  options.path = image_;
  LogModel model = before_;
  for (int round = 0; round < 4; ++round) {
    auto log = open_log(options);
    ASSERT_TRUE(log);
    ASSERT_TRUE(same(model_of(*log), model)) << round;
    const std::vector<Entry> entries = {make_entry(model.last().value() + 1, 5, "after the crash")};
    ASSERT_TRUE(log->write(HardState{Term(5), NodeId(2), model.last()}, entries, true).ok());
    model.write(HardState{Term(5), NodeId(2), model.last()}, entries);
    ASSERT_TRUE(same(model_of(*log), model));
  }
}

TEST_F(LogRecovery, After_a_clean_stop_the_loss_of_the_last_write_is_found_without_the_mark) {
  begin();
  write_samples(6);
  log_.reset();
  crash();
  // The last frame is the stop's own. The one before is the last write.
  const FramePlace last_write = frames_[frames_.size() - 2];
  for (size_t at = last_write.begin; at < last_write.end; ++at) {
    std::string flipped = content_;
    flipped[at] ^= 1;
    ASSERT_EQ(recover_with(flipped, Mark::kOneBefore), Outcome::kDataLoss) << at;
  }
}

TEST_F(LogRecovery, Missing_and_cut_files_are_found) {
  // Two write-ahead logs, and nothing in a table yet.
  begin(64 << 10, false);
  while (files_with(options_.path, ".log").size() < 2) {
    write(std::nullopt, {make_entry(model_.last().value() + 1, 1, std::string(5000, 'a'))});
  }
  write_samples(4);
  crash();
  ASSERT_EQ(recover_with(content_, Mark::kLast), Outcome::kWhole);
  const auto wals = files_with(image_, ".log");
  ASSERT_EQ(wals.size(), 2u);
  for (const std::string& name : {wals.front(), wals.back(), image_ + "/CURRENT", image_ + "/SYNCED"}) {
    const std::string trial = dir_ / "trial";
    copy_log(image_, trial);
    std::filesystem::remove(trial + "/" + std::filesystem::path(name).filename().string());
    EXPECT_EQ(recover(trial), Outcome::kDataLoss) << name;
  }
  // The end of a file that is not the newest: the newest proves that it was longer.
  const std::string old_wal = wals.front();
  const std::string old_content = read_file(old_wal);
  const auto old_frames = frames_of(old_content, old_wal);
  for (const size_t length : {size_t{0}, old_frames[1].end, old_frames.back().begin, old_frames.back().end - 1}) {
    for (const Mark mark : {Mark::kLast, Mark::kFirst}) {
      const std::string trial = dir_ / "trial";
      copy_log(image_, trial);
      write_file(trial + "/" + std::filesystem::path(old_wal).filename().string(), old_content.substr(0, length));
      set_mark(trial, mark);
      EXPECT_EQ(recover(trial), Outcome::kDataLoss) << length;
    }
  }
}

// What is lost with the file leaves no hole between entries: only the batches' numbers tell.
TEST_F(LogRecovery, A_missing_file_without_entries_is_found) {
  begin(64 << 10, false);
  ASSERT_TRUE(log_->put_meta("name", "value").ok());
  for (uint64_t term = 1; files_with(options_.path, ".log").size() < 2; ++term) {
    write(HardState{Term(term), NodeId(1), Index(0)}, {});
  }
  write_samples(4);
  crash();
  const auto wals = files_with(image_, ".log");
  ASSERT_EQ(wals.size(), 2u);
  std::filesystem::remove(wals.front());
  ASSERT_EQ(recover(image_), Outcome::kDataLoss);
  EXPECT_NE(text_.find("batches 1 to "), std::string::npos) << text_;
}

// Tables, manifest and the small files: the log, or DataLoss, or the disk's error; never other entries.
TEST_F(LogRecovery, Damage_in_any_other_file_never_gives_wrong_entries) {
  begin(64 << 10);
  // A flush runs beside the writes; it is over when its write-ahead logs are gone.
  do {
    const auto letter = static_cast<char>('a' + model_.last().value() % 26);
    write(std::nullopt, {make_entry(model_.last().value() + 1, 1, std::string(4000, letter))});
    ASSERT_LT(model_.last(), Index(5000)) << "no table was ever written";
  } while (files_with(options_.path, ".sst").empty() || files_with(options_.path, "wal-spare").empty());
  // The log may go over to its next file in between; the newest must hold enough to look at.
  const auto newest_frames = [this] {
    const std::filesystem::path wal(newest_wal(options_.path));
    return frames_of(read_file(wal.string()), wal.filename().string()).size();
  };
  do write_samples(4);
  while (newest_frames() < 4);
  crash();
  ASSERT_EQ(recover(image_), Outcome::kWhole);
  copy_log(options_.path, image_);
  for (const std::string& table : files_with(image_, ".sst")) {
    const std::string trial = dir_ / "trial";
    copy_log(image_, trial);
    std::filesystem::remove(trial + "/" + std::filesystem::path(table).filename().string());
    EXPECT_EQ(recover(trial), Outcome::kDataLoss) << table;
  }
  size_t refused = 0;
  for (const auto& file : std::filesystem::directory_iterator(image_)) {
    const std::string name = file.path().filename().string();
    if (name.ends_with(".log") || name.starts_with("wal-spare") || name.ends_with("lock") || name == "LOCK") continue;
    const std::string content = read_file(file.path().string());
    const size_t step = std::max<size_t>(1, content.size() / 60);
    for (size_t at = 0; at < content.size(); at += step) {
      const std::string trial = dir_ / "trial";
      copy_log(image_, trial);
      std::string flipped = content;
      flipped[at] ^= 0x10;
      write_file(trial + "/" + name, flipped);
      LogStore::Options options = options_;
      options.path = trial;
      auto opened = LogStore::open(options);
      if (!opened.ok()) {
        ++refused;
        continue;
      }
      ASSERT_TRUE(same(model_of(**opened), model_)) << name << " " << at;
    }
  }
  EXPECT_GT(refused, 20u);
}

TEST_F(LogRecovery, Both_slots_of_the_mark_damaged_is_data_loss_and_one_is_not) {
  begin();
  write_samples(4);
  crash();
  const std::string mark = read_file(image_ + "/SYNCED");
  for (const auto& [first, second] : {std::pair{true, false}, std::pair{false, true}, std::pair{true, true}}) {
    const std::string trial = dir_ / "trial";
    copy_log(image_, trial);
    std::string damaged = mark;
    if (first) damaged[8] ^= 1;
    if (second) damaged[4096 + 8] ^= 1;
    write_file(trial + "/SYNCED", damaged);
    EXPECT_EQ(recover(trial), first && second ? Outcome::kDataLoss : Outcome::kWhole);
  }
}

}  // namespace
}  // namespace kv::raft
