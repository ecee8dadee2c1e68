#include "client/poller.h"

#include "base/thread.h"

#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#endif

namespace kv::client {

// gRPC's queue orders what is written before an operation and what is done at its end; but Debian's libgrpc is not built
// with the thread sanitizer, which has to be told.
void* Poller::tag(Done& done) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(&done);
#endif
  return &done;
}

Poller::Poller()
    : thread_([this] {
        name_this_thread("kv-streams");
        void* tag = nullptr;
        bool ok = false;
        while (queue_.Next(&tag, &ok)) {
#if defined(__SANITIZE_THREAD__)
          __tsan_acquire(tag);
#endif
          (*static_cast<Done*>(tag))(ok);
        }
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
