// Changes of members, from the call to the log. Any member takes one; the leader decides (server/reconfiguration.h).
//
// Who was asked waits, like the caller of any command, for the change to be applied at home: the entry carries its id
// and its call's number. From the leader it needs to hear only that a change was refused, or that it must be asked
// again. A second attempt may be refused because the first one was made after all ("member not found"); so such a
// refusal counts only after this member has applied everything that was committed by then.
//
// The leader works off one change after the other: it waits until it has applied all that was committed, looks,
// proposes in the same term, and waits until that is applied. So what it looked at is what the change meets.
#pragma once

#include <absl/functional/any_invocable.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/status.h"
#include "kvdpb/peer.pb.h"
#include "server/engine.h"
#include "server/peer_calls.h"
#include "server/pending_calls.h"
#include "server/reconfiguration.h"
#include "store/store.h"

namespace kv::server {

class MemberChanges {
 public:
  struct Ports {
    store::Store* store = nullptr;
    Engine* engine = nullptr;
    PeerCalls* peers = nullptr;
    PendingCalls* calls = nullptr;
    const Clock* clock = nullptr;
    raft::NodeId self;
    // The peers whose stream stands.
    std::function<std::set<uint64_t>()> connected;
  };
  struct Options {
    ReconfigurationRules rules;
    // A cluster that seems unhealthy is looked at again for so long: who was just started, or answers late, is well.
    int64_t patience_ms = 1000;
    size_t max_waiting = 64;  // changes that wait here to be decided, or for a leader; beyond: "too many requests"
  };

  explicit MemberChanges(const Options& options) : options_(options) {}
  ~MemberChanges() { stop(); }

  // `ports` outlive stop().
  void start(const Ports& ports);
  // Ends all that wait with "etcdserver: server stopped", and joins.
  void stop();

  // With an error, or when the change is applied here; exactly once, from any thread.
  using Done = absl::AnyInvocable<void(Status, kvdpb::MembershipResponse&&)>;
  // `expires_ms` as for all calls that wait for a proposal. Any thread.
  void ask(kvdpb::MembershipRequest request, int64_t expires_ms, Done done);
  // A peer asks because it believes that this member leads. Any thread.
  void serve(kvdpb::MembershipRequest request, int64_t expires_ms, PeerCalls::Reply reply);

  // The engine's thread.
  void soft_state_changed(raft::SoftState soft, raft::Term term);
  // The store shows other members. Any thread.
  void members_changed();

 private:
  // Of a call here, until it is decided.
  struct Question {
    kvdpb::MembershipRequest request;
    int64_t expires_ms = 0;
    int attempts = 0;
    int64_t retry_ms = 0;
    std::shared_ptr<std::atomic<bool>> over;  // its change has been applied, or its time is up
  };
  using QuestionPtr = std::unique_ptr<Question>;
  // Of this leader, or of a peer who takes it for one.
  struct Decision {
    kvdpb::MembershipRequest request;
    int64_t expires_ms = 0;
    PeerCalls::Reply reply;
  };

  void attempt(QuestionPtr question);
  void answered(QuestionPtr question, const Status& way, kvdpb::PeerResponse&& answer);
  void refuse(QuestionPtr question, const Status& status);
  void end(const Question& question, const Status& status, kvdpb::MembershipResponse&& response = {});
  void wait(QuestionPtr question);

  void run();
  void decide(Decision decision);
  // With `term` the leader's; Unavailable when that is over or the time is up.
  Status change(raft::Term term, const kvdpb::MembershipRequest& request, int64_t expires_ms,
                kvdpb::MembershipResponse* response);
  Status read(int64_t expires_ms);
  Result<ClusterView> look(raft::Term term, int64_t expires_ms);
  Status check(raft::Term term, const kvdpb::MembershipRequest& request, int64_t expires_ms, ClusterView* view);
  Result<raft::Index> propose(raft::Term term, const kvdpb::MembershipRequest& request, const ClusterView& view,
                              int64_t expires_ms, kvdpb::MembershipResponse* response);
  // A leader that is to be removed lets another one do it, so that no write is in its hands when it goes: true when it
  // leads no more. False when nobody could take over in time; then it removes itself (thesis 4.2.2).
  bool hand_over(raft::Term term, const ClusterView& view, int64_t expires_ms);
  // Runs `work` on the engine's thread and waits for what it returns.
  template <typename T>
  Result<T> on_engine(int64_t expires_ms, std::function<Result<T>(raft::Core&)> work);
  // Waits, with the lock held, until `reached` holds; Unavailable when the term or the time is over.
  template <typename Predicate>
  Status wait_for(std::unique_lock<std::mutex>& lock, raft::Term term, int64_t expires_ms, Predicate reached);

  int64_t now_ms() const { return ports_.clock->monotonic_ms(); }

  const Options options_;
  Ports ports_;

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  raft::Term leading_;  // this member leads that term; 0: it leads none
  std::list<QuestionPtr> waiting_;
  std::deque<Decision> decisions_;
  bool retry_all_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace kv::server
