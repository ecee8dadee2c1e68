// A session: a lease that is kept alive for as long as the program that holds locks and stands in elections runs.
//
// Session, Mutex and Election are the recipes of etcd's client/v3/concurrency, with the same keys: a participant's
// key is the name, '/', and its lease's id in hexadecimal; who has the smallest create revision under a name is first.
// So programs in Go and in C++ can wait for one another. What they promise is told in mutex.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <utility>

#include "base/status.h"
#include "client/client.h"

namespace kv::client {

struct SessionOptions {
  int64_t ttl_s = 60;  // how long after this program's death others have to wait
  int64_t lease = 0;   // a lease that there is already; 0: a new one
};

// The client must outlive it, and it its mutexes and elections. Any thread may call any function.
class Session {
 public:
  static Result<std::unique_ptr<Session>> create(Client& client, const SessionOptions& options = {});
  // As close(), whose answer is lost.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Client& client() { return client_; }
  int64_t lease() const { return alive_.lease(); }

  // Whether the lease is lost, as KeepAlive says it; what was held by it must then be taken for somebody else's.
  bool lost() const { return alive_.lost(); }
  std::stop_token lost_token() const { return alive_.lost_token(); }
  Status wait_lost(const Wait& wait = {}) const { return alive_.wait_lost(wait); }

  // Revokes the lease: locks are free and candidacies over at once. Only the first call does something.
  Status close();
  // Leaves the lease to another session, or to expiry: the destructor no longer revokes it, and keep-alives end with
  // this object.
  int64_t orphan();

 private:
  Session(Client& client, KeepAlive alive) : client_(client), alive_(std::move(alive)) {}

  Client& client_;
  KeepAlive alive_;
  std::atomic<bool> revokes_{true};
};

}  // namespace kv::client
