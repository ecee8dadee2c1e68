// A port's certificate, whom it trusts, and the rules for both; makes the streams of its connections.
//
// The files are read when the context is made and again when they have changed: a handshake looks at most once in
// kLookEveryMs at their times and sizes. Connections that exist go on as they are. New files that are no good (half
// written, a key that does not fit) are reported once, and what was read before goes on being used; so a rotation
// may replace the certificate and the key one after the other.
//
// Sessions are never resumed, so every connection is checked against the revocation list of its own time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "tls/options.h"
#include "tls/stream.h"

namespace kv::tls {

// All methods: any thread. No OpenSSL type is in this header.
class Context {
 public:
  static constexpr int64_t kLookEveryMs = 1000;

  // InvalidArgument says which file or option is no good. `name` says in logs whose TLS this is: "client", "peer".
  static Result<std::shared_ptr<Context>> create(const Options& options, std::string name);

  virtual ~Context() = default;

  // A stream on a connected socket that does not block, whose other side dialled us. The stream does not own `fd`,
  // and must not be used once it is closed.
  virtual std::unique_ptr<Stream> accept(int fd) = 0;
  // A stream to somebody whom we dialled as `host`, a name or an address without brackets, which its certificate must
  // be good for.
  virtual std::unique_ptr<Stream> dial(int fd, const std::string& host) = 0;

  // Whether those who dial must show a certificate.
  virtual bool asks_for_certificate() const = 0;
  virtual const Options& options() const = 0;
};

}  // namespace kv::tls
