// A plain HTTP request on an HTTP/2 stream.
#pragma once

#include <memory>

#include "api/net/core.h"
#include "api/net/http2_session.h"

namespace kv::api {

// Takes the request's head. The exchange belongs to itself until Http2Stream::on_closed.
Http2Stream* open_http2_exchange(const std::shared_ptr<ServerCore>& core, Http2Session& session, RequestHead& head);

}  // namespace kv::api
