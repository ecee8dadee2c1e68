// kvd(8), from the flags that --help prints. `kvd __man` prints it when kvd is built.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace kvd {

std::string manual(const CLI::App& app);

}  // namespace kvd
