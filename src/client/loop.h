// One thread that runs tasks in the order of their time. Internal.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace kv::client {

using SteadyTime = std::chrono::steady_clock::time_point;

class Loop {
 public:
  using Task = std::function<void()>;

  explicit Loop(std::string name);
  ~Loop() { stop(); }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Any thread. After stop(), tasks are dropped. Who posts bounds what waits: a stream one message, a watch or a
  // lease one callback.
  void post(Task task) { post_at(std::chrono::steady_clock::now(), std::move(task)); }
  void post_at(SteadyTime time, Task task);

  // Runs what is due, drops the rest and what is posted from now on; no task runs any more when it returns. Not for
  // tasks to call.
  void stop();

 private:
  void run(const std::string& name);

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::multimap<SteadyTime, Task> tasks_;  // tasks of one time in the order in which they came
  bool stopped_ = false;
  std::thread thread_;
};

// The door to a user's callbacks: closed, none runs.
class CallbackGate {
 public:
  template <typename Callback>
  void run(Callback&& callback) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      runner_ = std::this_thread::get_id();
    }
    callback();
    {
      const std::lock_guard lock(mutex_);
      runner_ = {};
    }
    done_.notify_all();
  }
  // Waits for the callback that runs, unless it is the caller.
  void close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    if (runner_ == std::this_thread::get_id()) return;
    done_.wait(lock, [this] { return runner_ == std::thread::id(); });
  }

 private:
  std::mutex mutex_;  // guards all below
  std::condition_variable done_;
  bool closed_ = false;
  std::thread::id runner_{};  // none: no callback runs
};

}  // namespace kv::client
