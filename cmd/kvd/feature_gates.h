// --feature-gates, as etcd reads it: "InitialCorruptCheck=true,CompactHashCheck=false". What a gate stands for in kvd
// is a flag, or what kvd does anyway; one that would switch on what kvd does not have is refused in words.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace kvd {

struct FeatureGate {
  std::string name;
  std::string stage;  // "ALPHA" or "BETA", as etcd's metric tells it
  bool on = false;
};

struct FeatureGates {
  // Of flags of ours that say the same; nullopt: the gate was not given.
  std::optional<bool> initial_corrupt_check;
  std::optional<bool> lease_checkpoint;
  // All that etcd knows, by name, as they are.
  std::vector<FeatureGate> all;
};

// InvalidArgument with etcd's words for what etcd refuses too.
kv::Result<FeatureGates> parse_feature_gates(const std::string& text);

}  // namespace kvd
