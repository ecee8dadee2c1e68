#include "server/defragmenter.h"

#include <utility>

#include "base/thread.h"
#include "server/errors.h"

namespace kv::server {

void Defragmenter::run(Done done) {
  Status refused;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) {
      refused = errors::stopped();
    } else if (waiting_.size() >= kWaitersMax) {
      refused = errors::too_many_requests();
    } else {
      waiting_.push_back(std::move(done));
      if (running_) return;
      running_ = true;
      cancel_ = false;
      if (thread_.joinable()) thread_.join();  // it has ended
      thread_ = std::thread([this] { work(); });
    }
  }
  if (!refused.ok()) done(std::move(refused));
}

void Defragmenter::work() {
  name_this_thread("kvd-defrag");
  Status status = work_(cancel_);
  std::vector<Done> waiting;
  {
    const std::lock_guard lock(mutex_);
    if (status.code() == Code::kCanceled) status = stopped_ ? errors::stopped() : errors::state_replaced();
    waiting.swap(waiting_);
    running_ = false;
  }
  for (Done& done : waiting) done(status);
}

void Defragmenter::state_replaced() {
  const std::lock_guard lock(mutex_);
  if (running_) cancel_ = true;
}

void Defragmenter::stop() {
  std::thread last;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    cancel_ = true;
    last.swap(thread_);
  }
  if (last.joinable()) last.join();
}

}  // namespace kv::server
