#include "server/locks.h"

#include <utility>

#include "server/turn.h"

namespace kv::server {
namespace {

using v3lockpb::LockRequest;
using v3lockpb::LockResponse;
using v3lockpb::UnlockRequest;
using v3lockpb::UnlockResponse;

LockResponse locked(const Claim& claim, const etcdserverpb::ResponseHeader& header) {
  LockResponse response;
  *response.mutable_header() = header;
  response.set_key(claim.key);
  return response;
}

// Puts the claim, and waits for its turn unless that has come.
void contend(Member& member, const CallPtr& call, Claim claim, Done<LockResponse> done) {
  put_claim(member, call, std::move(claim), "",
            [&member, call, done = std::move(done)](Status put, Claimed claimed) mutable {
              if (!put.ok()) return done(std::move(put), {});
              const Claim& mine = claimed.claim;
              if (claimed.owner_revision == mine.revision) return done(Status(), locked(mine, claimed.header));
              Turn::wait(member, call, mine,
                         [&member, call, claim = mine, done = std::move(done)](
                             Status status, const etcdserverpb::ResponseHeader& header) mutable {
                           if (status.ok()) return done(Status(), locked(claim, header));
                           const bool gone = status.code() == Code::kNotFound;
                           if (!gone) withdraw(member, *call, claim);
                           done(gone ? Status(Code::kUnknown, "mutex: session is expired") : std::move(status), {});
                         });
            });
}

}  // namespace

void Locks::lock(CallPtr call, std::unique_ptr<LockRequest> request, Done<LockResponse> done) {
  CallPtr same = call;
  const int64_t lease = request->lease();
  with_lease(member_, std::move(same), lease,
             [this, call = std::move(call), request = std::move(request), done = std::move(done)](
                 Status status, int64_t granted) mutable {
               if (!status.ok()) return done(std::move(status), {});
               contend(member_, call, Claim::of(request->name(), granted), std::move(done));
             });
}

void Locks::unlock(CallPtr call, std::unique_ptr<UnlockRequest> request, Done<UnlockResponse> done) {
  auto deletion = std::make_unique<etcdserverpb::DeleteRangeRequest>();
  deletion->set_key(request->key());
  member_.delete_range(std::move(call), std::move(deletion),
                       [done = std::move(done)](Status status, etcdserverpb::DeleteRangeResponse&& deleted) mutable {
                         UnlockResponse response;
                         if (status.ok()) *response.mutable_header() = deleted.header();
                         done(std::move(status), std::move(response));
                       });
}

}  // namespace kv::server
