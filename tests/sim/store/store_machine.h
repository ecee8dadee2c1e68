// The machine with the real store: what kvd_sim --machine store runs. See docs/simulation.md.
#pragma once

#include "sim/machine.h"

namespace kv::sim {

extern const MachineKind kStoreMachine;

}  // namespace kv::sim
