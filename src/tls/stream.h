// TLS of one connection, on a socket that does not block. Used by one thread at a time.
//
// The first read makes the handshake; or handshake() does, for who wants to know when it is done. Limits: a certificate
// chain of 64 KiB; no renegotiation; no resumption; 64 handshake messages in a second after it (KeyUpdate). How long a
// handshake may take is for the owner to say, who owns the socket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kv::tls {

struct Outcome {
  enum class State : uint8_t {
    kOk,
    kWantRead,   // again when the socket is readable
    kWantWrite,  // again when it is writable
    kClosed,     // the other side has ended the stream properly; only read() and handshake()
    kFailed,     // see Stream::failure()
  };
  State state = State::kOk;
  size_t bytes = 0;  // that were moved; above 0 exactly when kOk (but for handshake())
};

class Stream {
 public:
  virtual ~Stream() = default;

  virtual Outcome handshake() = 0;
  virtual bool ready() const = 0;  // the handshake is done
  // Moves what there is, up to `room` bytes, before it says that there is no more for now.
  virtual Outcome read(char* into, size_t room) = 0;
  // After kWantRead or kWantWrite it must be called with the same bytes again, at the same or another place.
  virtual Outcome write(const char* data, size_t size) = 0;
  // The last read() has left something, be it the end, that a wait for the socket may not tell of: read again.
  virtual bool has_pending() const = 0;
  // Tells the other side that no more is written. Best effort.
  virtual void end_write() = 0;

  // ---- once the handshake is done ----
  // What ALPN chose; empty: nothing was negotiated.
  virtual std::string_view protocol() const = 0;
  // The CN of a verified certificate of whom dialled, when client_cert_auth is set; empty when it has none. Nothing
  // without such a certificate.
  virtual const std::optional<std::string>& user() const = 0;
  // Whether the other side's verified certificate is good for one of these names or addresses. True as well when it
  // has shown none, or one that names no host at all (neither DNS names nor addresses): then there is nothing to
  // compare.
  virtual bool is_good_for(const std::vector<std::string>& hosts) const = 0;

  // ---- when it failed ----
  // Why, for a log.
  virtual std::string failure() const = 0;
  // The first bytes were those of a plain HTTP/1.x request.
  virtual bool was_plain_http() const = 0;
};

}  // namespace kv::tls
