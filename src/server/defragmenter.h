// Maintenance.Defragment: rewrites the files of the state, on a thread of its own, while the member goes on.
//
// A state that is replaced meanwhile (a snapshot is installed) is no danger: the work goes on in the files of the old
// one, which nobody reads any more, so that swap and defragmentation never meet (etcd 14685, etcd's pull request
// 20653). It is stopped then, because it is of no use.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/status.h"

namespace kv::server {

class Defragmenter {
 public:
  using Done = std::function<void(Status)>;
  // The work itself; ends soon after `cancel` turned true.
  using Work = std::function<Status(std::atomic<bool>& cancel)>;

  // How many may wait for the one that runs; beyond: "etcdserver: too many requests".
  static constexpr size_t kWaitersMax = 64;

  explicit Defragmenter(Work work) : work_(std::move(work)) {}
  ~Defragmenter() { stop(); }
  Defragmenter(const Defragmenter&) = delete;
  Defragmenter& operator=(const Defragmenter&) = delete;

  // `done` is called once, from any thread. While one runs no second begins: whoever asks meanwhile is answered with
  // it.
  void run(Done done);

  // The state is another from now on: what runs is stopped, and who waits for it hears so (Unavailable). Does not wait.
  void state_replaced();

  // Waits for the work to end; those who wait hear that the server has stopped.
  void stop();

 private:
  void work();

  const Work work_;
  std::atomic<bool> cancel_{false};
  std::mutex mutex_;  // guards all below
  bool stopped_ = false;
  bool running_ = false;
  std::vector<Done> waiting_;
  std::thread thread_;  // of the last run
};

}  // namespace kv::server
