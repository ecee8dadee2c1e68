#include "client/poller.h"

#include "base/thread.h"

namespace kv::client {

Poller::Poller()
    : thread_([this] {
        name_this_thread("kv-streams");
        void* tag = nullptr;
        bool ok = false;
        while (queue_.Next(&tag, &ok)) (*static_cast<Done*>(tag))(ok);
      }) {}

Poller::~Poller() {
  {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return streams_ == 0; });
  }
  queue_.Shutdown();
  thread_.join();
}

void Poller::stream_begins() {
  const std::lock_guard lock(mutex_);
  ++streams_;
}

void Poller::stream_ends() {
  // Notified under the lock: the destructor may be what waits.
  const std::lock_guard lock(mutex_);
  if (--streams_ == 0) idle_.notify_all();
}

}  // namespace kv::client
