// Plays a transcript's commands, one after the other, against one cluster.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "conformance/differential/background.h"
#include "conformance/differential/transcript.h"
#include "harness/cluster.h"
#include "harness/files.h"

namespace kv::differential {

class Player {
 public:
  // `program` is etcdctl, or what takes its place; `cluster` must live longer and serve.
  Player(std::string program, harness::Cluster& cluster);

  // What the command says, masked for comparison. Throws std::runtime_error when it does not come to where the
  // transcript waits for it.
  std::string play(const Command& command);

 private:
  struct Started {
    Command command;
    std::unique_ptr<Background> background;
  };

  std::string play_until(const Command& command);
  void start(const Command& command);

  std::string program_;
  harness::Cluster& cluster_;
  Names names_;
  harness::TempDir dir_;
  std::map<std::string, Started> started_;
};

}  // namespace kv::differential
