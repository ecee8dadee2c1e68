#include "server/snapshot_receiver.h"

#include <chrono>
#include <utility>

#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "server/snapshot_metrics.h"

namespace kv::server {
namespace {

// Of one file; then whatever sends or stores it is broken.
constexpr int kMaxDamaged = 5;

}  // namespace

void SnapshotReceiver::start(Ports ports) {
  ports_ = std::move(ports);
  thread_ = std::thread([this] { run(); });
}

void SnapshotReceiver::fetch(const raft::SnapshotMeta& offered, raft::NodeId from) {
  {
    const std::lock_guard lock(mutex_);
    KV_CHECK(!offer_, "one snapshot at a time");
    offer_ = Offer{offered, from};
  }
  changed_.notify_all();
}

void SnapshotReceiver::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool SnapshotReceiver::stopped() const {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

bool SnapshotReceiver::pause(int64_t ms) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return stopped_; });
}

void SnapshotReceiver::run() {
  name_this_thread("kvd-snap-recv");
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopped_ || offer_; });
    if (stopped_) return;
    const Offer offer = *offer_;
    lock.unlock();
    Result<FetchedState> state = work_off(offer);
    lock.lock();
    if (stopped_) return;
    offer_.reset();
    lock.unlock();
    ports_.fetched(std::move(state));
    lock.lock();
  }
}

Result<FetchedState> SnapshotReceiver::work_off(const Offer& offer) {
  const int64_t began_ms = ports_.clock->monotonic_ms();
  SnapshotTransfer transfer(snapshots_received_from(offer.from));
  const Stopwatch saving;
  IncomingSnapshot incoming(paths_, ports_.hook);
  // The state has no place yet: whatever goes wrong, the leader may offer again.
  const auto again = [](const Status& why) { return Status(Code::kUnavailable, why.text()); };
  if (const Status received = receive(offer, incoming); !received.ok()) return again(received);
  auto placed = incoming.finish();
  if (!placed.ok()) {
    // Renamed or not: nobody knows (a failed sync is not asked twice). The next start does.
    return placed.status().code() == Code::kDataLoss ? again(placed.status()) : placed.status();
  }
  snapshot_metrics().save_seconds.observe(saving.seconds());
  auto next = ports_.store->open_next(placed->path);
  if (!next.ok()) return next.status();
  transfer.complete();
  log_info("a snapshot was fetched", {{"from", offer.from.value()},
                                      {"index", placed->meta.index.value()},
                                      {"ms", ports_.clock->monotonic_ms() - began_ms}});
  return FetchedState{std::move(placed->meta), *std::move(next)};
}

Status SnapshotReceiver::receive(const Offer& offer, IncomingSnapshot& incoming) {
  static Counter& received = Metrics::global().counter("kvd_snapshot_received_bytes_total",
                                                       "Bytes of snapshots that were fetched from other members");
  kvdpb::PeerRequest open;
  open.mutable_snapshot_open()->set_min_index(offer.meta.index.value());
  open.mutable_snapshot_open()->set_have(incoming.begun());
  const auto opened = ask(offer.from, open, options_.open_ms);
  if (!opened.ok()) return opened.status();
  if (opened->code() != 0) return {static_cast<Code>(opened->code()), opened->text()};
  const kvdpb::SnapshotManifest& manifest = opened->snapshot_manifest();
  if (manifest.index() < offer.meta.index.value()) return {Code::kUnavailable, "the snapshot is older than offered"};
  const bool goes_on = manifest.id() == incoming.begun();
  KV_RETURN_IF_ERROR(incoming.begin(manifest));
  log_info("fetching a snapshot", {{"from", offer.from.value()},
                                   {"index", manifest.index()},
                                   {"bytes_missing", incoming.bytes_missing()},
                                   {"goes_on", goes_on}});

  int damaged = 0;
  while (const auto wanted = incoming.next()) {
    kvdpb::PeerRequest question;
    auto* read = question.mutable_snapshot_read();
    read->set_id(manifest.id());
    read->set_name(wanted->name);
    read->set_offset(wanted->offset);
    read->set_max_bytes(options_.piece_bytes);
    const auto answer = ask(offer.from, question, options_.answer_ms);
    if (!answer.ok()) return answer.status();
    if (answer->code() != 0) return {static_cast<Code>(answer->code()), answer->text()};
    const Status added = incoming.add(answer->snapshot_piece());
    if (!added.ok()) {
      log_warning("a piece of a snapshot is refused", {{"error", added.text()}});
      if (added.code() != Code::kDataLoss || ++damaged > kMaxDamaged) return added;
      continue;
    }
    received.add(answer->snapshot_piece().data().size());
  }
  kvdpb::PeerRequest close;
  close.mutable_snapshot_close()->set_id(manifest.id());
  (void)ask(offer.from, close, options_.answer_ms);
  return {};
}

Result<kvdpb::PeerResponse> SnapshotReceiver::ask(raft::NodeId from, const kvdpb::PeerRequest& request,
                                                  int64_t answer_ms) {
  struct Answer {
    std::mutex mutex;
    std::condition_variable come;
    std::optional<Result<kvdpb::PeerResponse>> result;
  };
  const int64_t give_up_ms = ports_.clock->monotonic_ms() + answer_ms + options_.give_up_ms;
  while (!stopped()) {
    const auto answer = std::make_shared<Answer>();
    ports_.peers->call(from, request, ports_.clock->monotonic_ms() + answer_ms,
                       [answer](Status status, kvdpb::PeerResponse&& response) {
                         {
                           const std::lock_guard lock(answer->mutex);
                           if (status.ok()) {
                             answer->result.emplace(std::move(response));
                           } else {
                             answer->result.emplace(std::move(status));
                           }
                         }
                         answer->come.notify_one();
                       });
    {
      // The call ends by its answer, its time, a broken stream, or the end of this member.
      std::unique_lock lock(answer->mutex);
      answer->come.wait(lock, [&] { return answer->result.has_value(); });
      if (answer->result->ok()) return std::move(*answer->result);
    }
    if (ports_.clock->monotonic_ms() >= give_up_ms) return answer->result->status();
    if (!pause(options_.retry_ms)) break;
  }
  return Status(Code::kUnavailable, "this member stops");
}

}  // namespace kv::server
