// A RocksDB file system that knows what a power failure may take back, and that fails on demand.
//
// Every write is in the page cache until its file is synced. image() makes a directory as it may look after the
// power failed at this moment: of a file that is written in place, each sector that was not synced holds its old or
// its new content, as chance has it; of a file that is appended to, some of what was not synced is missing from the
// end. Renames and deletions are taken to be durable at once.
#pragma once

#include <gtest/gtest.h>
#include <rocksdb/file_system.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/random.h"
#include "raft/log_fixture.h"

namespace kv::raft {

class CrashFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  CrashFileSystem() : rocksdb::FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "CrashFileSystem"; }

  enum class Call : uint8_t { kWrite, kSync };

  // Called before a write or sync of a file that is written in place takes effect (the write-ahead logs, SYNCED).
  // Returns whether it shall fail. Set while nothing runs.
  std::function<bool(Call, const std::string& name)> hook;

  void image(const std::string& directory, const std::string& to, Random& random) {
    const std::lock_guard lock(mutex_);
    copy_log(directory, to);
    for (const auto& [name, file] : files_) {
      const std::string place = to + "/" + std::filesystem::path(name).filename().string();
      if (!std::filesystem::exists(place) || file->durable == file->current) continue;
      std::string content;
      if (file->appended) {
        const size_t synced = file->durable.size();
        content = file->current.substr(0, synced + random.below(file->current.size() - synced + 1));
      } else {
        content = file->durable;
        content.resize(std::max(content.size(), file->current.size()), '\0');
        const uint64_t mode = random.below(4);  // nothing, everything, or sectors by chance
        for (size_t at = 0; at < file->current.size(); at += kSectorBytes) {
          if (mode == 0 || (mode > 1 && random.one_in(2))) continue;
          const size_t n = std::min(kSectorBytes, file->current.size() - at);
          content.replace(at, n, file->current, at, n);
        }
      }
      write_file(place, content);
    }
  }

  rocksdb::IOStatus NewRandomRWFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSRandomRWFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSRandomRWFile> opened;
    if (auto s = target()->NewRandomRWFile(name, options, &opened, debug); !s.ok()) return s;
    auto content = std::make_shared<Content>();
    content->current = content->durable = read_file(name);
    {
      const std::lock_guard lock(mutex_);
      auto& slot = files_[name];
      // A spare that was renamed keeps what it had not synced.
      if (slot && !slot->appended) {
        content = slot;
      } else {
        slot = content;
      }
    }
    *file = std::make_unique<InPlace>(*this, name, std::move(opened), content);
    return rocksdb::IOStatus::OK();
  }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSWritableFile> opened;
    if (auto s = target()->NewWritableFile(name, options, &opened, debug); !s.ok()) return s;
    if (std::filesystem::path(name).filename().string().starts_with("LOG")) {
      *file = std::move(opened);
      return rocksdb::IOStatus::OK();
    }
    auto content = std::make_shared<Content>();
    content->appended = true;
    {
      const std::lock_guard lock(mutex_);
      files_[name] = content;
    }
    *file = std::make_unique<Appended>(*this, std::move(opened), content);
    return rocksdb::IOStatus::OK();
  }

  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override {
    const std::lock_guard lock(mutex_);
    auto s = target()->RenameFile(from, to, options, debug);
    if (s.ok()) {
      files_.erase(to);
      if (auto moved = files_.extract(from)) {
        moved.key() = to;
        files_.insert(std::move(moved));
      }
    }
    return s;
  }

  rocksdb::IOStatus DeleteFile(const std::string& name, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override {
    const std::lock_guard lock(mutex_);
    files_.erase(name);
    return target()->DeleteFile(name, options, debug);
  }

 private:
  static constexpr size_t kSectorBytes = 512;

  struct Content {
    bool appended = false;
    std::string durable;
    std::string current;
  };

  class InPlace final : public rocksdb::FSRandomRWFileOwnerWrapper {
   public:
    InPlace(CrashFileSystem& fs, std::string name, std::unique_ptr<rocksdb::FSRandomRWFile> file,
            std::shared_ptr<Content> content)
        : FSRandomRWFileOwnerWrapper(std::move(file)), fs_(fs), name_(std::move(name)), content_(std::move(content)) {}
    rocksdb::IOStatus Write(uint64_t offset, const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                            rocksdb::IODebugContext* debug) override {
      if (fs_.hook && fs_.hook(Call::kWrite, name_)) return rocksdb::IOStatus::IOError("injected: write");
      {
        const std::lock_guard lock(fs_.mutex_);
        std::string& current = content_->current;
        if (current.size() < offset + data.size()) current.resize(offset + data.size());
        current.replace(offset, data.size(), data.data(), data.size());
      }
      return FSRandomRWFileOwnerWrapper::Write(offset, data, options, debug);
    }
    rocksdb::IOStatus Sync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
      if (fs_.hook && fs_.hook(Call::kSync, name_)) return rocksdb::IOStatus::IOError("injected: sync");
      const std::lock_guard lock(fs_.mutex_);
      content_->durable = content_->current;
      return rocksdb::IOStatus::OK();  // the machine's disk is not asked: power fails in here only
    }

   private:
    CrashFileSystem& fs_;
    const std::string name_;
    const std::shared_ptr<Content> content_;
  };

  class Appended final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    Appended(CrashFileSystem& fs, std::unique_ptr<rocksdb::FSWritableFile> file, std::shared_ptr<Content> content)
        : FSWritableFileOwnerWrapper(std::move(file)), fs_(fs), content_(std::move(content)) {}
    using FSWritableFileOwnerWrapper::Append;
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override {
      {
        const std::lock_guard lock(fs_.mutex_);
        content_->current.append(data.data(), data.size());
      }
      return FSWritableFileOwnerWrapper::Append(data, options, debug);
    }
    rocksdb::IOStatus Sync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override { return synced(); }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override { return synced(); }

   private:
    rocksdb::IOStatus synced() {
      const std::lock_guard lock(fs_.mutex_);
      content_->durable = content_->current;
      return rocksdb::IOStatus::OK();
    }
    CrashFileSystem& fs_;
    const std::shared_ptr<Content> content_;
  };

  std::mutex mutex_;  // guards files_ and what they hold
  std::map<std::string, std::shared_ptr<Content>> files_;
};

}  // namespace kv::raft
