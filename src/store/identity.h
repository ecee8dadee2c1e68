// Who asks, for those who decide what they may.
#pragma once

#include <cstdint>
#include <string>

namespace kv::store {

struct Identity {
  // Empty with a revision: of a certificate without a name. That is a user whom nobody knows, as in etcd, and not nobody.
  std::string user;
  // The auth revision at which that was proved, by a password or a certificate. 0: nobody has proved to be anybody.
  uint64_t revision = 0;

  bool nobody() const { return revision == 0; }
  bool operator==(const Identity&) const = default;
};

}  // namespace kv::store
