// Logs in directories of their own, and the plain model that they must equal.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "raft/log_store.h"

namespace kv::raft {

// A directory that is gone when the test is over.
class TempDir {
 public:
  TempDir() {
    std::string made = (std::filesystem::temp_directory_path() / "kvd-raft-log-XXXXXX").string();
    if (::mkdtemp(made.data()) == nullptr) ADD_FAILURE() << "mkdtemp";
    path_ = made;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline LogStore::Options log_options(const std::string& path) {
  LogStore::Options options;
  options.path = path;
  return options;
}

inline std::unique_ptr<LogStore> open_log(const LogStore::Options& options) {
  auto opened = LogStore::open(options);
  if (opened.ok()) return std::move(*opened);
  ADD_FAILURE() << opened.status().to_string();
  return nullptr;
}

inline Entry make_entry(uint64_t index, uint64_t term, std::string data) {
  return {Index(index), Term(term), EntryType::kCommand, std::make_shared<const std::string>(std::move(data))};
}

// What a log holds.
struct LogModel {
  HardState hard_state;
  SnapshotMeta snapshot;
  std::vector<Entry> entries;  // from snapshot.index + 1

  Index last() const { return snapshot.index + entries.size(); }
  Term last_term() const { return entries.empty() ? snapshot.term : entries.back().term; }
  void write(const std::optional<HardState>& state, const std::vector<Entry>& added) {
    if (state) hard_state = *state;
    if (added.empty()) return;
    entries.resize(added.front().index - snapshot.index - 1);
    entries.insert(entries.end(), added.begin(), added.end());
  }
  void truncate(const SnapshotMeta& meta) {
    if (meta.index <= snapshot.index) return;
    const bool keeps = meta.index <= last() && entries[meta.index - snapshot.index - 1].term == meta.term;
    if (keeps) {
      entries.erase(entries.begin(), entries.begin() + static_cast<ptrdiff_t>(meta.index - snapshot.index));
    } else {
      entries.clear();
    }
    snapshot = meta;
  }
  bool operator==(const LogModel&) const = default;
};

inline LogModel model_of(const LogStore& log) {
  LogModel model;
  model.hard_state = log.hard_state();
  model.snapshot = log.snapshot();
  EXPECT_EQ(log.first_index(), model.snapshot.index + 1);
  if (log.last_index() >= log.first_index()) {
    model.entries = log.entries(log.first_index(), log.last_index() + 1, SIZE_MAX);
  }
  EXPECT_EQ(model.last(), log.last_index());
  EXPECT_EQ(log.term(model.snapshot.index), model.snapshot.term);
  for (const Entry& entry : model.entries) EXPECT_EQ(log.term(entry.index), entry.term);
  EXPECT_EQ(log.term(log.last_index() + 1), std::nullopt);
  if (model.snapshot.index) {
    EXPECT_EQ(log.term(model.snapshot.index - 1), std::nullopt);
  }
  return model;
}

inline ::testing::AssertionResult same(const LogModel& got, const LogModel& want) {
  if (got == want) return ::testing::AssertionSuccess();
  auto result = ::testing::AssertionFailure();
  result << "got entries " << got.snapshot.index + 1 << ".." << got.last() << " term " << got.hard_state.term
         << " commit " << got.hard_state.commit << ", want " << want.snapshot.index + 1 << ".." << want.last()
         << " term " << want.hard_state.term << " commit " << want.hard_state.commit;
  for (size_t i = 0; i < std::min(got.entries.size(), want.entries.size()); ++i) {
    if (!(got.entries[i] == want.entries[i])) {
      result << "; entry " << want.entries[i].index << " differs";
      break;
    }
  }
  return result;
}

// One random step for a log and its model.
struct LogStep {
  std::optional<HardState> hard_state;
  std::vector<Entry> entries;
  bool sync = true;
  std::optional<SnapshotMeta> truncate;
};

inline LogStep random_step(Random& random, const LogModel& model, size_t max_payload) {
  LogStep step;
  const uint64_t dice = random.below(20);
  if (dice == 0 && model.last() > model.snapshot.index) {
    // Behind a flush of the state: some way into the log.
    const Index at = model.snapshot.index + 1 + random.below(model.entries.size());
    step.truncate = SnapshotMeta{at, model.entries[at - model.snapshot.index - 1].term, {{NodeId(1)}, {}, {}, {}}};
    return step;
  }
  if (dice == 1 && random.one_in(4)) {
    // From a leader: behind our end.
    step.truncate = SnapshotMeta{model.last() + 1 + random.below(10), model.last_term() + 1, {{NodeId(1), NodeId(2)}}};
    return step;
  }
  HardState state = model.hard_state;
  state.term = std::max(state.term, model.last_term());
  if (random.one_in(6)) {
    state.term = state.term + 1;
    state.vote = NodeId(random.below(4));
  }
  if (dice < 4) {  // only the commit index, unsynced
    state = model.hard_state;
    state.commit = model.last();
    step.hard_state = state;
    step.sync = false;
    return step;
  }
  Index from = model.last() + 1;
  if (random.one_in(10) && !model.entries.empty()) {
    from = from - (1 + random.below(std::min<uint64_t>(model.entries.size(), 6)));
    state.term = state.term + 1;  // what replaces an entry is of a later term
  }
  step.hard_state = state;
  for (uint64_t n = random.below(8); n > 0; --n, ++from) {
    std::string data(random.below(max_payload), '\0');
    for (char& c : data) c = static_cast<char>(random.next());
    step.entries.push_back(make_entry(from.value(), state.term.value(), std::move(data)));
  }
  return step;
}

inline void apply(const LogStep& step, LogModel& model) {
  if (step.truncate) return model.truncate(*step.truncate);
  model.write(step.hard_state, step.entries);
}
inline Status apply(const LogStep& step, LogStore& log) {
  if (step.truncate) return log.truncate_prefix(*step.truncate);
  return log.write(step.hard_state, step.entries, step.sync);
}

// ---- files -------------------------------------------------------------------------------------------------

inline std::string read_file(const std::string& name) {
  std::ifstream in(name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}
inline void write_file(const std::string& name, const std::string& content) {
  std::ofstream(name, std::ios::binary | std::ios::trunc) << content;
}
// Names and sizes of a directory's files, but for RocksDB's own chatter.
inline std::vector<std::pair<std::string, uint64_t>> listing(const std::string& directory) {
  std::vector<std::pair<std::string, uint64_t>> files;
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    const std::string name = file.path().filename().string();
    std::error_code gone;
    if (!name.starts_with("LOG")) files.emplace_back(name, std::filesystem::file_size(file.path(), gone));
  }
  std::sort(files.begin(), files.end());
  return files;
}
// What a crash of the process leaves: every file as it is now. A flush may run beside the copy; then it is made again.
inline void copy_log(const std::string& from, const std::string& to) {
  bool whole = false;
  while (!whole) {
    std::filesystem::remove_all(to);
    std::filesystem::create_directory(to);
    std::filesystem::permissions(to, std::filesystem::perms::owner_all);
    const auto files = listing(from);
    whole = true;
    for (const auto& [name, size] : files) {
      std::error_code error;
      std::filesystem::copy_file(from + "/" + name, to + "/" + name, error);
      whole = whole && !error;
    }
    whole = whole && listing(from) == files;
  }
}
inline std::vector<std::string> files_with(const std::string& directory, const std::string& part) {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    if (file.path().filename().string().find(part) != std::string::npos) names.push_back(file.path().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}
inline std::string newest_wal(const std::string& directory) {
  const auto names = files_with(directory, ".log");
  return names.empty() ? std::string() : names.back();
}

// The frames of a WAL, as docs/formats.md has them; an independent reading of the format.
struct FramePlace {
  size_t begin = 0;
  size_t end = 0;     // of the body; padding follows
  size_t padded = 0;  // where the next begins
};
inline std::vector<FramePlace> frames_of(const std::string& content, const std::string& wal_name) {
  const uint64_t wal = std::stoull(std::filesystem::path(wal_name).stem().string());
  std::vector<FramePlace> frames;
  size_t at = 0;
  uint64_t salt = 0;
  while (at + 40 <= content.size()) {
    uint32_t magic, length;
    uint64_t number, in_salt, in_number;
    std::memcpy(&magic, content.data() + at, 4);
    std::memcpy(&length, content.data() + at + 4, 4);
    std::memcpy(&number, content.data() + at + 8, 8);
    std::memcpy(&in_salt, content.data() + at + 16, 8);
    std::memcpy(&in_number, content.data() + at + 24, 8);
    if (frames.empty()) salt = in_salt;
    if (magic != 0x4c46766b || number != wal || in_salt != salt || in_number != frames.size()) break;
    FramePlace frame{at, at + 40 + length, 0};
    frame.padded = (frame.end + 7) / 8 * 8;
    frames.push_back(frame);
    at = frame.padded;
  }
  return frames;
}

}  // namespace kv::raft
