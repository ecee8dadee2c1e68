// A copy of all keys under a prefix in this program's memory, kept current by a watch: reads cost no round trip.
//
//   auto config = Cache::create(client, "/config/web/");
//   if (!config.ok()) return config.status();
//   const auto level = (*config)->get("/config/web/log_level");     // from memory
//
// What it shows is always one state that the store had: changes that were made together appear together and in order.
// That state may be old: by as long as a change takes to get here, and while no member can be reached by as long as
// that lasts. revision() says which it is. Who has written, or heard of a write, and wants to read that, waits for its
// revision by wait_revision().
//
// When the history that the watch needs is compacted, because no member could be reached for long or on_change took its
// time, everything is read anew. What is different is then told as changes, once a key; the mod_revision of what is
// gone is that of the new state.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/status.h"
#include "client/client.h"
#include "client/wait.h"

namespace kv::client {

class Cache;

struct CacheOptions {
  // These run on the cache's thread, one at a time, and delay what the cache shows next. They may read the cache and
  // use the client, but neither wait_revision() nor destroy the cache.
  //
  // What has changed since the call before, or since create() read it; the cache shows it already. prev_kv is what the
  // cache showed before. The first may come before create() has returned.
  std::function<void(const Cache&, const std::vector<Event>&)> on_change{};
  // The cache is no longer kept current; the last call. See Cache::status().
  std::function<void(const Status&)> on_end{};

  CallOptions call{};                          // for each page that is read
  size_t buffer_bytes_max = 16 * 1024 * 1024;  // of changes that wait for on_change, as in WatchOptions
};

// Has one thread. Any thread may call any function but the destructor; readers hold each other up for as long as a copy
// takes. The client must outlive it.
class Cache {
 public:
  // Reads everything under `prefix`; the empty one stands for all keys. Fails as Range does.
  static Result<std::unique_ptr<Cache>> create(Client& client, std::string_view prefix, CacheOptions options = {});
  // Waits for a callback that runs, and for a page that is being read.
  ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  std::optional<KeyValue> get(std::string_view key) const;
  // All keys that begin with `prefix`, in their order, as of one revision.
  std::vector<KeyValue> list(std::string_view prefix = {}) const;
  size_t size() const;

  // Everything up to it is in, and nothing behind it.
  int64_t revision() const;
  // Ok once everything up to `revision` is in, which it is soon after that revision exists. When no change comes, the
  // server is asked whether there is one, which costs it a look at all keys under the prefix. Fails as `wait` says, and
  // with status().
  Status wait_revision(int64_t revision, const Wait& wait = {}) const;

  // Ok while it is kept current. PermissionDenied or Unauthenticated when the prefix is no longer ours to read.
  // It then goes on showing the last state.
  Status status() const;

 private:
  using State = std::map<std::string, KeyValue, std::less<>>;

  Cache(Client& client, std::string_view prefix, CacheOptions options);

  Result<State> load(int64_t& revision) const;
  void keep(const std::stop_token& stop);
  Status follow(const std::stop_token& stop);
  Status reload(const std::stop_token& stop);
  void apply(WatchResponse&& response);
  void replace(State&& state, int64_t revision);
  void compare(const Wait& wait) const;
  void tell(const std::vector<Event>& events) const;

  Client& client_;
  const std::string prefix_;
  const CacheOptions options_;

  mutable std::mutex mutex_{};  // guards all below but the thread
  mutable std::condition_variable_any changed_{};
  State state_{};
  mutable int64_t revision_ = 0;  // grows with the state unchanged, too
  Status status_{};

  std::jthread thread_{};
};

}  // namespace kv::client
