// How a context makes a stream. Internal.
#pragma once

#include <memory>
#include <string>

#include "tls/handle.h"
#include "tls/stream.h"

namespace kv::tls {

struct StreamRole {
  bool dialled = false;     // we dialled
  std::string host{};       // whom, when we did
  bool names_user = false;  // a verified CN is a user's name
};

// `kept` is what the context refers to; it lives as long as the stream.
std::unique_ptr<Stream> make_stream(SSL_CTX* context, std::shared_ptr<const void> kept, int fd, const StreamRole& role);

}  // namespace kv::tls
