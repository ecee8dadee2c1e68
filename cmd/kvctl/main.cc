#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "kvctl/commands.h"

namespace {

bool has_flag(const std::vector<std::string>& args, const std::string& flag) {
  for (const auto& arg : args) {
    if (arg == flag || arg == flag + "=true") return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  std::cin.tie(nullptr);
  const std::vector<std::string> args(argv + 1, argv + argc);
  // gRPC logs to standard error, which is for our own errors; it reads the variable when it is first used.
  if (has_flag(args, "--debug")) {
    ::setenv("GRPC_VERBOSITY", "DEBUG", 0);
  } else {
    ::setenv("GRPC_VERBOSITY", "NONE", 0);
  }
  const kv::kvctl::VariableReader variable = [](const char* name) -> const char* { return std::getenv(name); };
  kv::kvctl::Context context{.in = std::cin,
                             .out = std::cout,
                             .err = std::cerr,
                             .out_terminal = kv::kvctl::terminal_of(STDOUT_FILENO, variable),
                             .err_terminal = kv::kvctl::terminal_of(STDERR_FILENO, variable)};
  return kv::kvctl::run_kvctl(args, context, variable);
}
