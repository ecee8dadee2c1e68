#include "command.h"

#include <cstring>

namespace kv::sim {

std::string encode(const Command& command, size_t padding_bytes) {
  std::string out(sizeof command.id + sizeof command.key + sizeof command.value, '\0');
  char* at = out.data();
  std::memcpy(at, &command.id, sizeof command.id);
  std::memcpy(at += sizeof command.id, &command.key, sizeof command.key);
  std::memcpy(at += sizeof command.key, &command.value, sizeof command.value);
  out.append(padding_bytes, '.');
  return out;
}

std::optional<Command> decode_command(std::string_view bytes) {
  Command command;
  if (bytes.size() < sizeof command.id + sizeof command.key + sizeof command.value) return std::nullopt;
  const char* at = bytes.data();
  std::memcpy(&command.id, at, sizeof command.id);
  std::memcpy(&command.key, at += sizeof command.id, sizeof command.key);
  std::memcpy(&command.value, at += sizeof command.key, sizeof command.value);
  return command;
}

}  // namespace kv::sim
