#include "server/backups.h"

#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/stopwatch.h"
#include "server/errors.h"
#include "server/maintenance_metrics.h"

namespace kv::server {

using etcdserverpb::SnapshotResponse;
using SteadyClock = std::chrono::steady_clock;

struct Backups::Stream {
  CallPtr call;
  std::shared_ptr<Responses> sink;
  std::string directory;  // empty: no checkpoint yet
  std::unique_ptr<store::BackupEncoder> encoder;
  Stopwatch since_begun;
};

Backups::Backups(Options options, Checkpoint checkpoint)
    : options_(std::move(options)),
      checkpoint_(std::move(checkpoint)),
      turns_(std::make_shared<Inbox<std::shared_ptr<Stream>>>(options_.streams_max)) {}

Backups::~Backups() { stop(); }

Status Backups::start() {
  std::error_code error;
  if (std::filesystem::remove_all(options_.directory, error) > 0)
    log_info("removed what an interrupted backup had left", {{"directory", options_.directory}});
  if (error) return {Code::kInternal, "backup: " + options_.directory + ": " + error.message()};
  const std::lock_guard lock(mutex_);
  stopped_ = false;
  thread_ = std::thread([this] { work(); });
  return {};
}

void Backups::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  turns_->close();
  // Never started: whatever lies in the directory is somebody else's.
  if (!thread_.joinable()) return;
  thread_.join();
  std::set<std::shared_ptr<Stream>> left;
  {
    const std::lock_guard lock(mutex_);
    left = streams_;
  }
  for (const auto& stream : left) {
    stream->sink->finish(errors::stopped());
    end(stream);
  }
  std::error_code ignored;
  std::filesystem::remove(options_.directory, ignored);
}

void Backups::serve(CallPtr call, std::shared_ptr<Responses> sink) {
  auto stream = std::make_shared<Stream>();
  stream->call = std::move(call);
  stream->sink = std::move(sink);
  Status refused;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) {
      refused = errors::stopped();
    } else if (streams_.size() >= options_.streams_max) {
      refused = errors::too_many_requests();
    } else {
      streams_.insert(stream);
    }
  }
  if (!refused.ok()) return stream->sink->finish(std::move(refused));
  // After stop() the turn is not taken: stop() then ends the stream.
  (void)turns_->push(std::move(stream));
}

void Backups::work() {
  name_this_thread("kvd-backup");
  std::vector<std::shared_ptr<Stream>> turns;
  while (turns_->take_all(turns, SteadyClock::time_point::max())) {
    for (auto& stream : turns) {
      if (stream->call->cancelled()) {
        stream->sink->finish({Code::kCanceled, "etcdserver: request canceled"});
        end(stream);
        continue;
      }
      if (!stream->encoder) {
        if (Status status = begin(*stream); !status.ok()) {
          log_warning("a backup could not be made", {{"error", status.text()}});
          stream->sink->finish(std::move(status));
          end(stream);
          continue;
        }
      }
      if (!send(*stream)) {
        end(stream);
        continue;
      }
      stream->sink->on_drained(options_.queued_bytes_max / 2,
                               [turns = turns_, stream] { (void)turns->push(std::shared_ptr<Stream>(stream)); });
    }
  }
}

Status Backups::begin(Stream& stream) {
  // Only while there is one in it: a member that makes no backups has none of it in its data directory.
  if (::mkdir(options_.directory.c_str(), 0700) != 0 && errno != EEXIST)
    return {Code::kInternal, "backup: " + options_.directory + ": " + std::strerror(errno)};
  stream.directory = options_.directory + "/" + std::to_string(++made_);
  auto info = checkpoint_(stream.directory);
  if (!info.ok()) return info.status();
  auto encoder = store::BackupEncoder::open(stream.directory, *info);
  if (!encoder.ok()) return encoder.status();
  stream.encoder = *std::move(encoder);
  log_info("sending a backup", {{"client", stream.call->peer},
                                {"revision", info->revision},
                                {"applied_index", info->applied_index},
                                {"bytes", stream.encoder->size_bytes()}});
  return {};
}

bool Backups::send(Stream& stream) {
  SnapshotResponse response;
  response.set_version(options_.storage_version);
  do {
    if (Status status = stream.encoder->read(options_.blob_bytes, response.mutable_blob()); !status.ok()) {
      log_error("a backup could not be read to its end", {{"error", status.text()}});
      stream.sink->finish(std::move(status));
      return false;
    }
    // As etcd: the sum at the end is not counted.
    const uint64_t rest = stream.encoder->remaining_bytes();
    response.set_remaining_bytes(rest > store::kBackupSumBytes ? rest - store::kBackupSumBytes : 0);
    if (!stream.sink->write(response)) return false;
    if (rest == 0) {
      const double seconds = stream.since_begun.seconds();
      maintenance_metrics().backup_seconds.observe(seconds);
      log_info("a backup was sent",
               {{"client", stream.call->peer}, {"bytes", stream.encoder->size_bytes()}, {"seconds", seconds}});
      stream.sink->finish({});
      return false;
    }
  } while (stream.sink->queued_bytes() < options_.queued_bytes_max);
  return true;
}

void Backups::end(const std::shared_ptr<Stream>& stream) {
  stream->encoder.reset();
  if (!stream->directory.empty()) {
    std::error_code error;
    std::filesystem::remove_all(stream->directory, error);
    if (error)
      log_warning("a checkpoint could not be removed", {{"directory", stream->directory}, {"error", error.message()}});
  }
  const std::lock_guard lock(mutex_);
  streams_.erase(stream);
}

}  // namespace kv::server
