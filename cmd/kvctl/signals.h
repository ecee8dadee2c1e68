// SIGINT and SIGTERM as a request to stop.
#pragma once

#include <signal.h>

#include <stop_token>
#include <thread>

namespace kv::kvctl {

// While it lives, the two signals don't end the process. Made before other threads are, since signals are held back
// thread by thread, and a new thread does as its maker does.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // A stop is requested once a signal has come.
  std::stop_token token() const { return stop_.get_token(); }
  bool received() const { return stop_.stop_requested(); }

 private:
  sigset_t before_{};
  int signals_ = -1;
  int end_ = -1;
  std::stop_source stop_{};
  std::thread thread_{};
};

}  // namespace kv::kvctl
