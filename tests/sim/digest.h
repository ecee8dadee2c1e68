// Raft's values as one number (for hashes) and as one line (for people).
#pragma once

#include <cstdint>
#include <string>

#include "raft/core/core.h"
#include "raft/types.h"

namespace kv::sim {

uint64_t digest(const raft::Entry& entry);
uint64_t digest(const raft::Configuration& configuration);
uint64_t digest(const raft::Message& message);
uint64_t digest(const raft::Ready& ready);

std::string describe(const raft::Configuration& configuration);
std::string describe(const raft::ConfigChange& change);
std::string describe(const raft::Message& message);
std::string describe(const raft::Ready& ready);

// Term.vote@commit, e.g. "t3 v2 c17".
std::string describe(const raft::HardState& hard_state);
// First and last entry as index/term, e.g. "[5/2..9/3]".
std::string describe(const std::vector<raft::Entry>& entries);

}  // namespace kv::sim
