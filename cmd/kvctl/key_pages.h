// All keys of a range as they were at one revision, page by page: what is larger than memory, or than an answer may
// be, can be read so. Pages grow and shrink so that each is about a mebibyte.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/client.h"
#include "kvctl/exit.h"

namespace kv::kvctl {

// [key, end), as requests have it.
struct KeyRange {
  std::string key{};
  std::string end{};

  bool operator==(const KeyRange&) const = default;
};

// The range of the keys that begin with `prefix`; all keys for the empty one.
KeyRange prefix_range(const std::string& prefix);

class KeyPages {
 public:
  // `revision` 0: as it is when the first page is read. The client outlives it.
  KeyPages(Client& client, KeyRange range, int64_t revision, client::CallOptions call, bool keys_only = false);

  // The next page, in the order of the keys; empty at the end. OutOfRange when the revision was compacted meanwhile.
  Result<std::vector<client::KeyValue>> next();

  // These are known once a page was read: the revision, and how many keys the range had at it.
  int64_t revision() const { return revision_; }
  int64_t count() const { return count_; }

 private:
  Client& client_;
  KeyRange range_;
  int64_t revision_;
  const client::CallOptions call_;
  const bool keys_only_;
  int64_t limit_;
  int64_t count_ = 0;
  bool over_ = false;
};

// One key after the other from pages.
class KeyCursor {
 public:
  explicit KeyCursor(KeyPages& pages) : pages_(pages) {}

  // Null at the end; valid until the next call.
  Result<const client::KeyValue*> next();

 private:
  KeyPages& pages_;
  std::vector<client::KeyValue> page_{};
  size_t at_ = 0;
};

// The oldest revision at which `range` can be read: 1 without a compaction.
Result<int64_t> oldest_revision(Client& client, const KeyRange& range, const client::CallOptions& call);

// How a read of `range` failed; where a compacted revision is the reason, with which is the oldest that there is.
Exit read_failed(Client& client, const KeyRange& range, const Status& status, const client::CallOptions& call);

// Whether an error says that a revision was compacted, or is yet to come.
bool is_compacted(const Status& status);
bool is_future(const Status& status);

}  // namespace kv::kvctl
