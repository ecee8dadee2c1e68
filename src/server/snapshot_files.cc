#include "server/snapshot_files.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/checksum.h"
#include "base/files.h"
#include "base/log.h"
#include "server/membership.h"

namespace kv::server {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kReceivedPrefix = "state-";
constexpr std::string_view kOutgoingPrefix = "outgoing-";

std::string hex16(uint64_t n) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(n));
  return digits;
}

// The indexes of received states, ascending.
std::vector<raft::Index> received_states(const std::string& data_dir) {
  std::vector<raft::Index> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(data_dir, error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kReceivedPrefix)) continue;
    uint64_t index = 0;
    const char* const digits = name.data() + kReceivedPrefix.size();
    const char* const end = name.data() + name.size();
    if (end - digits == 16 && std::from_chars(digits, end, index, 16).ptr == end) found.emplace_back(index);
  }
  std::sort(found.begin(), found.end());
  return found;
}

void told(const SnapshotStepHook& hook, SnapshotStep step) {
  if (hook) hook(step);
}

// Steps 3 and 5.
Status finish_installation(const SnapshotPaths& paths, raft::LogStore& log, raft::Index index,
                           const SnapshotStepHook& hook) {
  const std::string path = paths.state(index);
  const Result<store::StateInfo> info = store::Store::inspect(path);
  if (!info.ok()) return info.status();
  log_info("a snapshot that was received before this start takes the place of the state",
           {{"index", index.value()}, {"applied_index", info->applied_index}});
  if (log.snapshot().index < index) {
    const Result<raft::SnapshotMeta> meta = snapshot_meta(*info);
    if (!meta.ok()) return meta.status();
    if (meta->index != index) {
      return {Code::kDataLoss,
              path + " has applied index " + to_string(meta->index) + ", but the log does not begin there"};
    }
    KV_RETURN_IF_ERROR(log.truncate_prefix(*meta));
  }
  told(hook, SnapshotStep::kLogBegun);
  KV_RETURN_IF_ERROR(remove_durably(paths.state()));
  told(hook, SnapshotStep::kOldStateRemoved);
  KV_RETURN_IF_ERROR(rename_durably(path, paths.state()));
  told(hook, SnapshotStep::kStateInPlace);
  return {};
}

}  // namespace

std::string SnapshotPaths::state(raft::Index index) const {
  return data_dir_ + "/" + std::string(kReceivedPrefix) + hex16(index.value());
}

std::string SnapshotPaths::outgoing(uint64_t id) const {
  return snapshots() + "/" + std::string(kOutgoingPrefix) + hex16(id);
}

std::string_view step_name(SnapshotStep step) {
  switch (step) {
    case SnapshotStep::kManifestWritten: return "manifest_written";
    case SnapshotStep::kPieceWritten: return "piece_written";
    case SnapshotStep::kFileChecked: return "file_checked";
    case SnapshotStep::kStateRenamed: return "state_renamed";
    case SnapshotStep::kIncomingRemoved: return "incoming_removed";
    case SnapshotStep::kLogBegun: return "log_begun";
    case SnapshotStep::kOldStateRemoved: return "old_state_removed";
    case SnapshotStep::kStateInPlace: return "state_in_place";
  }
  return "?";
}

Result<raft::SnapshotMeta> snapshot_meta(const store::StateInfo& info) {
  for (const auto& [name, value] : info.records) {
    if (name != kConfigurationRecord) continue;
    auto configuration = decode_configuration(value);
    if (!configuration || configuration->voters.empty()) break;
    return raft::SnapshotMeta{raft::Index(info.applied_index), raft::Term(info.applied_term),
                              *std::move(configuration)};
  }
  return Status(Code::kDataLoss, "a snapshot has no valid configuration of the cluster");
}

bool valid_file_name(std::string_view name) {
  if (name.empty() || name.size() > 128 || name[0] == '.' || name.ends_with(".part")) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '-' ||
           c == '_';
  });
}

std::string encode_manifest(const kvdpb::SnapshotManifest& manifest) {
  const std::string message = manifest.SerializeAsString();
  const uint64_t sum = checksum(message);
  return std::string(reinterpret_cast<const char*>(&sum), sizeof sum) + message;
}

std::optional<kvdpb::SnapshotManifest> decode_manifest(std::string_view bytes) {
  uint64_t sum = 0;
  kvdpb::SnapshotManifest manifest;
  if (bytes.size() < sizeof sum) return std::nullopt;
  std::copy_n(bytes.data(), sizeof sum, reinterpret_cast<char*>(&sum));
  bytes.remove_prefix(sizeof sum);
  if (checksum(bytes) != sum || !manifest.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return std::nullopt;
  }
  return manifest;
}

Result<std::string> place_received_state(const SnapshotPaths& paths, raft::Index index, const SnapshotStepHook& hook) {
  KV_RETURN_IF_ERROR(sync_tree(paths.incoming_state()));
  const std::string path = paths.state(index);
  KV_RETURN_IF_ERROR(rename_durably(paths.incoming_state(), path));
  told(hook, SnapshotStep::kStateRenamed);
  KV_RETURN_IF_ERROR(remove_durably(paths.incoming()));
  told(hook, SnapshotStep::kIncomingRemoved);
  return path;
}

std::string current_state(const std::string& data_dir) {
  const SnapshotPaths paths(data_dir);
  const std::vector<raft::Index> received = received_states(data_dir);
  return received.empty() ? paths.state() : paths.state(received.back());
}

Status recover_snapshots(const SnapshotPaths& paths, raft::LogStore& log, const SnapshotStepHook& hook) {
  std::vector<raft::Index> received = received_states(paths.data_dir());
  if (!received.empty()) {
    const raft::Index newest = received.back();
    received.pop_back();
    // The older ones first: alone beside a state, one would be taken for its successor.
    for (const raft::Index older : received) KV_RETURN_IF_ERROR(remove_durably(paths.state(older)));
    KV_RETURN_IF_ERROR(finish_installation(paths, log, newest, hook));
  }
  std::error_code error;
  std::vector<std::string> useless;
  for (const auto& entry : fs::directory_iterator(paths.snapshots(), error)) {
    if (entry.path().filename().string().starts_with(kOutgoingPrefix)) useless.push_back(entry.path());
  }
  for (const std::string& path : useless) KV_RETURN_IF_ERROR(remove_durably(path));
  return {};
}

}  // namespace kv::server
