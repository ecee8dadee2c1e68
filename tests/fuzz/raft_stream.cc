// Any bytes as the beginning of a peer stream: the hello, its answer, frames.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "raft/transport_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kv::raft;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const HelloRead hello = read_hello(bytes);
  if (hello.state == HelloRead::State::kWhole) {
    KV_CHECK(hello.size <= size, "a hello longer than its bytes");
    for (const std::string& url : split_urls(hello.hello.urls)) (void)parse_peer_url(url);
  }
  if (const auto reply = decode_hello_reply(bytes)) KV_CHECK(encode(*reply) == bytes, "an answer has two encodings");
  const FrameRead frame = read_frame(bytes, 0, 1 << 20);
  if (frame.state == FrameRead::State::kWhole) {
    KV_CHECK(frame.size <= size, "a frame longer than its bytes");
    (void)read_small_body(frame.body);
  }
  for (const std::string& url : split_urls(bytes)) (void)parse_peer_url(url);
  return 0;
}
