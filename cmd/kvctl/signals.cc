#include "kvctl/signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/check.h"

namespace kv::kvctl {

Signals::Signals() {
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, SIGINT);
  sigaddset(&ours, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &ours, &before_);
  signals_ = ::signalfd(-1, &ours, SFD_CLOEXEC);
  end_ = ::eventfd(0, EFD_CLOEXEC);
  KV_CHECK(signals_ >= 0 && end_ >= 0, "no file descriptor for signals");
  thread_ = std::thread([this] {
    std::array<pollfd, 2> files{pollfd{signals_, POLLIN, 0}, pollfd{end_, POLLIN, 0}};
    while (::poll(files.data(), files.size(), -1) < 0 && errno == EINTR) {
    }
    // The signal stays pending: further ones change nothing.
    if ((files[0].revents & POLLIN) != 0) stop_.request_stop();
  });
}

Signals::~Signals() {
  const uint64_t one = 1;
  KV_CHECK(::write(end_, &one, sizeof one) == sizeof one, "the thread for signals can't be ended");
  thread_.join();
  if (received()) {
    signalfd_siginfo taken;
    (void)!::read(signals_, &taken, sizeof taken);  // else it would end us now
  }
  ::close(signals_);
  ::close(end_);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace kv::kvctl
