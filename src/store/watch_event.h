// Events as they go over the wire, encoded once for all who watch the same.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "store/encoding.h"

namespace kv::store {

// Events in ascending order of revision, each encoded as one element of etcdserverpb.WatchResponse's field `events`,
// tag and length included: appended to the bytes of a response's other fields they make the whole message.
struct WatchEvents {
  struct Event {
    Rev rev;
    uint32_t end;  // in `bytes`; it begins where the one before ends
  };
  std::string bytes;
  std::vector<Event> events;

  size_t begin_of(size_t i) const { return i == 0 ? 0 : events[i - 1].end; }
};

// Events [first, last) of a set that others may hold too.
struct WatchSlice {
  std::shared_ptr<const WatchEvents> all;
  size_t first = 0;
  size_t last = 0;

  bool empty() const { return first == last; }
  size_t size() const { return last - first; }
  std::string_view bytes() const {
    if (empty()) return {};
    const size_t begin = all->begin_of(first);
    return std::string_view(all->bytes).substr(begin, all->events[last - 1].end - begin);
  }
};

// Appends one event. `prev`: what the key was at the revision before; null: nothing, or nobody asked.
void append_watch_event(const Change& change, const Record* prev, std::string* out);

}  // namespace kv::store
