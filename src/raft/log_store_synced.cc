#include "raft/log_store_synced.h"

#include <cstring>
#include <optional>
#include <string_view>

#include "base/check.h"
#include "base/checksum.h"
#include "raft/log_store_check.h"

namespace kv::raft {
namespace {

constexpr uint32_t kMagic = 0x4e59766b;  // "kvYN"
constexpr uint32_t kVersion = 1;
constexpr uint64_t kSlotDistance = 4096;

// Little end first; 32 bytes.
struct Slot {
  uint32_t magic = kMagic;
  uint32_t version = kVersion;
  uint64_t batch = 0;
  uint64_t last_index = 0;
  uint64_t checksum = 0;
};
static_assert(sizeof(Slot) == 32);

uint64_t slot_checksum(const Slot& slot) {
  return checksum({reinterpret_cast<const char*>(&slot), offsetof(Slot, checksum)}, kMagic);
}

}  // namespace

Result<std::unique_ptr<SyncedMark>> SyncedMark::open(const std::shared_ptr<rocksdb::FileSystem>& files,
                                                     const std::string& directory, bool create) {
  const std::string name = directory + "/SYNCED";
  const rocksdb::FileOptions options;
  const rocksdb::IOOptions io;
  if (!files->FileExists(name, io, nullptr).ok()) {
    if (!create) return Status(Code::kNotFound, name + " does not exist");
    // Made under another name first: a crash leaves a whole file or none.
    Slot empty;
    empty.checksum = slot_checksum(empty);
    std::string content(kSlotDistance + sizeof empty, '\0');
    std::memcpy(content.data(), &empty, sizeof empty);
    std::memcpy(content.data() + kSlotDistance, &empty, sizeof empty);
    rocksdb::IOStatus s = rocksdb::WriteStringToFile(files.get(), content, name + ".new", /*should_sync=*/true);
    if (s.ok()) s = files->RenameFile(name + ".new", name, io, nullptr);
    std::unique_ptr<rocksdb::FSDirectory> dir;
    if (s.ok()) s = files->NewDirectory(directory, io, &dir, nullptr);
    if (s.ok()) s = dir->Fsync(io, nullptr);
    if (!s.ok()) return log_status(directory, s);
  }
  std::unique_ptr<rocksdb::FSRandomRWFile> file;
  if (rocksdb::IOStatus s = files->NewRandomRWFile(name, options, &file, nullptr); !s.ok())
    return log_status(directory, s);
  std::unique_ptr<SyncedMark> mark(new SyncedMark(directory, std::move(file)));
  std::optional<Value> best;
  for (uint64_t i = 0; i < 2; ++i) {
    Slot slot;
    rocksdb::Slice read;
    char scratch[sizeof slot];
    if (rocksdb::IOStatus s = mark->file_->Read(i * kSlotDistance, sizeof slot, io, &read, scratch, nullptr); !s.ok()) {
      return log_status(directory, s);
    }
    if (read.size() != sizeof slot) continue;
    std::memcpy(&slot, read.data(), sizeof slot);
    if (slot.magic != kMagic || slot.version != kVersion || slot.checksum != slot_checksum(slot)) continue;
    if (!best || slot.batch > best->batch) best = Value{slot.batch, Index(slot.last_index)};
  }
  if (!best) return Status(Code::kDataLoss, "the file SYNCED is damaged");
  mark->value_ = *best;
  return mark;
}

Status SyncedMark::advance(const Value& value) {
  KV_CHECK(value.batch >= value_.batch, "the synced mark goes forward only");
  Slot slot;
  slot.batch = value.batch;
  slot.last_index = value.last_index.value();
  slot.checksum = slot_checksum(slot);
  const rocksdb::Slice bytes(reinterpret_cast<const char*>(&slot), sizeof slot);
  const uint64_t at = value.batch % 2 * kSlotDistance;
  if (rocksdb::IOStatus s = file_->Write(at, bytes, rocksdb::IOOptions(), nullptr); !s.ok()) {
    return log_status(directory_, s);
  }
  value_ = value;
  return {};
}

Status SyncedMark::sync() {
  if (rocksdb::IOStatus s = file_->Sync(rocksdb::IOOptions(), nullptr); !s.ok()) return log_status(directory_, s);
  return {};
}

}  // namespace kv::raft
