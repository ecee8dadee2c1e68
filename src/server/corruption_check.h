// Whether members that should have the same state have it: at start (--experimental-initial-corrupt-check), before this
// one serves anybody, and every --corrupt-check-time by the leader. What is compared is the store's hash of one
// revision, among members whose history begins at the same compact revision.
//
// A majority that agrees is right, and who differs is named. A member also differs when it has applied as much of the
// log as the asker and does not reach the revision: it has lost changes. No answer, or one that can't be compared, says
// nothing: no alarm is ever raised for it.
//
// Hashes are sums over the whole state: they are made on a thread of their own, and those that nobody waits for at a
// bounded rate.
#pragma once

#include <absl/functional/any_invocable.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"
#include "base/thread.h"
#include "kvdpb/peer.pb.h"
#include "server/peer_calls.h"
#include "store/store.h"

namespace kv::server {

// One member's answer, when it can be compared.
struct MemberHash {
  uint64_t member = 0;
  std::optional<uint32_t> hash;  // nothing: it falls short of the revision
};

// Who differs from the majority of `members`; {0} when some differ and no majority agrees, empty when all agree.
std::vector<uint64_t> who_differs(const std::vector<MemberHash>& answers, size_t members);

class CorruptionCheck {
 public:
  struct Options {
    int64_t interval_ms = 0;             // of the leader's check; 0: none
    size_t bytes_per_s = 64 << 20;       // read by checks
    int64_t answer_timeout_ms = 600000;  // a member may take so long for its hash
    int64_t behind_ms = 5000;            // how long a member that is behind is asked again
    size_t max_jobs = 256;               // hashes that wait; beyond: "etcdserver: too many requests"
  };
  struct Ports {
    const store::Store* store = nullptr;
    PeerCalls* peers = nullptr;
    const Clock* clock = nullptr;
    raft::NodeId self;
    std::function<std::vector<raft::NodeId>()> others;  // all members but this
    std::function<bool()> leads;
    std::function<void(uint64_t member)> corrupt;  // called once for each member that differs, in a check
  };

  explicit CorruptionCheck(const Options& options);
  ~CorruptionCheck() { stop(); }

  // `ports` outlive stop().
  void start(Ports ports);
  // Ends what waits with "etcdserver: server stopped", and joins.
  void stop();

  // The store's hash, made on another thread as fast as it goes. Any thread.
  using Hashed = absl::AnyInvocable<void(Result<store::HashResult>)>;
  void hash(int64_t revision, Hashed done);
  void hash_all(Hashed done);
  // A peer's question. Any thread.
  void serve(const kvdpb::StateHashRequest& request, PeerCalls::Reply reply);

  // Compares with all others that answer within `patience_ms`; blocks. DataLoss, with words for people, when some
  // differ and no majority has this member's state.
  Status check_at_start(int64_t patience_ms);

  // One check of the leader's, now; blocks. Tells Ports::corrupt.
  void check();

 private:
  using Job = absl::AnyInvocable<void(bool stopped)>;
  // One asked member; what it answered, if it did.
  struct Asked;

  bool push(Job job);
  void hash(int64_t revision, Histogram& seconds, Hashed done);
  // The store's, timed.
  Result<store::HashResult> hash_now(int64_t revision, const store::HashPace& pace, Histogram& seconds) const;
  void work();
  void watch();
  // Reads on at the bounded rate; false once it shall stop.
  store::HashPace pace();
  // Asks the others for the hash that is comparable to `own`, until `deadline_ms` for those that are away or behind.
  std::vector<MemberHash> ask(const std::vector<raft::NodeId>& others, const store::HashResult& own,
                              int64_t deadline_ms);
  // False once it shall stop.
  bool sleep(int64_t ms);

  const Options options_;
  Ports ports_;
  Inbox<Job> jobs_;
  std::thread worker_;
  std::thread watcher_;
  std::mutex mutex_;  // guards stopping_
  std::condition_variable changed_;
  bool stopping_ = false;
};

}  // namespace kv::server
