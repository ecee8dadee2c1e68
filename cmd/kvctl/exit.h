// How a command ends: etcdctl's exit codes, and errors that say what to do next.
#pragma once

#include <string>
#include <utility>

#include "base/status.h"

namespace kv::kvctl {

enum ExitCode : int {
  kExitOk = 0,
  kExitError = 1,
  kExitBadConnection = 2,  // a wrong password; lease: no answer
  kExitInvalidInput = 3,   // what txn or watch read from its input
  kExitBadFeature = 4,     // a flag with a value that isn't supported
  kExitInterrupted = 5,    // a watch that the server ended
  kExitIo = 6,             // the output could not be written
  kExitBadArgs = 128,
};

struct Exit {
  int code = kExitOk;
  std::string error{};  // printed as "Error: ...", etcdctl's words where it has some; empty: nothing
  std::string hint{};   // what to do next, on a line of its own; empty: nothing
};

inline Exit bad_args(std::string error, std::string hint = {}) {
  return {kExitBadArgs, std::move(error), std::move(hint)};
}
inline Exit bad_feature(std::string error, std::string hint = {}) {
  return {kExitBadFeature, std::move(error), std::move(hint)};
}

// A call's failure as etcdctl words it: the server's own text, or "rpc error: code = C desc = D" for gRPC's.
std::string error_text(const Status& status);
Exit failed(const Status& status, int code = kExitError);

}  // namespace kv::kvctl
