#include "store/housekeeper.h"

#include <algorithm>

#include "base/log.h"
#include "base/thread.h"
#include "store/errors.h"

namespace kv::store {
namespace {

using namespace std::chrono_literals;

constexpr size_t kCheckpointBytesPerWrite = 64 << 10;
constexpr auto kPauseMax = 5ms;

// Records of a checkpoint are "c/", its number and the chunk's, both big endian.
constexpr std::string_view kChunkPrefix = "c/";
constexpr std::string_view kMetaCounts = "counts";

std::string chunk_key(uint64_t checkpoint, size_t chunk) {
  return std::string(kChunkPrefix) + history_key({static_cast<int64_t>(checkpoint), static_cast<uint32_t>(chunk)});
}

KeyRange key_range(const BlockCounts::Range& range) {
  static const std::string zero("\0", 1);
  KeyRange r;
  r.begin = range.begin.empty() ? std::string_view(zero) : std::string_view(range.begin);
  r.end = range.end;
  r.unbounded = range.end.empty();
  return r;
}

}  // namespace

Housekeeper::Housekeeper(Parts parts) : parts_(parts), compaction_(parts.database, parts.guard) {
  compaction_.limits.changes_per_window = parts.changes_per_compaction_step;
}

Status Housekeeper::start(int64_t revision, int64_t compact_revision) {
  KV_RETURN_IF_ERROR(compaction_.load());
  passed(compaction_.done().main);
  KV_RETURN_IF_ERROR(restore_counts(revision));
  // The last step of a compaction leaves no mark of its own; it is small, and doing it twice changes nothing.
  target_ = std::max<int64_t>(compact_revision, 0);
  thread_ = std::thread([this] {
    name_this_thread("kvd-housekeep");
    run();
  });
  return {};
}

std::vector<Housekeeper::Waiter> Housekeeper::stop() {
  stop_.store(true);
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock(mutex_);
  return std::exchange(waiters_, {});
}

Housekeeper::~Housekeeper() {
  if (!thread_.joinable()) return;
  const std::vector<Waiter> waiters = stop();
  if (!counts_failed_ && changes_since_checkpoint_ >= parts_.changes_per_checkpoint / 16) {
    const Status s = write_checkpoint();
    if (!s.ok()) log_error("state: checkpoint of counts", {{"error", s.to_string()}});
  }
  for (auto& [revision, done] : waiters) done({Code::kUnavailable, "etcdserver: server stopped"});
}

void Housekeeper::committed(size_t changes, bool counts_have_work) {
  changes_since_checkpoint_ += changes;
  if (!counts_have_work && !checkpoint_is_due()) return;
  if (counts_have_work) counts_have_work_.store(true);
  const std::lock_guard lock(mutex_);
  wake_.notify_all();
}

void Housekeeper::compact_to(int64_t revision) {
  const std::lock_guard lock(mutex_);
  target_ = std::max(target_, revision);
  failure_ = Status();
  wake_.notify_all();
}

bool Housekeeper::wait_compacted(int64_t revision, const std::function<void(Status)>& done) {
  Status answer;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return false;
    if (finished_ < revision) {
      // A compaction that has failed is not tried again before the next one: there is nothing to wait for.
      if (failure_.ok() || revision > target_) {
        waiters_.emplace_back(revision, done);
        return true;
      }
      answer = failure_;
    }
  }
  done(std::move(answer));
  return true;
}

bool Housekeeper::checkpoint_is_due() const {
  return changes_since_checkpoint_.load(std::memory_order_relaxed) >=
         changes_per_checkpoint_.load(std::memory_order_relaxed);
}

void Housekeeper::give_up(const char* work, const Status& status) {
  log_error("state: background work failed", {{"work", work}, {"error", status.to_string()}});
}

void Housekeeper::run() {
  std::unique_lock lock(mutex_);
  while (!stopping()) {
    const bool counts = !counts_failed_ && (counts_have_work_.load() || checkpoint_is_due());
    const bool compact = finished_ < target_ && failure_.ok();
    if (!counts && !compact) {
      wake_.wait(lock);
      continue;
    }
    const int64_t target = target_;
    lock.unlock();
    if (counts) {
      Status s = cut_blocks();
      if (s.ok() && checkpoint_is_due() && !stopping()) s = write_checkpoint();
      if (!s.ok()) {
        counts_failed_ = true;
        give_up("counts", s);
      }
    }
    if (compact) {
      // The compaction removes history that the counts would need to catch up from an older checkpoint.
      const Status s = checkpoint_revision_ < target ? write_checkpoint() : Status();
      last_write_ = std::chrono::steady_clock::now();
      compacted(target, s.ok() ? compaction_.run(target, {[this] { return pause_compaction(); },
                                                          [this](int64_t below) { passed(below); }})
                               : Result<bool>(s));
    }
    lock.lock();
  }
}

void Housekeeper::passed(int64_t below) {
  parts_.published.compacted.store(below, std::memory_order_release);
  parts_.database.drop_waypoints_below(below);
}

void Housekeeper::compacted(int64_t target, const Result<bool>& result) {
  std::vector<std::function<void(Status)>> ready;
  {
    const std::lock_guard lock(mutex_);
    if (!result.ok()) {
      // A later one, asked for meanwhile, is still tried.
      if (target == target_) failure_ = result.status();
      give_up("compaction", result.status());
    } else if (*result) {
      finished_ = target;
    }
    const auto passed = [&](const auto& w) { return w.first <= (result.ok() ? finished_ : target); };
    const auto rest = std::stable_partition(waiters_.begin(), waiters_.end(), std::not_fn(passed));
    for (auto it = rest; it != waiters_.end(); ++it) ready.push_back(std::move(it->second));
    waiters_.erase(rest, waiters_.end());
  }
  for (auto& done : ready) done(result.status());
}

bool Housekeeper::pause_compaction() {
  if (!counts_failed_ && counts_have_work_.load()) {
    const Status s = cut_blocks();
    counts_failed_ = !s.ok();
    if (!s.ok()) give_up("counts", s);
  }
  // Half of the time at most: what is on its way to the client goes first.
  const auto worked = std::chrono::steady_clock::now() - last_write_;
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, std::min<std::chrono::steady_clock::duration>(worked, kPauseMax), [this] { return stopping(); });
  last_write_ = std::chrono::steady_clock::now();
  return !stopping();
}

// ---- counts ----

Status Housekeeper::cut_blocks() {
  counts_have_work_.store(false);
  parts_.counts.merge_undersized();
  while (const std::optional<BlockCounts::Range> range = parts_.counts.take_oversized()) {
    if (stopping()) return {};
    std::vector<BlockCounts::Block> pieces = {{range->begin, 0}};
    int64_t revision;
    {
      CommittedView view(parts_.database, parts_.recent, parts_.counts, parts_.published, true);
      revision = view.current();
      KV_RETURN_IF_ERROR(view.scan(key_range(*range), revision, false, [&](std::string_view key, const Record&) {
        if (pieces.back().keys >= parts_.counts.keys_per_block()) pieces.push_back({std::string(key), 0});
        ++pieces.back().keys;
        return !stopping();
      }));
      if (stopping()) return {};
    }
    if (pieces.size() > 1 && pieces.back().keys < parts_.counts.merge_below()) {
      const int64_t keys = pieces.back().keys;
      pieces.pop_back();
      pieces.back().keys += keys;
    }
    // What has changed since the scan. The compaction runs on this thread, so history has it all.
    const auto difference = [&](int64_t from, int64_t to, std::vector<BlockCounts::Block>* out) {
      return scan_history(
          parts_.database, &parts_.recent, nullptr, from, to, [&](const Change& change, std::string_view) {
            const int delta = count_delta(change.record);
            if (delta != 0 && range->contains(change.key)) {
              const auto piece = std::prev(
                  std::upper_bound(out->begin() + 1, out->end(), change.key,
                                   [](std::string_view k, const BlockCounts::Block& b) { return k < b.begin; }));
              piece->keys += delta;
            }
            return true;
          });
    };
    // Most of it before the lock is taken.
    const int64_t now = parts_.counts.revision();
    KV_RETURN_IF_ERROR(difference(revision, now, &pieces));
    KV_RETURN_IF_ERROR(parts_.counts.split(range->begin, std::move(pieces), now, difference));
  }
  return {};
}

Status Housekeeper::write_checkpoint() {
  const uint64_t changes = changes_since_checkpoint_.load();
  int64_t revision;
  const BlockCounts::Chunks chunks = parts_.counts.checkpoint(&revision);
  const uint64_t number = checkpoint_ + 1;
  rocksdb::WriteBatch batch;
  size_t blocks = 0;
  for (size_t i = 0; i < chunks.size(); ++i) {
    blocks += chunks[i]->blocks.size();
    batch.Put(parts_.database.meta(), chunk_key(number, i), encode_chunk(*chunks[i]));
    if (batch.GetDataSize() >= kCheckpointBytesPerWrite) {
      KV_RETURN_IF_ERROR(parts_.database.write(&batch, true));
      batch.Clear();
    }
  }
  std::string mark = encode_int64(static_cast<int64_t>(number));
  mark += encode_int64(revision);
  batch.Put(parts_.database.meta(), slice(kMetaCounts), mark);
  for (size_t i = 0; i < checkpoint_chunks_; ++i) {
    batch.Delete(parts_.database.meta(), chunk_key(checkpoint_, i));
  }
  KV_RETURN_IF_ERROR(parts_.database.write(&batch, true));
  checkpoint_ = number;
  checkpoint_chunks_ = chunks.size();
  checkpoint_revision_ = revision;
  changes_since_checkpoint_ -= changes;
  // So that writing checkpoints costs a fraction of what is counted, however many blocks there are.
  changes_per_checkpoint_ = std::max<uint64_t>(parts_.changes_per_checkpoint, 4 * blocks);
  return {};
}

Status Housekeeper::restore_counts(int64_t revision) {
  const Database& database = parts_.database;
  std::string mark;
  const Result<bool> found = database.get_meta(kMetaCounts, &mark);
  if (!found.ok()) return found.status();
  int64_t number = 0;
  const Status damaged{Code::kDataLoss, "state: the checkpoint of counts in meta is damaged"};
  if (*found && (mark.size() != 16 || !decode_int64(std::string_view(mark).substr(0, 8), &number) ||
                 !decode_int64(std::string_view(mark).substr(8), &checkpoint_revision_) ||
                 checkpoint_revision_ > revision || checkpoint_revision_ < compaction_.done().main)) {
    return damaged;
  }
  checkpoint_ = static_cast<uint64_t>(number);
  std::vector<BlockCounts::Block> blocks;
  {
    const std::string current = std::string(chunk_key(checkpoint_, 0), 0, kChunkPrefix.size() + 8);
    rocksdb::WriteBatch leftovers;
    const std::unique_ptr<rocksdb::Iterator> it(database->NewIterator(rocksdb::ReadOptions(), database.meta()));
    for (it->Seek(slice(kChunkPrefix)); it->Valid() && it->key().starts_with(slice(kChunkPrefix)); it->Next()) {
      if (!it->key().starts_with(current)) {
        leftovers.Delete(database.meta(), it->key());
      } else if (!decode_chunk(view(it->value()), &blocks)) {
        return damaged;
      } else {
        ++checkpoint_chunks_;
      }
    }
    KV_RETURN_IF_ERROR(from_rocksdb(it->status(), "state: reading meta"));
    if (leftovers.Count() > 0) KV_RETURN_IF_ERROR(database.write(&leftovers));
  }
  if (*found) {
    if (blocks.empty() || !blocks.front().begin.empty()) return damaged;
    parts_.counts.restore(std::move(blocks));
  } else if (compaction_.done().main > 0) {
    return damaged;  // a compaction writes one before it begins
  }

  // Without a checkpoint history is whole, from the first change on.
  uint64_t replayed = 0;
  BlockCounts::Update update(parts_.counts);
  KV_RETURN_IF_ERROR(scan_history(database, nullptr, nullptr, checkpoint_revision_, revision,
                                  [&](const Change& change, std::string_view) {
                                    ++replayed;
                                    const int delta = count_delta(change.record);
                                    if (delta != 0) update.add(change.key, delta);
                                    return true;
                                  }));
  counts_have_work_ = update.finish(revision);
  changes_since_checkpoint_ = replayed;
  changes_per_checkpoint_ = parts_.changes_per_checkpoint;
  return {};
}

}  // namespace kv::store
