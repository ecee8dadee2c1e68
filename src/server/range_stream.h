// A Range that goes out in pieces: reads the next when the client has taken the ones before.
#pragma once

#include <functional>
#include <memory>

#include "etcdserverpb/rpc.pb.h"
#include "server/call.h"
#include "store/store.h"

namespace kv::server {

struct RangeStreamOptions {
  size_t piece_bytes = 1536 * 1024;  // what a piece grows to; as much again may wait for the client
  // Sets what the last piece's header has beside the revision.
  std::function<void(etcdserverpb::ResponseHeader*)> fill;
};

// Runs on the call's own thread, a piece a turn, until the cursor is done, the client is gone, or reading fails. Ends
// `sink`. The cursor, and with it the state that it pins, is let go at once when the stream ends in whichever way.
void run_range_stream(CallPtr call, std::unique_ptr<store::RangeCursor> cursor, RangeStreamOptions options,
                      std::shared_ptr<Sink<etcdserverpb::RangeStreamResponse>> sink);

}  // namespace kv::server
