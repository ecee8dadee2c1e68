#include "server/incoming_snapshot.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "base/checksum.h"
#include "base/files.h"
#include "server/snapshot_metrics.h"

namespace kv::server {
namespace {

namespace fs = std::filesystem;

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return {Code::kInternal, "making " + path + ": " + std::strerror(errno)};
  }
  return {};
}

std::optional<uint64_t> size_of(const std::string& path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  if (error) return std::nullopt;
  return size;
}

Status check(const kvdpb::SnapshotManifest& manifest) {
  std::set<std::string> names;
  for (const auto& file : manifest.files()) {
    if (!valid_file_name(file.name()) || !names.insert(file.name()).second) {
      return {Code::kInvalidArgument, "a snapshot with a file \"" + file.name() + "\" is refused"};
    }
  }
  if (manifest.id() == 0 || names.empty() || names.size() > IncomingSnapshot::kMaxFiles) {
    return {Code::kInvalidArgument, "a snapshot of " + std::to_string(names.size()) + " files is refused"};
  }
  return {};
}

}  // namespace

uint64_t IncomingSnapshot::begun() const {
  std::string bytes;
  if (!read_file(paths_.incoming_manifest(), &bytes).ok()) return 0;
  const auto manifest = decode_manifest(bytes);
  return manifest ? manifest->id() : 0;
}

Status IncomingSnapshot::begin(const kvdpb::SnapshotManifest& manifest) {
  KV_RETURN_IF_ERROR(check(manifest));
  std::string bytes;
  // The manifest alone is what an installation leaves that was interrupted.
  std::error_code error;
  const bool same = read_file(paths_.incoming_manifest(), &bytes).ok() && bytes == encode_manifest(manifest) &&
                    fs::is_directory(paths_.incoming_state(), error);
  if (!same) {
    KV_RETURN_IF_ERROR(drop());
    KV_RETURN_IF_ERROR(make_directory(paths_.snapshots()));
    KV_RETURN_IF_ERROR(make_directory(paths_.incoming()));
    KV_RETURN_IF_ERROR(make_directory(paths_.incoming_state()));
    KV_RETURN_IF_ERROR(write_file_durably(paths_.incoming_manifest(), encode_manifest(manifest)));
    KV_RETURN_IF_ERROR(sync_path(paths_.snapshots()));
  }
  if (hook_) hook_(SnapshotStep::kManifestWritten);
  manifest_ = manifest;
  file_ = 0;
  return advance();
}

Status IncomingSnapshot::advance() {
  for (; file_ < manifest_.files_size(); ++file_) {
    const kvdpb::SnapshotFile& file = manifest_.files(file_);
    if (size_of(path_of(file.name())) == file.size()) continue;
    const std::string part = path_of(file.name()) + ".part";
    offset_ = size_of(part).value_or(0);
    // As long as it can be without its last piece, which brings the checksum, at most.
    if (offset_ > 0 && offset_ >= file.size()) {
      KV_RETURN_IF_ERROR(remove_durably(part));
      offset_ = 0;
    }
    return {};
  }
  return {};
}

std::optional<IncomingSnapshot::Wanted> IncomingSnapshot::next() const {
  if (file_ >= manifest_.files_size()) return std::nullopt;
  return Wanted{manifest_.files(file_).name(), offset_};
}

uint64_t IncomingSnapshot::bytes_missing() const {
  uint64_t bytes = 0;
  for (int i = file_; i < manifest_.files_size(); ++i) bytes += manifest_.files(i).size();
  return file_ < manifest_.files_size() ? bytes - offset_ : 0;
}

Status IncomingSnapshot::add(const kvdpb::SnapshotPiece& piece) {
  KV_CHECK(file_ < manifest_.files_size(), "nothing is missing");
  const kvdpb::SnapshotFile& file = manifest_.files(file_);
  const std::string part = path_of(file.name()) + ".part";
  if (checksum(piece.data(), offset_) != piece.checksum()) {
    return {Code::kDataLoss, "a piece of the snapshot's file " + file.name() + " does not match its checksum"};
  }
  if (piece.data().size() > file.size() - offset_ || (piece.data().empty() && file.size() > 0)) {
    return {Code::kDataLoss, "the snapshot's file " + file.name() + " is not as long as it was said to be"};
  }
  KV_RETURN_IF_ERROR(append_to_file(part, piece.data()));
  offset_ += piece.data().size();
  if (hook_) hook_(SnapshotStep::kPieceWritten);
  if (offset_ < file.size()) return {};

  uint64_t sum = 0;
  KV_RETURN_IF_ERROR(checksum_file(part, &sum));
  if (sum != piece.file_checksum()) {
    KV_RETURN_IF_ERROR(remove_durably(part));
    offset_ = 0;
    return {Code::kDataLoss, "the snapshot's file " + file.name() + " does not match its checksum"};
  }
  const Stopwatch syncing;
  KV_RETURN_IF_ERROR(sync_path(part));
  snapshot_metrics().sync_seconds.observe(syncing.seconds());
  KV_RETURN_IF_ERROR(rename_durably(part, path_of(file.name())));
  if (hook_) hook_(SnapshotStep::kFileChecked);
  ++file_;
  offset_ = 0;
  return advance();
}

Result<IncomingSnapshot::Placed> IncomingSnapshot::finish() {
  KV_CHECK(!next(), "the snapshot is not complete");
  const auto meta = [&]() -> Result<raft::SnapshotMeta> {
    const Result<store::StateInfo> info = store::Store::inspect(paths_.incoming_state());
    if (!info.ok()) return info.status();
    if (info->applied_index != manifest_.index() || info->applied_term != manifest_.term()) {
      return Status(Code::kDataLoss, "the snapshot is of applied index " + std::to_string(info->applied_index) +
                                         " and not of " + std::to_string(manifest_.index()));
    }
    return snapshot_meta(*info);
  }();
  if (!meta.ok()) {
    KV_RETURN_IF_ERROR(drop());
    return Status(Code::kDataLoss, meta.status().text());
  }
  auto path = place_received_state(paths_, meta->index, hook_);
  if (!path.ok()) return path.status();
  manifest_.Clear();
  return Placed{*std::move(path), *meta};
}

Status IncomingSnapshot::drop() {
  manifest_.Clear();
  file_ = 0;
  offset_ = 0;
  return remove_durably(paths_.incoming());
}

}  // namespace kv::server
