// Software transactional memory: reads and writes as in plain code, that take effect all at once or are run again.
//
//   const auto moved = transact(client, [&](Stm& stm) -> Status {
//     const auto from = stm.get("/accounts/alice");
//     if (!from.ok()) return from.status();
//     if (balance(*from) < 10) return Status(Code::kFailedPrecondition, "too little money");   // nothing is written
//     stm.put("/accounts/alice", ...);
//     return {};
//   });
//
// All reads of a run see one state: the store's at the revision of the first. The writes are kept back to the end, and
// are carried out in one transaction if nothing that was read has changed since and nothing that is written is newer;
// else the body runs again, on a newer state. That is serializable isolation, of etcd's client/v3/concurrency
// the level SerializableSnapshot, and programs in Go that use it there are compared with likewise.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "client/client.h"
#include "client/wait.h"

namespace kv::client {

// What one run of a body sees. For the body's thread, and as long as the body runs.
class Stm {
 public:
  // What the key holds, or nothing if there is no such key; what this run has put or removed itself is seen already.
  // An error is for the body to return: whatever it does then, nothing is written.
  Result<std::optional<std::string>> get(std::string_view key);
  // The revision at which the key last changed before this run; 0 if there is no such key.
  Result<int64_t> mod_revision(std::string_view key);

  void put(std::string_view key, std::string_view value, int64_t lease = 0);
  void remove(std::string_view key);

  // Of the state that is read; 0 before the first read.
  int64_t revision() const { return revision_; }

 private:
  friend class StmRunner;
  explicit Stm(Client& client) : client_(client) {}

  using Found = std::optional<KeyValue>;
  struct Write {
    std::optional<std::string> value{};  // none: removed
    int64_t lease = 0;
  };

  Result<const Found*> read(std::string_view key);

  Client& client_;
  CallOptions call_{};
  int64_t revision_ = 0;
  std::map<std::string, Found, std::less<>> known_{};  // of revision_, read before the body asked
  std::map<std::string, Found, std::less<>> reads_{};
  std::map<std::string, Write, std::less<>> writes_{};
  Status failed_{};        // of a read
  bool outdated_ = false;  // the history at revision_ is gone
};

struct StmOptions {
  // How long it may go on; the body itself isn't interrupted.
  Wait wait{};
  // Keys that are read at the beginning, together. They count as read, whether the body asks for them or not.
  std::vector<std::string> prefetch{};
};

struct StmResponse {
  ResponseHeader header{};  // of the commit; of a body without writes, the state that it read
  int runs = 0;             // of the body
};

// Runs `body` until its writes are carried out. Fails with what the body returns, with DeadlineExceeded or Canceled as
// `wait` says, and as Client::commit() does.
//
// A commit that was sent and not answered is sent again if the body has read something: the store can then tell that it
// was carried out before, and doesn't carry it out twice. It fails with Unavailable or DeadlineExceeded if it stays
// unknown whether it was. One without any read is sent once.
//
// A server takes so many operations in one transaction (--max-txn-ops, 128): reads and writes count together.
Result<StmResponse> transact(Client& client, const std::function<Status(Stm&)>& body, const StmOptions& options = {});

}  // namespace kv::client
