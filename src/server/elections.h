// v3electionpb.Election: contenders for a name, of whom one leads at a time and says a value; everybody else may ask who
// it is, or observe. The keys are those of server/turn.h, so a contender that uses Go's concurrency package or the
// client library takes part in the same election.
#pragma once

#include "server/call.h"
#include "server/member.h"
#include "server/turn.h"
#include "v3electionpb/v3election.pb.h"

namespace kv::server {

// Errors of its own are Unknown with etcd's texts: "election: no leader", "election: not leader",
// "\"leader\" field must be provided". `member` must outlive it, its calls and its streams.
class Elections {
 public:
  explicit Elections(Member& member) : member_(member) {}

  // Answers once the lease leads, with the key and the revision to go on by. lease 0: one of 60 s is granted. A
  // contender that waits, or leads, and campaigns again says its new value with it.
  void campaign(CallPtr call, std::unique_ptr<v3electionpb::CampaignRequest> request,
                Done<v3electionpb::CampaignResponse> done);
  // A new value, without another election; only if the key of `leader` still stands.
  void proclaim(CallPtr call, std::unique_ptr<v3electionpb::ProclaimRequest> request,
                Done<v3electionpb::ProclaimResponse> done);
  void leader(CallPtr call, std::unique_ptr<v3electionpb::LeaderRequest> request,
              Done<v3electionpb::LeaderResponse> done);
  // That the key is there no more is no error, as with etcd.
  void resign(CallPtr call, std::unique_ptr<v3electionpb::ResignRequest> request,
              Done<v3electionpb::ResignResponse> done);

  // Every leader and each of its values, in order, from the present on; a client that reads slowly may miss some, but
  // never the last. Ends when `call` is cancelled, or with what ended the watch.
  void observe(CallPtr call, const v3electionpb::LeaderRequest& request,
               std::shared_ptr<Sink<v3electionpb::LeaderResponse>> sink);

 private:
  void campaign_on(const CallPtr& call, const v3electionpb::CampaignRequest& request, Claimed claimed,
                   Done<v3electionpb::CampaignResponse> done);

  Member& member_;
};

}  // namespace kv::server
