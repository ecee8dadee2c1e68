// The machine's file system, without waiting for the disk: for tests that open a log thousands of times.
#pragma once

#include <rocksdb/file_system.h>

#include <memory>
#include <string>
#include <utility>

namespace kv::raft {

class NoSyncFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  NoSyncFileSystem() : rocksdb::FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "NoSyncFileSystem"; }

  rocksdb::IOStatus NewRandomRWFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSRandomRWFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSRandomRWFile> opened;
    auto s = target()->NewRandomRWFile(name, options, &opened, debug);
    if (s.ok()) *file = std::make_unique<InPlace>(std::move(opened));
    return s;
  }
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSWritableFile> opened;
    auto s = target()->NewWritableFile(name, options, &opened, debug);
    if (s.ok()) *file = std::make_unique<Appended>(std::move(opened));
    return s;
  }
  rocksdb::IOStatus NewDirectory(const std::string& name, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* directory,
                                 rocksdb::IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSDirectory> opened;
    auto s = target()->NewDirectory(name, options, &opened, debug);
    if (s.ok()) *directory = std::make_unique<Directory>(std::move(opened));
    return s;
  }

 private:
  class InPlace final : public rocksdb::FSRandomRWFileOwnerWrapper {
   public:
    using FSRandomRWFileOwnerWrapper::FSRandomRWFileOwnerWrapper;
    rocksdb::IOStatus Sync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override { return {}; }
  };
  class Appended final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    using FSWritableFileOwnerWrapper::FSWritableFileOwnerWrapper;
    rocksdb::IOStatus Sync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override { return {}; }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override { return {}; }
  };
  class Directory final : public rocksdb::FSDirectoryWrapper {
   public:
    using FSDirectoryWrapper::FSDirectoryWrapper;
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override { return {}; }
    rocksdb::IOStatus FsyncWithDirOptions(const rocksdb::IOOptions&, rocksdb::IODebugContext*,
                                          const rocksdb::DirFsyncOptions&) override {
      return {};
    }
  };
};

}  // namespace kv::raft
