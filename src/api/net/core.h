// What all threads, connections and calls of one server share: its options, its calls with their counters, its
// routes. Does not change once the server listens, but for the counters.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/call_table.h"
#include "api/method.h"
#include "api/net/access.h"
#include "api/net/server.h"

namespace kv::api {

struct ServerCore {
  ServerCore(ServerOptions o, const CallTable& table, std::vector<Route> r);
  ~ServerCore();
  ServerCore(const ServerCore&) = delete;
  ServerCore& operator=(const ServerCore&) = delete;

  // Null when no row has that path.
  const Method* find_method(std::string_view path) const {
    const auto found = methods.find(path);
    return found == methods.end() ? nullptr : &found->second;
  }
  bool has_service(std::string_view path) const;

  void connection_opened();
  void connection_closed();
  // Waits until the last connection has closed, but no longer than that.
  void wait_for_no_connections(int64_t timeout_ms);

  const ServerOptions options;
  const std::vector<Route> routes;
  const AccessRules access;
  std::unordered_map<std::string_view, Method> methods;  // keys point into the rows
  std::atomic<size_t> connections{0};

 private:
  std::mutex mutex_;  // guards nothing but the wait
  std::condition_variable last_closed_;
};

}  // namespace kv::api
