#include "client/loop.h"

#include <utility>

#include "base/check.h"
#include "base/thread.h"

namespace kv::client {

Loop::Loop(std::string name) : thread_([this, name = std::move(name)] { run(name); }) {}

void Loop::post_at(SteadyTime time, Task task) {
  bool first;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    const auto at = tasks_.emplace(time, std::move(task));
    first = at == tasks_.begin();
  }
  if (first) changed_.notify_one();
}

void Loop::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_one();
  KV_CHECK(thread_.get_id() != std::this_thread::get_id(), "a client was destroyed by one of its own callbacks");
  if (thread_.joinable()) thread_.join();
  tasks_.clear();
}

void Loop::run(const std::string& name) {
  name_this_thread(name);
  std::unique_lock lock(mutex_);
  for (;;) {
    const bool due = !tasks_.empty() && tasks_.begin()->first <= std::chrono::steady_clock::now();
    if (!due) {
      if (stopped_) return;
      if (tasks_.empty()) {
        changed_.wait(lock);
      } else {
        changed_.wait_until(lock, SteadyTime(tasks_.begin()->first));
      }
      continue;
    }
    auto node = tasks_.extract(tasks_.begin());
    lock.unlock();
    node.mapped()();
    node = {};
    lock.lock();
  }
}

}  // namespace kv::client
