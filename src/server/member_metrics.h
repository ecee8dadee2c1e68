// What one member shows of itself to Prometheus, under etcd's names where etcd has one. Nearly all of it is asked for
// when somebody reads the metrics, so it costs the member nothing in between.
//
// Of several members in one process (tests) the youngest is shown.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "raft/transport.h"
#include "raft/types.h"
#include "server/engine.h"
#include "server/pending_calls.h"
#include "store/store.h"
#include "store/watch_hub_thread.h"

namespace kv::server {

class MemberMetrics {
 public:
  // All of it must outlive this object. The functions are called from any thread.
  struct Sources {
    uint64_t id;
    std::string data_dir;
    const store::Store& store;
    const raft::LogStore& log;
    const raft::Transport& transport;
    const Engine& engine;
    const PendingCalls& calls;
    const std::atomic<uint64_t>& term;
    const store::WatchHubThread& watches;
    // --quota-backend-bytes; 0: there is none.
    int64_t quota_bytes = 0;
  };
  explicit MemberMetrics(const Sources& sources);

 private:
  void gauge(const std::string& name, const std::string& help, std::function<double()> read);
  void serve_consensus();
  void serve_store();
  void serve_versions();
  void serve_peers();
  // The store's, at most so old that one reading of the metrics asks for them once.
  const store::StoreStats& stats();
  double quota_bytes();

  const Sources sources_;
  // Used by the callbacks alone, of which one runs at a time.
  store::StoreStats stats_;
  int64_t stats_until_ms_ = INT64_MIN;
  std::vector<std::shared_ptr<void>> handles_;  // last: what they call uses the above
};

}  // namespace kv::server
