#include "server/snapshot_sender.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <vector>

#include "base/checksum.h"
#include "base/files.h"
#include "base/log.h"
#include "base/metrics.h"

namespace kv::server {
namespace {

namespace fs = std::filesystem;

uint64_t random_id() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32 | device()) | 1;
}

}  // namespace

SnapshotSender::SnapshotSender(SnapshotPaths paths, store::Store& store, const Clock& clock, const Options& options)
    : paths_(std::move(paths)), store_(store), clock_(clock), options_(options), jobs_(options.max_questions) {
  thread_ = std::thread([this] { run(); });
}

void SnapshotSender::stop() {
  jobs_.close();
  if (thread_.joinable()) thread_.join();
}

void SnapshotSender::run() {
  name_this_thread("kvd-snap-send");
  std::vector<Job> jobs;
  while (jobs_.take_all(jobs, std::chrono::steady_clock::time_point::max())) {
    for (Job& job : jobs) job();
    jobs.clear();
  }
  while (!copies_.empty()) remove(copies_.begin()->first);
}

void SnapshotSender::serve(raft::NodeId from, kvdpb::PeerRequest request, PeerCalls::Reply reply) {
  auto shared = std::make_shared<PeerCalls::Reply>(std::move(reply));
  const bool queued =
      jobs_.push([this, from, shared, request = std::move(request)] { (*shared)(answer(from, request)); });
  if (queued) return;
  kvdpb::PeerResponse refused;
  refused.set_code(static_cast<int32_t>(Code::kResourceExhausted));
  refused.set_text("too many members ask for snapshots");
  (*shared)(std::move(refused));
}

void SnapshotSender::expire() {
  // Refused when much waits: then it comes again.
  (void)jobs_.push([this] { remove_idle(); });
}

kvdpb::PeerResponse SnapshotSender::answer(raft::NodeId from, const kvdpb::PeerRequest& request) {
  kvdpb::PeerResponse response;
  Status status;
  if (request.has_snapshot_open()) {
    auto manifest = open(from, request.snapshot_open());
    status = manifest.status();
    if (!status.ok()) snapshots_sent_to(from).failures.add();
    if (manifest.ok()) *response.mutable_snapshot_manifest() = *std::move(manifest);
  } else if (request.has_snapshot_read()) {
    auto piece = read(from, request.snapshot_read());
    status = piece.status();
    if (piece.ok()) *response.mutable_snapshot_piece() = *std::move(piece);
  } else {
    close(from, request.snapshot_close().id());
  }
  response.set_code(static_cast<int32_t>(status.code()));
  response.set_text(status.text());
  return response;
}

Result<kvdpb::SnapshotManifest> SnapshotSender::open(raft::NodeId from, const kvdpb::SnapshotOpen& request) {
  remove_idle();
  Copy* copy = nullptr;
  // What the asker has begun, else the newest.
  for (auto& [id, c] : copies_) {
    if (c.manifest.index() < request.min_index()) continue;
    if (id == request.have()) {
      copy = &c;
      break;
    }
    if (copy == nullptr || c.manifest.index() > copy->manifest.index()) copy = &c;
  }
  // Whatever else it had begun it has given up.
  std::vector<uint64_t> left;
  for (auto& [id, c] : copies_) {
    if (&c != copy && c.users.erase(from) > 0 && c.users.empty()) left.push_back(id);
  }
  for (const uint64_t id : left) remove(id);
  if (copy == nullptr) {
    if (store_.applied_index() < request.min_index()) {
      return Status(Code::kUnavailable, "this member is not so far itself");
    }
    auto made = make_copy();
    if (!made.ok()) return made.status();
    copy = *made;
  }
  asked(*copy, from);
  log_info("a member fetches a snapshot", {{"member", from.value()},
                                           {"index", copy->manifest.index()},
                                           {"files", copy->manifest.files_size()},
                                           {"goes_on", copy->manifest.id() == request.have()}});
  return copy->manifest;
}

Result<SnapshotSender::Copy*> SnapshotSender::make_copy() {
  if (copies_.size() >= options_.max_copies) {
    return Status(Code::kResourceExhausted, "there are as many copies of the state as there may be");
  }
  if (::mkdir(paths_.snapshots().c_str(), 0700) != 0 && errno != EEXIST) {
    return Status(Code::kInternal, "making " + paths_.snapshots() + ": " + std::strerror(errno));
  }
  const uint64_t id = random_id();
  const std::string path = paths_.outgoing(id);
  {
    // The log must not be cut between the copy and the first look at it.
    const std::lock_guard lock(mutex_);
    const raft::Index now(store_.applied_index());
    copied_ = copied_ ? std::min(*copied_, now) : now;
  }
  const Stopwatch copying;
  const Result<store::StateInfo> info = store_.checkpoint(path);
  if (!info.ok()) {
    publish();
    return info.status();
  }
  snapshot_metrics().copy_seconds.observe(copying.seconds());
  Copy copy;
  copy.manifest.set_id(id);
  copy.manifest.set_index(info->applied_index);
  copy.manifest.set_term(info->applied_term);
  std::vector<std::pair<std::string, uint64_t>> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    files.emplace_back(entry.path().filename(), entry.file_size(error));
  }
  if (error) {
    (void)remove_durably(path);
    publish();
    return Status(Code::kInternal, "listing " + path + ": " + error.message());
  }
  std::sort(files.begin(), files.end());
  for (auto& [name, size] : files) {
    auto* file = copy.manifest.add_files();
    file->set_name(name);
    file->set_size(size);
  }
  Copy* const kept = &copies_.emplace(id, std::move(copy)).first->second;
  publish();
  return kept;
}

Result<kvdpb::SnapshotPiece> SnapshotSender::read(raft::NodeId from, const kvdpb::SnapshotRead& request) {
  static Counter& sent =
      Metrics::global().counter("kvd_snapshot_sent_bytes_total", "Bytes of snapshots that were sent to other members");
  const auto found = copies_.find(request.id());
  const Status gone(Code::kNotFound, "this snapshot is gone");
  if (found == copies_.end()) return gone;
  Copy& copy = found->second;
  asked(copy, from);
  const auto file = std::find_if(copy.manifest.files().begin(), copy.manifest.files().end(),
                                 [&](const auto& f) { return f.name() == request.name(); });
  if (file == copy.manifest.files().end() || request.offset() > file->size()) return gone;
  const std::string path = paths_.outgoing(request.id()) + "/" + file->name();
  const size_t bytes = std::min<uint64_t>(file->size() - request.offset(),
                                          std::clamp<size_t>(request.max_bytes(), 1, options_.max_piece_bytes));
  kvdpb::SnapshotPiece piece;
  KV_RETURN_IF_ERROR(read_file_part(path, request.offset(), bytes, piece.mutable_data()));
  if (piece.data().size() != bytes) return Status(Code::kDataLoss, path + " is shorter than it was");
  piece.set_checksum(checksum(piece.data(), request.offset()));
  if (request.offset() + bytes == file->size()) {
    auto sum = copy.checksums.find(file->name());
    if (sum == copy.checksums.end()) {
      uint64_t whole = 0;
      KV_RETURN_IF_ERROR(checksum_file(path, &whole));
      sum = copy.checksums.emplace(file->name(), whole).first;
    }
    piece.set_file_checksum(sum->second);
  }
  sent.add(bytes);
  return piece;
}

void SnapshotSender::close(raft::NodeId from, uint64_t id) {
  const auto found = copies_.find(id);
  if (found == copies_.end()) return;
  // The one who asks for the end has all of it. Asked again, the answer was lost.
  if (const auto user = found->second.users.find(from); user != found->second.users.end()) {
    user->second->complete();
    found->second.users.erase(user);
  }
  hold(raft::Index(found->second.manifest.index()), clock_.monotonic_ms() + options_.hold_after_close_ms);
  if (found->second.users.empty()) remove(id);
}

void SnapshotSender::asked(Copy& copy, raft::NodeId from) {
  copy.last_used_ms = clock_.monotonic_ms();
  auto& transfer = copy.users[from];
  if (!transfer) transfer = std::make_unique<SnapshotTransfer>(snapshots_sent_to(from));
}

void SnapshotSender::hold(raft::Index index, int64_t until_ms) {
  const std::lock_guard lock(mutex_);
  held_until_ms_[index] = until_ms;
}

void SnapshotSender::remove(uint64_t id) {
  if (const Status removed = remove_durably(paths_.outgoing(id)); !removed.ok()) {
    log_warning("a copy of the state is left behind until the next start", {{"error", removed.text()}});
  }
  copies_.erase(id);
  publish();
}

void SnapshotSender::remove_idle() {
  const int64_t now_ms = clock_.monotonic_ms();
  std::vector<uint64_t> idle;
  for (const auto& [id, copy] : copies_) {
    if (copy.last_used_ms + options_.idle_ms <= now_ms) idle.push_back(id);
  }
  for (const uint64_t id : idle) remove(id);
  const std::lock_guard lock(mutex_);
  std::erase_if(held_until_ms_, [&](const auto& held) { return held.second <= now_ms; });
}

void SnapshotSender::publish() {
  const std::lock_guard lock(mutex_);
  copied_.reset();
  for (const auto& [id, copy] : copies_) {
    const raft::Index index(copy.manifest.index());
    copied_ = copied_ ? std::min(*copied_, index) : index;
  }
}

std::optional<raft::Index> SnapshotSender::needed_after() const {
  const std::lock_guard lock(mutex_);
  std::optional<raft::Index> lowest = copied_;
  if (!held_until_ms_.empty()) {
    const raft::Index held = held_until_ms_.begin()->first;
    lowest = lowest ? std::min(*lowest, held) : held;
  }
  return lowest;
}

}  // namespace kv::server
