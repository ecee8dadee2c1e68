#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>

#include "store/backup_layout.h"

namespace kv::store {

using namespace backup;

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  KV_CHECK(context_ != nullptr && EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), EVP_sha256(), nullptr) == 1,
           "SHA-256 is not to be had");
}
Sha256::~Sha256() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }
void Sha256::add(std::string_view bytes) {
  KV_CHECK(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size()) == 1, "SHA-256 failed");
}
std::string Sha256::sum() {
  std::string out(kBackupSumBytes, '\0');
  KV_CHECK(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), reinterpret_cast<unsigned char*>(out.data()),
                              nullptr) == 1,
           "SHA-256 failed");
  return out;
}

namespace {

// The files of a directory by name, so that the same directory always gives the same bytes.
Result<std::vector<BackupEntry>> list_files(const std::string& directory) {
  std::vector<BackupEntry> files;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    BackupEntry file{.name = it->path().filename()};
    const std::string shown = directory + "/" + file.name;
    if (!it->is_regular_file(error) || !is_file_name(file.name))
      return Status(Code::kInternal, "backup: " + shown + " can't be part of a backup");
    file.bytes = it->file_size(error);
    if (error) break;
    if (file.bytes > kFileMaxBytes) return Status(Code::kInternal, "backup: " + shown + " is too large");
    files.push_back(std::move(file));
  }
  if (error) return Status(Code::kInternal, "backup: " + directory + ": " + error.message());
  if (files.size() > kFilesMax) return Status(Code::kInternal, "backup: " + directory + " holds too many files");
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return files;
}

std::string encode_table(const std::vector<BackupEntry>& files) {
  std::string table;
  for (const BackupEntry& file : files) {
    append_u64(table, file.bytes);
    append_u16(table, static_cast<uint16_t>(file.name.size()));
    table += file.name;
  }
  return table;
}

std::string encode_header(const BackupInfo& info, size_t files, size_t table_bytes, uint64_t size_bytes) {
  std::string header(kMagic);
  append_u32(header, kBackupVersion);
  append_u32(header, static_cast<uint32_t>(files));
  append_u64(header, size_bytes);
  append_u64(header, table_bytes);
  append_u64(header, info.cluster_id);
  append_u64(header, info.member_id);
  append_u64(header, info.applied_index);
  append_u64(header, info.applied_term);
  append_u64(header, static_cast<uint64_t>(info.revision));
  append_u64(header, static_cast<uint64_t>(info.compact_revision));
  append_u64(header, info.keys);
  append_u64(header, static_cast<uint64_t>(info.created_ms));
  std::string version = info.storage_version;
  version.resize(kVersionTextBytes, '\0');
  header += version;
  header.resize(kHeaderSummedBytes, '\0');
  append_u64(header, checksum(header, kHeaderSeed));
  return header;
}

}  // namespace

Result<std::unique_ptr<BackupEncoder>> BackupEncoder::open(const std::string& directory, const BackupInfo& info) {
  KV_CHECK(info.storage_version.size() <= kVersionTextBytes, "the storage version is too long for a backup");
  auto files = list_files(directory);
  if (!files.ok()) return files.status();
  std::unique_ptr<BackupEncoder> encoder(new BackupEncoder());
  encoder->directory_ = directory;
  encoder->files_ = *std::move(files);
  std::string table = encode_table(encoder->files_);
  if (table.size() > kTableMaxBytes) return Status(Code::kInternal, "backup: the names of the files are too long");
  uint64_t bytes = kHeaderBytes + table.size() + kSumBytes;
  for (const BackupEntry& file : encoder->files_) bytes += stored_bytes(file);
  encoder->content_bytes_ = padded(bytes);
  encoder->size_bytes_ = encoder->content_bytes_ + kBackupSumBytes;

  std::string& chunk = encoder->chunk_;
  chunk = encode_header(info, encoder->files_.size(), table.size(), encoder->size_bytes_);
  const uint64_t table_sum = checksum(table, load<uint64_t>(chunk, kHeaderSummedBytes));
  chunk += table;
  append_u64(chunk, table_sum);
  encoder->sha_.add(chunk);
  encoder->made_bytes_ = chunk.size();
  return encoder;
}

BackupEncoder::~BackupEncoder() {
  if (fd_ >= 0) ::close(fd_);
}

Status BackupEncoder::read(size_t max, std::string* bytes) {
  bytes->clear();
  while (bytes->size() < max && remaining_bytes() > 0) {
    if (chunk_given_ == chunk_.size()) {
      // The sum is a message of its own, as etcd sends it.
      if (made_bytes_ == content_bytes_ && !bytes->empty()) break;
      KV_RETURN_IF_ERROR(next_chunk());
    }
    const size_t n = std::min(max - bytes->size(), chunk_.size() - chunk_given_);
    bytes->append(chunk_, chunk_given_, n);
    chunk_given_ += n;
    given_bytes_ += n;
  }
  return {};
}

Status BackupEncoder::next_chunk() {
  chunk_.clear();
  chunk_given_ = 0;
  if (made_bytes_ == content_bytes_) {
    chunk_ = sha_.sum();
    made_bytes_ += chunk_.size();
    return {};
  }
  while (file_ < files_.size() && files_[file_].bytes == file_offset_) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    ++file_;
    file_offset_ = 0;
  }
  if (file_ < files_.size()) {
    KV_RETURN_IF_ERROR(next_piece());
  } else {
    chunk_.assign(content_bytes_ - made_bytes_, '\0');
  }
  sha_.add(chunk_);
  made_bytes_ += chunk_.size();
  return {};
}

Status BackupEncoder::next_piece() {
  const BackupEntry& file = files_[file_];
  const std::string path = directory_ + "/" + file.name;
  if (fd_ < 0) fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) return {Code::kInternal, "backup: " + path + ": " + std::strerror(errno)};
  const size_t want = piece_bytes(file, file_offset_);
  chunk_.resize(want);
  for (size_t have = 0; have < want;) {
    const ssize_t n = ::pread(fd_, chunk_.data() + have, want - have, static_cast<off_t>(file_offset_ + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return {Code::kInternal, "backup: " + path + ": " + std::strerror(errno)};
    if (n == 0) return {Code::kInternal, "backup: " + path + " has become shorter while it was read"};
    have += static_cast<size_t>(n);
  }
  file_offset_ += want;
  append_u64(chunk_, piece_checksum(chunk_, made_bytes_));
  return {};
}

}  // namespace kv::store
