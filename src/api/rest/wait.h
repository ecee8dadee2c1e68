// GET /v2/keys/...?wait=true: an answer at the next change, or a stream of them; as Server-Sent Events for browsers.
// The changes are the key space's own history, so only compaction ends what can be asked for.
#pragma once

#include <memory>

#include "api/net/http.h"
#include "api/rest/form.h"
#include "server/member.h"

namespace kv::api {

// Why a call was not answered, in v2's terms.
HttpResponse node_failure(const Status& status, uint64_t cluster_id);

// Answers the exchange. `member` must outlive it. On the exchange's I/O thread.
void open_wait(server::Member& member, const std::shared_ptr<HttpExchange>& exchange, CallPtr call, NodeCall request,
               std::shared_ptr<std::atomic<int64_t>> waits);

}  // namespace kv::api
