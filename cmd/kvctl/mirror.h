// Copies keys to another cluster and goes on copying what changes: kvctl make-mirror.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "client/client.h"

namespace kv::kvctl {

struct MirrorOptions {
  std::string prefix{};       // what is copied; empty: all keys
  std::string dest_prefix{};  // stands in place of `prefix` at the destination
  int64_t revision = 0;       // begin with the changes of this revision; 0 or 1: with a copy of what there is
  int64_t max_txn_ops = 128;  // at the destination, in one transaction; at least 1

  client::CallOptions call{};
};

// `key`, which begins with options.prefix, as it is called at the destination.
std::string mirrored_key(const MirrorOptions& options, const std::string& key);

// Runs until something fails, and answers what. `copied` counts puts and deletions. Each revision of the source is one
// transaction, or several when it has more than max_txn_ops changes. Leases are not copied: a mirrored key lives until
// its deletion is mirrored.
Status mirror(Client& source, Client& destination, const MirrorOptions& options, std::atomic<int64_t>& copied);

}  // namespace kv::kvctl
