#include "raft/log_store_wal.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/checksum.h"
#include "base/metrics.h"
#include "base/thread.h"

namespace kv::raft {
namespace {

using rocksdb::FileOptions;
using rocksdb::FSRandomAccessFile;
using rocksdb::FSRandomRWFile;
using rocksdb::FSSequentialFile;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr uint32_t kFrameMagic = 0x4c46766b;  // "kvFL"
constexpr size_t kFrameAlignment = 8;
// Frames up to this size are written by one call, header and body together; longer ones as they come.
constexpr size_t kCopyBytes = 64 << 10;
constexpr size_t kMaxFrameBytes = size_t{1} << 30;
constexpr size_t kWindowBytes = 256 << 10;  // of one read
constexpr size_t kMaxSpares = 2;
constexpr size_t kMaxSpareBytes = size_t{512} << 20;
constexpr std::string_view kSparePrefix = "wal-spare-";
constexpr std::string_view kUnfinishedSuffix = ".new";
// A log that has written less than this is none that needs prepared files.
constexpr uint64_t kFirstAskBytes = 1 << 20;
constexpr size_t kZeroBytes = 1 << 20;         // written at once when a file is prepared
constexpr size_t kZeroBytesPerSync = 4 << 20;  // and synced: a larger sync would hold up the log's own

// 0 magic u32, 4 length u32, 8 WAL number u64, 16 salt u64, 24 frame number u64, 32 checksum u64; little end first.
struct FrameHeader {
  uint32_t magic = kFrameMagic;
  uint32_t length = 0;
  uint64_t wal = 0;
  uint64_t salt = 0;
  uint64_t number = 0;
  uint64_t checksum = 0;
};
static_assert(sizeof(FrameHeader) == 40 && std::is_trivially_copyable_v<FrameHeader>);
static_assert(std::endian::native == std::endian::little, "the header is written as it lies in memory");

uint64_t frame_checksum(const FrameHeader& header, uint64_t body_checksum) {
  return checksum({reinterpret_cast<const char*>(&header), offsetof(FrameHeader, checksum)}, body_checksum);
}

// One sync of a frame of so many bytes, under etcd's names. (etcd counts the bytes in a gauge.)
void observe_sync(double seconds, size_t bytes) {
  static Histogram& syncs = Metrics::global().histogram("etcd_disk_wal_fsync_duration_seconds",
                                                        "The latency distributions of fsync called by WAL.",
                                                        Histogram::exponential(0.001, 2, 14));
  static Counter written;
  static const auto shown =
      Metrics::global().gauge_callback("etcd_disk_wal_write_bytes_total", "Total number of bytes written in WAL.",
                                       [] { return static_cast<double>(written.value()); });
  syncs.observe(seconds);
  written.add(bytes);
}

constexpr uint64_t aligned(uint64_t n) { return (n + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment; }

// The number of the write-ahead log of that name ("…/000012.log"); nullopt for any other file.
std::optional<uint64_t> wal_number(const std::string& name) {
  constexpr std::string_view kSuffix = ".log";
  const size_t slash = name.rfind('/');
  std::string_view base = std::string_view(name).substr(slash == std::string::npos ? 0 : slash + 1);
  if (!base.ends_with(kSuffix)) return std::nullopt;
  base.remove_suffix(kSuffix.size());
  if (base.empty() || base.size() > 19) return std::nullopt;
  uint64_t number = 0;
  for (const char c : base) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return number;
}

// ---- writing -----------------------------------------------------------------------------------------------

class WalWritableFile final : public FSWritableFile {
 public:
  // Asks for a spare when the file has grown to `ask_at`.
  WalWritableFile(std::unique_ptr<FSRandomRWFile> file, uint64_t wal, WalFileSystem& files, uint64_t ask_at)
      : file_(std::move(file)), files_(files), ask_at_(ask_at) {
    header_.wal = wal;
    // Frames of the file's earlier lives have other salts, and nobody who sends data can guess this one, so that no
    // value inside a frame can look like a frame.
    KV_CHECK(getrandom(&header_.salt, sizeof header_.salt, 0) == sizeof header_.salt, "no random bytes");
    start_frame();
  }
  ~WalWritableFile() override { file_->Close(IOOptions(), nullptr).PermitUncheckedError(); }

  using FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    if (!failed_.ok()) return failed_;
    if (length_ + data.size() > kMaxFrameBytes) return fail(IOStatus::IOError("too much was written without a sync"));
    XXH3_64bits_update(&body_state_, data.data(), data.size());
    const uint64_t body_at = offset_ + sizeof(FrameHeader) + length_;
    length_ += data.size();
    if (written_ == 0 && buffer_.size() + data.size() <= sizeof(FrameHeader) + kCopyBytes) {
      buffer_.append(data.data(), data.size());
      return IOStatus::OK();
    }
    // A long frame: its body goes out as it comes, its header when it is complete.
    if (written_ == 0) {
      const Slice begun(buffer_.data() + sizeof(FrameHeader), buffer_.size() - sizeof(FrameHeader));
      if (IOStatus s = file_->Write(offset_ + sizeof(FrameHeader), begun, options, debug); !s.ok()) return fail(s);
      written_ = begun.size();
      buffer_.resize(sizeof(FrameHeader));
    }
    if (IOStatus s = file_->Write(body_at, data, options, debug); !s.ok()) return fail(s);
    written_ += data.size();
    return IOStatus::OK();
  }

  // What is not synced is not promised to outlive even the process.
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return failed_; }

  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    if (!failed_.ok()) return failed_;
    if (length_ == 0) return IOStatus::OK();
    header_.length = static_cast<uint32_t>(length_);
    header_.checksum = frame_checksum(header_, XXH3_64bits_digest(&body_state_));
    std::memcpy(buffer_.data(), &header_, sizeof header_);
    if (IOStatus s = file_->Write(offset_, buffer_, options, debug); !s.ok()) return fail(s);
    const auto begin = std::chrono::steady_clock::now();
    if (IOStatus s = file_->Sync(options, debug); !s.ok()) return fail(s);
    observe_sync(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), length_);
    offset_ = aligned(offset_ + sizeof(FrameHeader) + length_);
    ++header_.number;
    start_frame();
    if (offset_ >= ask_at_) {
      ask_at_ = UINT64_MAX;
      files_.want_spare();
    }
    return IOStatus::OK();
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override { return Sync(options, debug); }

  // What was not synced is forgotten. The file keeps its length: its blocks are what makes it worth keeping.
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override { return file_->Close(options, debug); }
  IOStatus Truncate(uint64_t, const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return offset_ + length_; }
  void PrepareWrite(size_t, size_t, const IOOptions&, IODebugContext*) override {}
  IOStatus Allocate(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  void start_frame() {
    buffer_.resize(sizeof(FrameHeader));
    length_ = written_ = 0;
    body_state_.seed = 0;
    XXH3_64bits_reset(&body_state_);
  }
  // After a failed write or sync nobody knows what the disk holds; nothing more is written (fsyncgate).
  IOStatus fail(const IOStatus& status) {
    failed_ = status;
    return status;
  }

  std::unique_ptr<FSRandomRWFile> file_;
  WalFileSystem& files_;
  uint64_t ask_at_;
  uint64_t offset_ = 0;  // where the present frame begins
  size_t length_ = 0;    // of its body so far
  size_t written_ = 0;   // bytes of its body that went out before its header; 0: all are in the buffer
  FrameHeader header_;
  std::string buffer_;  // room for the header, then the body if it is short
  XXH3_state_t body_state_;
  IOStatus failed_;
};

// ---- reading -----------------------------------------------------------------------------------------------

// Reads the frames of one file in order and judges what stands behind the last good one.
class WalReader {
 public:
  WalReader(std::unique_ptr<FSRandomAccessFile> file, std::string name, uint64_t wal)
      : file_(std::move(file)), name_(std::move(name)), wal_(wal) {}

  bool found_torn_tail() const { return torn_; }
  const std::string& name() const { return name_; }

  // The next frame's body; an empty one at the end. Corruption: there is a good frame behind a bad one.
  IOStatus next(std::string& body) {
    body.clear();
    if (ended_) return IOStatus::OK();
    FrameHeader header;
    bool good = false;
    if (IOStatus s = read_frame(offset_, header, body, good); !s.ok()) return s;
    if (good && header.number == number_ && (number_ == 0 || header.salt == salt_)) {
      salt_ = header.salt;
      ++number_;
      offset_ = aligned(offset_ + sizeof header + header.length);
      return IOStatus::OK();
    }
    body.clear();
    ended_ = true;
    torn_ = is_ours(header);
    return judge_rest();
  }

 private:
  // Whether that header is of this life of the file.
  bool is_ours(const FrameHeader& header) const {
    return header.magic == kFrameMagic && header.wal == wal_ && (number_ == 0 || header.salt == salt_);
  }

  // Up to n bytes; fewer only at the end of the file.
  IOStatus read_at(uint64_t at, size_t n, std::string& out) {
    if (at < window_at_ || at + n > window_at_ + window_.size()) {
      window_.resize(std::max(n, kWindowBytes));
      window_at_ = at;
      Slice result;
      if (IOStatus s = file_->Read(at, window_.size(), IOOptions(), &result, window_.data(), nullptr); !s.ok()) {
        window_.clear();
        return s;
      }
      if (result.data() != window_.data()) std::memcpy(window_.data(), result.data(), result.size());
      window_.resize(result.size());
    }
    out.assign(window_, at - window_at_, n);
    return IOStatus::OK();
  }

  // `good` when a whole frame of this file, with whatever number, begins at `at`.
  IOStatus read_frame(uint64_t at, FrameHeader& header, std::string& body, bool& good) {
    good = false;
    header = FrameHeader{};
    header.magic = 0;
    std::string bytes;
    if (IOStatus s = read_at(at, sizeof header, bytes); !s.ok()) return s;
    if (bytes.size() < sizeof header) return IOStatus::OK();
    std::memcpy(&header, bytes.data(), sizeof header);
    if (!is_ours(header) || header.length == 0 || header.length > kMaxFrameBytes) return IOStatus::OK();
    if (IOStatus s = read_at(at + sizeof header, header.length, body); !s.ok()) return s;
    good = body.size() == header.length && header.checksum == frame_checksum(header, checksum(body));
    return IOStatus::OK();
  }

  // A good frame of this life of the file anywhere behind the first bad one was synced after it: then the bad one
  // had been synced too, and is damaged.
  IOStatus judge_rest() {
    std::string part, body;
    for (uint64_t at = offset_ + kFrameAlignment;; at += kWindowBytes) {
      if (IOStatus s = read_at(at, kWindowBytes, part); !s.ok()) return s;
      for (size_t i = 0; i + sizeof kFrameMagic <= part.size(); i += kFrameAlignment) {
        uint32_t magic;
        std::memcpy(&magic, part.data() + i, sizeof magic);
        if (magic != kFrameMagic) continue;
        FrameHeader header;
        bool good = false;
        if (IOStatus s = read_frame(at + i, header, body, good); !s.ok()) return s;
        if (good) {
          return IOStatus::Corruption(name_ + ": frame " + std::to_string(number_) + " at byte " +
                                      std::to_string(offset_) + " is damaged, frame " + std::to_string(header.number) +
                                      " behind it is whole");
        }
      }
      if (part.size() < kWindowBytes) return IOStatus::OK();
    }
  }

  std::unique_ptr<FSRandomAccessFile> file_;
  const std::string name_;
  const uint64_t wal_;
  uint64_t offset_ = 0;
  uint64_t number_ = 0;  // of the frame that is expected next
  uint64_t salt_ = 0;    // known once frame 0 is read
  bool ended_ = false;
  bool torn_ = false;
  std::string window_;  // what the file holds at window_at_
  uint64_t window_at_ = 0;
};

// The frames' bodies, one behind the other: what RocksDB wrote and synced.
class WalSequentialFile final : public FSSequentialFile {
 public:
  WalSequentialFile(WalReader reader, WalFileSystem& files) : reader_(std::move(reader)), files_(files) {}

  IOStatus Read(size_t n, const IOOptions&, Slice* result, char* scratch, IODebugContext*) override {
    size_t have = 0;
    while (have < n && !ended_) {
      if (at_ == body_.size()) {
        at_ = 0;
        if (IOStatus s = reader_.next(body_); !s.ok()) return s;
        if (body_.empty()) {
          ended_ = true;
          if (reader_.found_torn_tail()) files_.note_torn(reader_.name());
        }
      }
      const size_t step = std::min(n - have, body_.size() - at_);
      std::memcpy(scratch + have, body_.data() + at_, step);
      have += step;
      at_ += step;
    }
    *result = Slice(scratch, have);
    return IOStatus::OK();
  }

  IOStatus Skip(uint64_t n) override {
    std::string scratch(std::min<uint64_t>(n, 1 << 16), '\0');
    while (n > 0) {
      Slice read;
      if (IOStatus s = Read(std::min<uint64_t>(n, scratch.size()), IOOptions(), &read, scratch.data(), nullptr);
          !s.ok()) {
        return s;
      }
      if (read.empty()) break;
      n -= read.size();
    }
    return IOStatus::OK();
  }

 private:
  WalReader reader_;
  WalFileSystem& files_;
  std::string body_;
  size_t at_ = 0;
  bool ended_ = false;
};

}  // namespace

// ---- the file system ---------------------------------------------------------------------------------------

WalFileSystem::WalFileSystem(std::shared_ptr<rocksdb::FileSystem> base, std::string directory, size_t prepared_bytes)
    : rocksdb::FileSystemWrapper(base), directory_(std::move(directory)), prepared_bytes_(prepared_bytes) {
  std::vector<std::string> names;
  base->GetChildren(directory_, IOOptions(), &names, nullptr).PermitUncheckedError();
  for (const std::string& name : names) {
    if (!name.starts_with(kSparePrefix)) continue;
    if (name.ends_with(kUnfinishedSuffix)) {
      base->DeleteFile(directory_ + "/" + name, IOOptions(), nullptr).PermitUncheckedError();
    } else {
      spares_.push_back(directory_ + "/" + name);
    }
  }
}

WalFileSystem::~WalFileSystem() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (preparer_.joinable()) preparer_.join();
}

// ---- preparing files ----

bool WalFileSystem::take_switch_hint() {
  return switch_hint_.load(std::memory_order_relaxed) && switch_hint_.exchange(false);
}

void WalFileSystem::want_spare() {
  const std::lock_guard lock(mutex_);
  if (prepared_bytes_ == 0 || stopping_) return;
  wanted_ = true;
  if (!preparer_.joinable()) preparer_ = std::thread([this] { prepare_spares(); });
  changed_.notify_all();
}

std::string WalFileSystem::new_spare_name() const {
  for (size_t i = 0;; ++i) {
    std::string name = directory_ + "/" + std::string(kSparePrefix) + std::to_string(i);
    if (std::find(spares_.begin(), spares_.end(), name) == spares_.end()) return name;
  }
}

void WalFileSystem::prepare_spares() {
  name_this_thread("kvd-log-prepare");
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || wanted_; });
    if (stopping_) return;
    wanted_ = false;
    if (!spares_.empty()) continue;
    const std::string unfinished = directory_ + "/" + std::string(kSparePrefix) + std::string(kUnfinishedSuffix);
    lock.unlock();
    const IOStatus written = write_zeros(unfinished);
    lock.lock();
    const std::string name = new_spare_name();
    if (written.ok() && target()->RenameFile(unfinished, name, IOOptions(), nullptr).ok()) {
      spares_.push_back(name);
      switch_hint_ = grows_;
    } else {
      // It was a favour; the log goes on without.
      target()->DeleteFile(unfinished, IOOptions(), nullptr).PermitUncheckedError();
    }
  }
}

IOStatus WalFileSystem::write_zeros(const std::string& name) {
  std::unique_ptr<FSWritableFile> file;
  if (IOStatus s = target()->NewWritableFile(name, FileOptions(), &file, nullptr); !s.ok()) return s;
  const std::string zeros(kZeroBytes, '\0');
  size_t unsynced = 0;
  for (size_t left = prepared_bytes_; left > 0;) {
    if (stopping_) return IOStatus::Aborted();
    const size_t n = std::min(left, zeros.size());
    if (IOStatus s = file->Append(Slice(zeros.data(), n), IOOptions(), nullptr); !s.ok()) return s;
    left -= n;
    unsynced += n;
    if (unsynced < kZeroBytesPerSync && left > 0) continue;
    if (IOStatus s = file->Sync(IOOptions(), nullptr); !s.ok()) return s;
    unsynced = 0;
  }
  return file->Close(IOOptions(), nullptr);
}

bool WalFileSystem::reuse_spare(const std::string& name) {
  const std::lock_guard lock(mutex_);
  switch_hint_ = false;
  while (!spares_.empty()) {
    const std::string spare = std::move(spares_.back());
    spares_.pop_back();
    if (target()->RenameFile(spare, name, IOOptions(), nullptr).ok()) {
      grows_ = false;
      return true;
    }
  }
  grows_ = true;
  return false;
}

// ---- files ----

std::string WalFileSystem::last_torn() const {
  const std::lock_guard lock(mutex_);
  return last_torn_;
}

void WalFileSystem::note_torn(const std::string& name) {
  const std::lock_guard lock(mutex_);
  last_torn_ = std::max(last_torn_, name);
}

IOStatus WalFileSystem::NewSequentialFile(const std::string& name, const FileOptions& options,
                                          std::unique_ptr<FSSequentialFile>* file, IODebugContext* debug) {
  const auto wal = wal_number(name);
  if (!wal) return target()->NewSequentialFile(name, options, file, debug);
  std::unique_ptr<FSRandomAccessFile> opened;
  if (IOStatus s = target()->NewRandomAccessFile(name, options, &opened, debug); !s.ok()) return s;
  *file = std::make_unique<WalSequentialFile>(WalReader(std::move(opened), name, *wal), *this);
  return IOStatus::OK();
}

IOStatus WalFileSystem::NewWritableFile(const std::string& name, const FileOptions& options,
                                        std::unique_ptr<FSWritableFile>* file, IODebugContext* debug) {
  const auto wal = wal_number(name);
  if (!wal) return target()->NewWritableFile(name, options, file, debug);
  const bool reused = reuse_spare(name);
  if (!reused) {
    std::unique_ptr<FSWritableFile> created;
    if (IOStatus s = target()->NewWritableFile(name, options, &created, debug); !s.ok()) return s;
    if (IOStatus s = created->Close(options.io_options, debug); !s.ok()) return s;
  }
  std::unique_ptr<FSRandomRWFile> opened;
  if (IOStatus s = target()->NewRandomRWFile(name, options, &opened, debug); !s.ok()) return s;
  const uint64_t quarter = std::max<uint64_t>(1, prepared_bytes_ / 4);
  *file = std::make_unique<WalWritableFile>(std::move(opened), *wal, *this,
                                            reused ? quarter : std::min(kFirstAskBytes, quarter));
  return IOStatus::OK();
}

IOStatus WalFileSystem::ReopenWritableFile(const std::string& name, const FileOptions& options,
                                           std::unique_ptr<FSWritableFile>* file, IODebugContext* debug) {
  if (wal_number(name)) return IOStatus::NotSupported("a write-ahead log is not reopened");
  return target()->ReopenWritableFile(name, options, file, debug);
}

IOStatus WalFileSystem::ReuseWritableFile(const std::string& name, const std::string& old_name,
                                          const FileOptions& options, std::unique_ptr<FSWritableFile>* file,
                                          IODebugContext* debug) {
  if (wal_number(name)) return IOStatus::NotSupported("write-ahead logs are recycled here, not by RocksDB");
  return target()->ReuseWritableFile(name, old_name, options, file, debug);
}

IOStatus WalFileSystem::DeleteFile(const std::string& name, const IOOptions& options, IODebugContext* debug) {
  if (!wal_number(name)) return target()->DeleteFile(name, options, debug);
  const std::lock_guard lock(mutex_);
  uint64_t size = 0;
  if (spares_.size() < kMaxSpares && target()->GetFileSize(name, options, &size, debug).ok() &&
      size <= kMaxSpareBytes) {
    const std::string spare = new_spare_name();
    if (target()->RenameFile(name, spare, options, debug).ok()) {
      spares_.push_back(spare);
      return IOStatus::OK();
    }
  }
  return target()->DeleteFile(name, options, debug);
}

}  // namespace kv::raft
