// grpc.health.v1 as two rows of the call table.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/net/server.h"
#include "base/thread.h"
#include "grpc/health/v1/health.pb.h"

namespace kv::api {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using Serving = HealthCheckResponse::ServingStatus;

// Looks at the server's health a few times a second for those who watch it; without watchers there is no thread.
class HealthWatch {
 public:
  explicit HealthWatch(std::function<bool()> serving) : serving_(std::move(serving)) {}

  ~HealthWatch() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  Serving status() const { return serving_() ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING; }

  void add(std::shared_ptr<ServerStream> stream) {
    const std::lock_guard lock(mutex_);
    watchers_.push_back({std::move(stream), HealthCheckResponse::UNKNOWN});
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
    changed_.notify_all();
  }

  void remove(const ServerStream* stream) {
    const std::lock_guard lock(mutex_);
    std::erase_if(watchers_, [&](const Watcher& watcher) { return watcher.stream.get() == stream; });
  }

 private:
  struct Watcher {
    std::shared_ptr<ServerStream> stream;
    Serving told;
  };
  static constexpr auto kPeriod = std::chrono::milliseconds(250);

  void run() {
    name_this_thread("api-health");
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      const Serving now = status();
      for (Watcher& watcher : watchers_) {
        if (watcher.told == now) continue;
        watcher.told = now;
        HealthCheckResponse response;
        response.set_status(now);
        watcher.stream->write(response);
      }
      if (watchers_.empty()) {
        changed_.wait(lock);
      } else {
        changed_.wait_for(lock, kPeriod);
      }
    }
  }

  const std::function<bool()> serving_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::vector<Watcher> watchers_;
  bool stopping_ = false;
  std::thread thread_;
};

bool known_service(const CallTable& table, const std::string& name) {
  if (name.empty()) return true;
  const std::vector<std::string> services = table.services();
  return std::binary_search(services.begin(), services.end(), name);
}

}  // namespace

void add_health(CallTable& table, std::function<bool()> serving) {
  const auto watch = std::make_shared<HealthWatch>(std::move(serving));

  table.add(unary_row<HealthCheckRequest, HealthCheckResponse>(
      "/grpc.health.v1.Health/Check", Right::kOpen,
      [&table, watch](CallPtr, std::unique_ptr<HealthCheckRequest> request, Done<HealthCheckResponse> done) {
        if (!known_service(table, request->service())) return done({Code::kNotFound, "unknown service"}, {});
        HealthCheckResponse response;
        response.set_status(watch->status());
        done(Status::ok_status(), std::move(response));
      }));

  table.add(stream_row<HealthCheckRequest, HealthCheckResponse>(
      "/grpc.health.v1.Health/Watch", Kind::kServerStream, Right::kOpen,
      [&table, watch](std::shared_ptr<ServerStream> stream) {
        // The stream holds its callbacks: they hold it by plain pointer, and the watch by shared_ptr while it lasts.
        ServerStream* const raw = stream.get();
        stream->on_request = [&table, watch, weak = std::weak_ptr(stream)](MessagePtr message) {
          const auto self = weak.lock();
          const auto& request = static_cast<const HealthCheckRequest&>(*message);
          if (known_service(table, request.service())) return watch->add(self);
          // A service may come later, says the protocol; ours don't, but the stream stays as it asks.
          HealthCheckResponse response;
          response.set_status(HealthCheckResponse::SERVICE_UNKNOWN);
          self->write(response);
        };
        stream->on_cancel = [watch, raw] { watch->remove(raw); };
      }));
}

}  // namespace kv::api
