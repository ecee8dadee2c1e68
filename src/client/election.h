// An election: of all sessions that stand, the first in the order of creation leads, with a value for others to see.
//
//   Election election(**session, "/services/scheduler");
//   if (Status s = election.campaign("10.0.0.7:8080"); !s.ok()) return s;   // leads from here on
//
// What is said of locks in mutex.h holds here: a leader that was cut off learns late that it no longer leads. Guard
// its writes with is_leader(), or with revision() as fencing token.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "client/session.h"
#include "client/txn.h"

namespace kv::client {

// A leader and its value, as of header.revision.
struct Leadership {
  ResponseHeader header{};
  KeyValue kv{};
};

// Who leads, from now on: each leader and each value that one proclaims, the newest for certain, not all of those
// between. One thread at a time; the client must outlive it.
class ElectionObserver {
 public:
  ElectionObserver(Client& client, std::string_view name);

  // The current leader at first, then each change; waits for one. An election without a leader is waited out.
  Result<Leadership> next(const Wait& wait = {});

 private:
  Result<std::optional<Leadership>> look(const Wait& wait);
  Result<std::optional<Leadership>> follow(const Wait& wait);

  Client& client_;
  const std::string prefix_;
  std::optional<Watcher> watcher_{};  // of the leader's key, or of all while there is none
  bool has_leader_ = false;
  std::deque<Leadership> ready_{};
};

// One thread at a time; the session must outlive it.
class Election {
 public:
  // Keys are put under `name` + '/'. Nothing is sent yet.
  Election(Session& session, std::string_view name);
  // Resigns if we lead or stand, and gives up after five seconds; the answer is lost.
  ~Election();
  Election(const Election&) = delete;
  Election& operator=(const Election&) = delete;

  // Stands with `value`, and waits until we lead. Fails as Mutex::lock() does, with "election: session is expired".
  Status campaign(std::string_view value, const Wait& wait = {});
  // Changes a leader's value. FailedPrecondition "election: not leader" when we aren't one (any more).
  Status proclaim(std::string_view value);
  // Ends our leadership; nothing to do without one. While members fail it goes on trying, until the session is lost.
  Status resign(const Wait& wait = {});

  // The current leader. NotFound "election: no leader" when there is none.
  Result<Leadership> leader(const CallOptions& call = {});
  ElectionObserver observe() { return ElectionObserver(session_.client(), name_); }

  // Holds in a transaction as long as we lead.
  Compare is_leader() const;
  const std::string& key() const { return key_; }
  // The fencing token: who leads later has a larger one. 0 when we don't stand.
  int64_t revision() const { return revision_; }
  const ResponseHeader& header() const { return header_; }

 private:
  void clear();

  Session& session_;
  const std::string name_;
  const std::string prefix_;
  std::string key_{};
  int64_t revision_ = 0;
  ResponseHeader header_{};
};

}  // namespace kv::client
