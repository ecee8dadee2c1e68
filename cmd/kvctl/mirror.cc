#include "kvctl/mirror.h"

#include <utility>
#include <vector>

namespace kv::kvctl {
namespace {

constexpr int64_t kPageKeys = 1000;

std::string first_key(const MirrorOptions& options) {
  return options.prefix.empty() ? std::string(1, '\0') : options.prefix;
}
std::string range_end(const MirrorOptions& options) {
  return options.prefix.empty() ? std::string(1, '\0') : client::prefix_end(options.prefix);
}

// Copies all keys as they are at one revision, which it answers.
Result<int64_t> copy_all(Client& source, Client& destination, const MirrorOptions& options,
                         std::atomic<int64_t>& copied) {
  client::GetOptions page{.range_end = range_end(options), .limit = kPageKeys};
  std::string key = first_key(options);
  while (true) {
    const auto read = source.get(key, page, options.call);
    if (!read.ok()) return read.status();
    if (page.revision == 0) page.revision = read->header.revision;
    for (const client::KeyValue& kv : read->kvs) {
      const auto put = destination.put(mirrored_key(options, kv.key), kv.value, {}, options.call);
      if (!put.ok()) return put.status();
      copied.fetch_add(1, std::memory_order_relaxed);
    }
    if (!read->more || read->kvs.empty()) return page.revision;
    key = read->kvs.back().key + '\0';
  }
}

// The events of one response: whole revisions, in order.
Status copy_events(Client& destination, const MirrorOptions& options, const std::vector<client::Event>& events,
                   std::atomic<int64_t>& copied) {
  for (size_t begin = 0; begin < events.size();) {
    const int64_t revision = events[begin].kv.mod_revision;
    std::vector<client::Op> ops;
    size_t end = begin;
    while (end < events.size() && events[end].kv.mod_revision == revision &&
           ops.size() < static_cast<size_t>(options.max_txn_ops)) {
      const client::Event& event = events[end++];
      const std::string key = mirrored_key(options, event.kv.key);
      ops.push_back(event.type == client::EventType::kDelete ? client::remove_op(key)
                                                             : client::put_op(key, event.kv.value));
    }
    const auto done = destination.commit(client::Txn().then(std::move(ops)), options.call);
    if (!done.ok()) return done.status();
    copied.fetch_add(static_cast<int64_t>(end - begin), std::memory_order_relaxed);
    begin = end;
  }
  return {};
}

}  // namespace

std::string mirrored_key(const MirrorOptions& options, const std::string& key) {
  return options.dest_prefix + key.substr(options.prefix.size());
}

Status mirror(Client& source, Client& destination, const MirrorOptions& options, std::atomic<int64_t>& copied) {
  int64_t start = options.revision;
  if (start <= 1) {
    const auto copied_at = copy_all(source, destination, options, copied);
    if (!copied_at.ok()) return copied_at.status();
    start = *copied_at + 1;
  }
  client::Watcher watcher =
      source.watch(first_key(options), {.range_end = range_end(options), .start_revision = start});
  while (true) {
    const auto next = watcher.next();
    if (!next.ok()) return next.status();
    if (Status failed = copy_events(destination, options, next->events, copied); !failed.ok()) return failed;
  }
}

}  // namespace kv::kvctl
