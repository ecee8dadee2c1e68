// A protocol's half of a connection: bytes in, bytes out, and no I/O. The connection owns the session, reads and
// writes the socket for it, and is all that a session knows of the world below.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace kv::api {

class IoThread;

// What a session asks of its connection. Lives longer than the session.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  virtual IoThread& thread() = 0;
  virtual const std::string& peer() const = 0;
  // See Socket.
  virtual bool secure() const = 0;
  virtual const std::optional<std::string>& certificate_user() const = 0;
  // There is something to produce(), or finished() has become true. It is done when the turn ends.
  virtual void want_write() = 0;
  // Close at once, without sending what waits: the peer is beyond a limit. Done when the turn ends.
  virtual void give_up() = 0;
  // wants_read() has become true again.
  virtual void resume_reading() = 0;
};

// All on the I/O thread.
class Session {
 public:
  virtual ~Session() = default;

  virtual void receive(std::string_view bytes) = 0;
  // False: what the peer sends next stays in the socket.
  virtual bool wants_read() const = 0;
  // The peer will send no more. False: nor does it want an answer, close.
  virtual bool end_of_input() = 0;
  // Writes what is to be sent; 0 when there is nothing.
  virtual size_t produce(char* into, size_t room) = 0;
  // Nothing more will be received or produced: close once all has been sent.
  virtual bool finished() const = 0;
  // Take no new request, end those in flight, then be finished().
  virtual void drain() = 0;
  // The connection is no more. Called once, before the destructor.
  virtual void disconnected() = 0;
};

}  // namespace kv::api
