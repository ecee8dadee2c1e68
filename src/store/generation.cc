#include "store/generation.h"

#include "base/files.h"
#include "base/log.h"
#include "base/thread.h"

namespace kv::store {

Generation::Generation(const StoreOptions& options, const std::string& where, std::unique_ptr<Database> opened,
                       const StateInfo& found)
    : path(where),
      info(found),
      database(std::move(opened)),
      recent(info.revision, options.recent_bytes),
      counts(info.revision, {options.keys_per_block, 256}),
      cache(options.head_cache_bytes),
      housekeeper({*database, guard, counts, recent, published, options.changes_per_checkpoint,
                   options.changes_per_compaction_step}) {
  context.database = database.get();
  context.recent = &recent;
  context.counts = &counts;
  context.cache = &cache;
  context.leases = &leases;
  context.compacted = &published.compacted;
  context.revision = info.revision;
  context.compact_revision = info.compact_revision;
  published.compact_revision.store(info.compact_revision, std::memory_order_release);
  published.revision.store(info.revision, std::memory_order_release);
}

Status Generation::start() {
  KV_RETURN_IF_ERROR(leases.load(*database));
  return housekeeper.start(info.revision, info.compact_revision);
}

GenerationReaper::~GenerationReaper() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

std::shared_ptr<Generation> GenerationReaper::own(std::unique_ptr<Generation> generation) {
  return {generation.release(), [this](Generation* last) {
            std::unique_ptr<Generation> owned(last);
            if (owned->replaced) take(std::move(owned));
          }};
}

void GenerationReaper::take(std::unique_ptr<Generation> generation) {
  {
    const std::lock_guard lock(mutex_);
    dead_.push_back(std::move(generation));
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }
  changed_.notify_one();
}

void GenerationReaper::run() {
  name_this_thread("kvd-reaper");
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closing_ || !dead_.empty(); });
    if (dead_.empty()) return;
    std::vector<std::unique_ptr<Generation>> dead = std::exchange(dead_, {});
    lock.unlock();
    for (auto& generation : dead) {
      const std::string path = generation->path;
      generation.reset();
      // What can't be removed now is removed at the next start, where it is known as a state that was replaced.
      if (const Status removed = remove_durably(path); !removed.ok()) {
        log_warning("state: a replaced state is left behind", {{"path", path}, {"error", removed.to_string()}});
      }
    }
    lock.lock();
  }
}

}  // namespace kv::store
