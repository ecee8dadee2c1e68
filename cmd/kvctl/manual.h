// kvctl(1), from the tree of commands that --help prints. `kvctl __man` prints it when kvctl is built.
#pragma once

#include <string>

#include "kvctl/command_line.h"

namespace kv::kvctl {

std::string manual(Command& root);

}  // namespace kv::kvctl
