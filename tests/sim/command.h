// What the simulated clients propose: writes of a number to a key, each with an id of its own, padded so that
// limits on bytes are reached.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kv::sim {

struct Command {
  uint64_t id = 0;
  uint32_t key = 0;
  uint64_t value = 0;
};

std::string encode(const Command& command, size_t padding_bytes);
std::optional<Command> decode_command(std::string_view bytes);

}  // namespace kv::sim
