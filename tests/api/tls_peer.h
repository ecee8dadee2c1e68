// A client that speaks TLS by OpenSSL and inside it any bytes it likes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kv::test {

struct TlsPeerOptions {
  std::string cert_file{};  // what it shows; empty: nothing
  std::string key_file{};
  std::vector<std::string> protocols{};  // that it offers by ALPN
  int receive_buffer = 0;
};

// On 127.0.0.1; it believes whatever certificate the server shows.
class TlsPeer {
 public:
  explicit TlsPeer(uint16_t port, const TlsPeerOptions& options = {});
  ~TlsPeer();
  TlsPeer(const TlsPeer&) = delete;
  TlsPeer& operator=(const TlsPeer&) = delete;

  bool shaken() const;           // the handshake went well on this side
  std::string protocol() const;  // what ALPN chose
  bool send(std::string_view bytes);
  // What has come; empty at the end, for whatever reason, or when nothing comes for kPatienceMs.
  std::string receive();
  std::string receive_until(std::string_view text);
  // Why the last of these failed, as OpenSSL says it.
  std::string failure() const;
  // An HTTP/1.1 request and all that is answered.
  std::string ask(std::string_view request);

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace kv::test
