#include "server/stages.h"

#include <iterator>

namespace kv::server {

std::vector<LogWrite> join(std::vector<LogWrite>&& writes) {
  std::vector<LogWrite> joined;
  for (LogWrite& write : writes) {
    LogWrite* last = joined.empty() ? nullptr : &joined.back();
    const bool follows = last && !last->begin_after && !write.begin_after &&
                         (write.entries.empty() || last->entries.empty() ||
                          write.entries.front().index == last->entries.back().index + 1);
    if (!follows) {
      joined.push_back(std::move(write));
      continue;
    }
    last->number = write.number;
    if (write.hard_state) last->hard_state = write.hard_state;
    last->sync = last->sync || write.sync;
    std::move(write.entries.begin(), write.entries.end(), std::back_inserter(last->entries));
    std::move(write.then_send.begin(), write.then_send.end(), std::back_inserter(last->then_send));
  }
  return joined;
}

}  // namespace kv::server
