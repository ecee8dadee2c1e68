// Any bytes: no crash, and what decodes has exactly these bytes as its encoding.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "raft/transport.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto message = kv::raft::decode_message(bytes)) {
    std::string again;
    kv::raft::encode(*message, again);
    KV_CHECK(again == bytes, "a message has two encodings");
  }
  return 0;
}
