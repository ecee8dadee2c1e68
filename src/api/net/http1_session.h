// HTTP/1.1 by Boost.Beast, whose headers stay in http1_session.cc. One request at a time; what a client pipelines
// waits its turn.
#pragma once

#include <memory>

#include "api/net/core.h"
#include "api/net/session.h"

namespace kv::api {

std::unique_ptr<Session> make_http1_session(std::shared_ptr<ServerCore> core, SessionHost& host);

}  // namespace kv::api
