// Leases as a member serves them: it drives the Lessor (lessor.h) while this member leads, and answers keep-alives and
// questions for a lease's time, here or through the leader.
//
// A keep-alive is answered after a quorum round that began after it arrived (Engine::read; many share one), so a leader
// that was replaced without noticing answers none (etcd 12528, 15247). Proposals go through Engine::run, where the
// engine's own thread looks whether this member still leads that term: none waits for another leader.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "kvdpb/peer.pb.h"
#include "server/applier.h"
#include "server/call.h"
#include "server/engine.h"
#include "server/lessor.h"
#include "server/peer_calls.h"
#include "store/store.h"

namespace kv::server {

class LeaseCalls final : public LeaseObserver {
 public:
  struct Ports {
    store::Store* store = nullptr;
    Engine* engine = nullptr;
    PeerCalls* peers = nullptr;
    const Clock* clock = nullptr;
    raft::NodeId self;
    // Runs what reads much from the store, soon and on another thread; false when it can't.
    std::function<bool(absl::AnyInvocable<void()>)> run_slowly;
  };
  struct Options {
    Lessor::Options lessor;
    size_t max_questions = 1 << 16;  // that wait here; beyond: "etcdserver: too many requests"
  };

  explicit LeaseCalls(const Options& options) : options_(options), lessor_(options.lessor) {}
  ~LeaseCalls() override { stop(); }

  // `ports` outlive stop(). Entries may be applied before start(), not calls made.
  void start(const Ports& ports);
  // Ends all that wait with "etcdserver: server stopped", and joins.
  void stop();

  // A call's answer: the status a client gets, and the response without its header.
  using Done = absl::AnyInvocable<void(Status, kvdpb::PeerResponse&&)>;
  // Any thread. `call` may be null; when it is cancelled, nobody waits for the answer any more.
  void ask(kvdpb::PeerRequest request, CallPtr call, int64_t expires_ms, Done done);
  // A peer asks because it believes that this member leads. Any thread.
  void serve(kvdpb::PeerRequest request, int64_t expires_ms, PeerCalls::Reply reply);

  // Leases as etcd lists them: on the leader those that end first come first. Any thread.
  std::vector<store::Lease> leases() const;

  // The engine's thread, before anything that follows from it.
  void soft_state_changed(raft::SoftState soft, raft::Term term);
  // The thread that applies.
  void applied(const LeaseNews& news) override;

 private:
  struct Question {
    kvdpb::PeerRequest request;
    CallPtr call;
    int64_t expires_ms = 0;
    bool of_peer = false;
    Done done;
    int64_t retry_ms = 0;  // while it waits
    Status last_trouble;   // what it ends with when its time is up
    int64_t lease() const {
      return request.has_lease_keep_alive() ? request.lease_keep_alive().id() : request.lease_time_to_live().id();
    }
  };
  using QuestionPtr = std::unique_ptr<Question>;

  void attempt(QuestionPtr question);
  void attempt_here(QuestionPtr question);
  void ask_leader(raft::NodeId leader, QuestionPtr question);
  void confirmed(QuestionPtr question);
  void keep_alive(QuestionPtr question);
  void time_to_live(QuestionPtr question);
  // Puts a question aside until `retry_ms`, or until something happens to its lease or to the leader.
  void wait(QuestionPtr question, int64_t retry_ms, Status trouble);
  void answer(QuestionPtr question, Status status, kvdpb::PeerResponse&& response = {});

  void run();
  // With mutex_ held: what is to be tried again now, and when the next one is.
  std::list<QuestionPtr> take_due(int64_t now, int64_t* next_ms);
  void confirm_and_propose();
  void round_is_over(const Status& status);
  // With mutex_ held, so that commands leave in the order of their numbers.
  void propose(const std::vector<kvdpb::Command>& commands);

  int64_t now_ms() const { return ports_.clock->monotonic_ms(); }

  const Options options_;
  Ports ports_;

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  Lessor lessor_;
  raft::Term leading_;  // this member leads that term, whether the lessor does already or not; 0: it leads none
  std::vector<int64_t> to_clear_;
  std::list<QuestionPtr> waiting_;
  bool retry_all_ = false;
  int64_t round_not_before_ms_ = 0;
  bool round_asked_ = false;  // a round that confirms leadership for proposals is under way
  bool running_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace kv::server
