// What a client and its views share beside the calls: streams and threads, each made when first asked for. Internal.
#pragma once

#include <memory>
#include <mutex>

#include "client/async_calls.h"
#include "client/calls.h"
#include "client/keep_alive_stream.h"
#include "client/loop.h"
#include "client/poller.h"
#include "client/watch_stream.h"

namespace kv::client {

struct Streams {
  Streams() = default;
  // With the last client that has them. No callback runs any more when it returns.
  ~Streams() {
    if (async) async->stop();
    if (watches) watches->stop();
    if (keep_alives) keep_alives->stop();
    if (callbacks) callbacks->stop();
  }
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  std::mutex mutex{};  // guards the pointers
  std::shared_ptr<Poller> poller{};
  std::shared_ptr<Loop> callbacks{};
  std::shared_ptr<WatchStream> watches{};
  std::shared_ptr<KeepAliveStream> keep_alives{};
  std::shared_ptr<AsyncCalls> async{};

  template <typename Stream>
  std::shared_ptr<Stream> get(std::shared_ptr<Stream>& stream, const std::shared_ptr<Calls>& calls) {
    const std::lock_guard lock(mutex);
    if (callbacks == nullptr) callbacks = std::make_shared<Loop>("kv-callbacks");
    if (poller == nullptr) poller = std::make_shared<Poller>();
    if (stream == nullptr) stream = std::make_shared<Stream>(calls, poller, callbacks);
    return stream;
  }
};

}  // namespace kv::client
