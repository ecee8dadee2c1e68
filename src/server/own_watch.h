// A watch from inside the member, for what is built on watches here (locks, elections).
#pragma once

#include <functional>
#include <memory>

#include "etcdserverpb/rpc.pb.h"
#include "server/call.h"
#include "server/member.h"

namespace kv::server {

class OwnWatch {
 public:
  // Called with each response that has events; at last, once, with one that is `canceled` (compacted, refused), or with
  // null and the error that ended the stream. One at a time, on the hub's thread: it must not block, and may end the
  // watch. Kept until the watch is let go.
  using OnResponse = std::function<void(const Status&, const etcdserverpb::WatchResponse*)>;

  // `member` must outlive the watch. `call`: on whose behalf.
  static std::unique_ptr<OwnWatch> start(Member& member, CallPtr call, etcdserverpb::WatchCreateRequest request,
                                         OnResponse on_response);
  // Ends the watch. A call of on_response that has begun goes on; none begins afterwards.
  virtual ~OwnWatch() = default;
};

}  // namespace kv::server
