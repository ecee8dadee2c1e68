// gRPC's interoperability test service as rows of a call table, so that the official clients' cases can be run
// against our server. For tests only.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "api/call_table.h"

namespace kv::test {

// Runs things later, on a thread of its own: the place of a member's engine in tests.
class Later {
 public:
  Later();
  ~Later();
  void run(std::chrono::microseconds after, std::function<void()> work);

 private:
  void loop();

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::multimap<std::chrono::steady_clock::time_point, std::function<void()>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

// `later` must outlive the table's use.
void add_test_service(api::CallTable& table, Later& later);

}  // namespace kv::test
