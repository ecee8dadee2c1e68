// Maintenance.Snapshot: sends a backup of the member's state (store/backup_file.h) while the member goes on.
//
// A checkpoint of the state is made first, in a directory of its own; its files are hard links, so that this costs a
// flush and hardly any space. What is sent is read from there, piece by piece, as fast as the client takes it: a slow
// one costs disk (the files that the state itself would have deleted meanwhile), and of memory a piece and what may be
// queued.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "base/thread.h"
#include "etcdserverpb/rpc.pb.h"
#include "server/call.h"
#include "store/backup_file.h"

namespace kv::server {

class Backups {
 public:
  struct Options {
    std::string directory;        // for the checkpoints; whatever is in it is removed by start()
    std::string storage_version;  // what clients are told
    size_t streams_max = 4;       // at a time; beyond: "etcdserver: too many requests"
    // Of one answer. Clients that bound what is sent ahead of them take about one in a round trip.
    size_t blob_bytes = 1 << 20;
    size_t queued_bytes_max = 2 << 20;  // of one stream, at its client's door
  };
  // Makes a checkpoint of the state at `path` and says what is in it.
  using Checkpoint = std::function<Result<store::BackupInfo>(const std::string& path)>;
  using Responses = Sink<etcdserverpb::SnapshotResponse>;

  Backups(Options options, Checkpoint checkpoint);
  ~Backups();
  Backups(const Backups&) = delete;
  Backups& operator=(const Backups&) = delete;

  // Removes what a crash has left, and starts the thread that reads.
  Status start();
  // Streams end with "etcdserver: server stopped". No other thread may be in serve() afterwards.
  void stop();

  // `sink` is finished exactly once. Any thread.
  void serve(CallPtr call, std::shared_ptr<Responses> sink);

 private:
  struct Stream;
  void work();
  Status begin(Stream& stream);
  // Sends until enough is queued. True when the stream goes on.
  bool send(Stream& stream);
  void end(const std::shared_ptr<Stream>& stream);

  const Options options_;
  const Checkpoint checkpoint_;
  // A stream is in it at most once. Shared, because a door may still call what it was given when all else is gone.
  const std::shared_ptr<Inbox<std::shared_ptr<Stream>>> turns_;
  std::mutex mutex_;  // guards the two below
  bool stopped_ = true;
  std::set<std::shared_ptr<Stream>> streams_;
  uint64_t made_ = 0;  // checkpoints so far; the thread's own
  std::thread thread_;
};

}  // namespace kv::server
