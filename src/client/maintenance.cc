// What an operator asks of one member.
#include <chrono>
#include <utility>

#include "client/calls.h"
#include "client/client.h"

namespace kv::client {
namespace {

namespace pb = etcdserverpb;

// As good as none: a backup may take as long as it takes.
constexpr auto kPatience = std::chrono::hours(24 * 365);

}  // namespace

Status Client::defragment(std::string_view endpoint, const CallOptions& call) {
  return calls_->run_on(endpoint, call, [&](Endpoint& e, grpc::ClientContext& context) {
    pb::DefragmentResponse response;
    return e.maintenance->Defragment(&context, {}, &response);
  });
}

Status Client::snapshot(const std::function<Status(const SnapshotPart&)>& take, const CallOptions& call,
                        std::stop_token stop) {
  CallOptions patient = call;
  if (patient.timeout.count() == 0) patient.timeout = kPatience;
  uint64_t received_bytes = 0;
  uint64_t remaining_bytes = 0;
  Status refused;
  Status status = calls_->run(Repeat::kUnsafe, patient, [&](Endpoint& e, grpc::ClientContext& context) {
    const std::stop_callback on_stop(stop, [&context] { context.TryCancel(); });
    const auto reader = e.maintenance->Snapshot(&context, {});
    pb::SnapshotResponse response;
    while (refused.ok() && reader->Read(&response)) {
      received_bytes += response.blob().size();
      remaining_bytes = response.remaining_bytes();
      refused = take({.bytes = response.blob(), .remaining_bytes = remaining_bytes, .version = response.version()});
    }
    if (!refused.ok()) context.TryCancel();
    return reader->Finish();
  });
  if (!refused.ok()) return refused;
  if (stop.stop_requested()) return {Code::kCanceled, "interrupted"};
  if (!status.ok() && received_bytes > 0) {
    return {status.code(), "the stream ended after " + std::to_string(received_bytes) + " bytes, with " +
                               std::to_string(remaining_bytes) + " to come: " + status.text()};
  }
  return status;
}

}  // namespace kv::client
