#include "server/elections.h"

#include <mutex>
#include <optional>
#include <utility>

#include "server/own_watch.h"
#include "server/turn.h"

namespace kv::server {
namespace {

using namespace v3electionpb;
using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using etcdserverpb::ResponseHeader;
using etcdserverpb::TxnRequest;
using etcdserverpb::TxnResponse;
using etcdserverpb::WatchCreateRequest;
using etcdserverpb::WatchResponse;

// Values that wait for a slow observer; beyond it only the newest is kept.
constexpr size_t kObserverBytes = 1 << 20;

Status no_leader() { return {Code::kUnknown, "election: no leader"}; }
Status not_leader() { return {Code::kUnknown, "election: not leader"}; }
Status leader_missing() { return {Code::kUnknown, "\"leader\" field must be provided"}; }

// A transaction for whoever still has the key.
std::unique_ptr<TxnRequest> if_still_there(const std::string& key, int64_t revision) {
  auto txn = std::make_unique<TxnRequest>();
  *txn->add_compare() = created_at(key, revision);
  return txn;
}

std::unique_ptr<TxnRequest> proclamation(const std::string& key, int64_t revision, int64_t lease,
                                         const std::string& value) {
  auto txn = if_still_there(key, revision);
  auto* put = txn->add_success()->mutable_request_put();
  put->set_key(key);
  put->set_value(value);
  put->set_lease(lease);
  return txn;
}

void wait_to_lead(Member& member, const CallPtr& call, const std::string& name, const Claim& claim,
                  const ResponseHeader& header, Done<CampaignResponse> done) {
  Turn::wait(
      member, call, claim,
      [&member, call, name, claim, header, done = std::move(done)](Status status, const ResponseHeader&) mutable {
        CampaignResponse response;
        if (!status.ok()) {
          if (status.code() != Code::kNotFound) withdraw(member, *call, claim);
          return done(std::move(status), std::move(response));
        }
        *response.mutable_header() = header;
        LeaderKey* leader = response.mutable_leader();
        leader->set_name(name);
        leader->set_key(claim.key);
        leader->set_rev(claim.revision);
        leader->set_lease(claim.lease);
        done(Status(), std::move(response));
      });
}

// One observe call. The oldest key under the prefix leads; its puts are its values; when it goes, the next is looked
// for.
class Observer : public std::enable_shared_from_this<Observer> {
 public:
  Observer(Member& member, CallPtr call, std::string prefix, std::shared_ptr<Sink<LeaderResponse>> sink)
      : member_(member), call_(std::move(call)), prefix_(std::move(prefix)), sink_(std::move(sink)) {}

  void start() {
    call_->on_cancel([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->end({Code::kCanceled, "etcdserver: request canceled"});
    });
    look();
  }

 private:
  void look() {
    auto range = std::make_unique<RangeRequest>(oldest_of(prefix_));
    member_.range(call_, std::move(range), [self = shared_from_this()](const Status& status, RangeResponse&& response) {
      if (!status.ok()) return self->end(status);
      const int64_t revision = response.header().revision();
      WatchCreateRequest request;
      request.set_start_revision(revision + 1);
      if (response.kvs_size() == 0) {
        // Nobody contends: the first to come leads.
        request.set_key(self->prefix_);
        request.set_range_end(prefix_end(self->prefix_));
        request.add_filters(WatchCreateRequest::NODELETE);
        return self->watch(std::move(request), false);
      }
      self->say(response.header(), response.kvs(0));
      request.set_key(response.kvs(0).key());
      self->watch(std::move(request), true);
    });
  }

  // Of the leader's key: says its values until it is deleted. Of the prefix: until there is a key. Then looks again.
  void watch(WatchCreateRequest&& request, bool of_leader) {
    uint64_t look;
    {
      const std::lock_guard lock(mutex_);
      look = ++looks_;
    }
    auto watch = OwnWatch::start(
        member_, call_, std::move(request),
        [self = shared_from_this(), look, of_leader](const Status& status, const WatchResponse* response) {
          if (response == nullptr) return self->end(status);
          {
            const std::lock_guard lock(self->mutex_);
            if (self->looks_ != look) return;
          }
          bool again = response->canceled();
          for (const mvccpb::Event& event : response->events()) {
            again = again || !of_leader || event.type() == mvccpb::Event::DELETE;
            if (again) break;
            self->say(response->header(), event.kv());
          }
          if (!again) return;
          {
            const std::lock_guard lock(self->mutex_);
            ++self->looks_;
          }
          self->look();
        });
    const std::lock_guard lock(mutex_);
    if (!over_) watch_.swap(watch);
  }

  void say(const ResponseHeader& header, const mvccpb::KeyValue& kv) {
    LeaderResponse response;
    *response.mutable_header() = header;
    *response.mutable_kv() = kv;
    {
      const std::lock_guard lock(mutex_);
      if (over_) return;
      if (newest_ || sink_->queued_bytes() > kObserverBytes) {
        const bool waits = newest_.has_value();
        newest_ = std::move(response);
        if (waits) return;
      } else {
        (void)sink_->write(response);
        return;
      }
    }
    sink_->on_drained(kObserverBytes / 2, [self = shared_from_this()] {
      const std::lock_guard lock(self->mutex_);
      if (!self->over_ && self->newest_) (void)self->sink_->write(*self->newest_);
      self->newest_.reset();
    });
  }

  void end(const Status& status) {
    std::unique_ptr<OwnWatch> watch;  // goes outside the lock
    {
      const std::lock_guard lock(mutex_);
      if (over_) return;
      over_ = true;
      watch.swap(watch_);
    }
    sink_->finish(status);
  }

  Member& member_;
  const CallPtr call_;
  const std::string prefix_;
  const std::shared_ptr<Sink<LeaderResponse>> sink_;

  // The watch holds this object, and is let go by end(): so it lives as long as it observes.
  std::mutex mutex_;  // guards all below
  bool over_ = false;
  uint64_t looks_ = 0;
  std::optional<LeaderResponse> newest_;  // for a slow observer
  std::unique_ptr<OwnWatch> watch_;
};

}  // namespace

void Elections::campaign(CallPtr call, std::unique_ptr<CampaignRequest> request, Done<CampaignResponse> done) {
  CallPtr same = call;
  const int64_t lease = request->lease();
  with_lease(member_, std::move(same), lease,
             [this, call = std::move(call), request = std::move(request), done = std::move(done)](
                 Status leased, int64_t granted) mutable {
               if (!leased.ok()) return done(std::move(leased), {});
               const std::string value = request->value();
               Claim claim = Claim::of(request->name(), granted);
               put_claim(member_, call, std::move(claim), value,
                         [this, call, request = std::move(request), done = std::move(done)](Status status,
                                                                                            Claimed claimed) mutable {
                           if (!status.ok()) return done(std::move(status), {});
                           campaign_on(call, *request, std::move(claimed), std::move(done));
                         });
             });
}

void Elections::campaign_on(const CallPtr& call, const CampaignRequest& request, Claimed claimed,
                            Done<CampaignResponse> done) {
  const Claim claim = claimed.claim;
  if (claimed.is_new || claimed.value_there == request.value())
    return wait_to_lead(member_, call, request.name(), claim, claimed.header, std::move(done));
  // It contends already, with another value.
  member_.txn(call, proclamation(claim.key, claim.revision, claim.lease, request.value()),
              [this, call, name = request.name(), claim, done = std::move(done)](Status status,
                                                                                 TxnResponse&& response) mutable {
                if (status.ok() && !response.succeeded()) status = not_leader();
                if (!status.ok()) return done(std::move(status), {});
                wait_to_lead(member_, call, name, claim, response.header(), std::move(done));
              });
}

void Elections::proclaim(CallPtr call, std::unique_ptr<ProclaimRequest> request, Done<ProclaimResponse> done) {
  if (!request->has_leader()) return done(leader_missing(), {});
  const LeaderKey& leader = request->leader();
  member_.txn(std::move(call), proclamation(leader.key(), leader.rev(), leader.lease(), request->value()),
              [done = std::move(done)](Status status, TxnResponse&& response) mutable {
                if (status.ok() && !response.succeeded()) status = not_leader();
                ProclaimResponse answer;
                if (status.ok()) *answer.mutable_header() = response.header();
                done(std::move(status), std::move(answer));
              });
}

void Elections::leader(CallPtr call, std::unique_ptr<LeaderRequest> request, Done<LeaderResponse> done) {
  member_.range(std::move(call), std::make_unique<RangeRequest>(oldest_of(request->name() + "/")),
                [done = std::move(done)](Status status, RangeResponse&& response) mutable {
                  if (status.ok() && response.kvs_size() == 0) status = no_leader();
                  LeaderResponse answer;
                  if (status.ok()) {
                    *answer.mutable_header() = response.header();
                    *answer.mutable_kv() = std::move(*response.mutable_kvs(0));
                  }
                  done(std::move(status), std::move(answer));
                });
}

void Elections::resign(CallPtr call, std::unique_ptr<ResignRequest> request, Done<ResignResponse> done) {
  if (!request->has_leader()) return done(leader_missing(), {});
  auto txn = if_still_there(request->leader().key(), request->leader().rev());
  txn->add_success()->mutable_request_delete_range()->set_key(request->leader().key());
  member_.txn(std::move(call), std::move(txn), [done = std::move(done)](Status status, TxnResponse&& response) mutable {
    ResignResponse answer;
    if (status.ok()) *answer.mutable_header() = response.header();
    done(std::move(status), std::move(answer));
  });
}

void Elections::observe(CallPtr call, const LeaderRequest& request, std::shared_ptr<Sink<LeaderResponse>> sink) {
  std::make_shared<Observer>(member_, std::move(call), request.name() + "/", std::move(sink))->start();
}

}  // namespace kv::server
