#include "kvctl/key_pages.h"

#include <algorithm>
#include <utility>

namespace kv::kvctl {
namespace {

constexpr int64_t kFirstLimit = 256;
constexpr int64_t kLargestLimit = 8192;
constexpr size_t kPageBytes = 1 << 20;  // aimed at

}  // namespace

KeyRange prefix_range(const std::string& prefix) {
  return prefix.empty() ? KeyRange{std::string(1, '\0'), client::unbounded()}
                        : KeyRange{prefix, client::prefix_end(prefix)};
}

KeyPages::KeyPages(Client& client, KeyRange range, int64_t revision, client::CallOptions call, bool keys_only)
    : client_(client),
      range_(std::move(range)),
      revision_(revision),
      call_(call),
      keys_only_(keys_only),
      limit_(keys_only ? kLargestLimit : kFirstLimit) {}

Result<std::vector<client::KeyValue>> KeyPages::next() {
  if (over_) return std::vector<client::KeyValue>();
  auto page = client_.get(
      range_.key, {.range_end = range_.end, .limit = limit_, .revision = revision_, .keys_only = keys_only_}, call_);
  if (!page.ok()) return page.status();
  if (count_ == 0) count_ = page->count;
  if (revision_ == 0) revision_ = page->header.revision;
  over_ = !page->more || page->kvs.empty();
  if (over_) return std::move(page->kvs);
  size_t bytes = 0;
  for (const auto& kv : page->kvs) bytes += kv.key.size() + kv.value.size();
  if (bytes < kPageBytes / 2) limit_ = std::min(limit_ * 2, kLargestLimit);
  if (bytes > kPageBytes * 2) limit_ = std::max<int64_t>(limit_ / 2, 1);
  range_.key = page->kvs.back().key + '\0';
  return std::move(page->kvs);
}

Result<const client::KeyValue*> KeyCursor::next() {
  if (at_ == page_.size()) {
    auto page = pages_.next();
    if (!page.ok()) return page.status();
    page_ = *std::move(page);
    at_ = 0;
    if (page_.empty()) return nullptr;
  }
  return &page_[at_++];
}

bool is_compacted(const Status& status) {
  return status.text().find("required revision has been compacted") != std::string::npos;
}
bool is_future(const Status& status) {
  return status.text().find("required revision is a future revision") != std::string::npos;
}

Result<int64_t> oldest_revision(Client& client, const KeyRange& range, const client::CallOptions& call) {
  const auto first = client.get(range.key, {.range_end = range.end, .revision = 1, .count_only = true}, call);
  if (first.ok() || is_future(first.status())) return 1;
  if (!is_compacted(first.status())) return first.status();
  // Who watches from there is told where history begins.
  client::Watcher watcher = client.watch(range.key, {.range_end = range.end, .start_revision = 1});
  const auto wait = client::at_most(call.timeout.count() > 0 ? call.timeout : std::chrono::milliseconds(5000));
  while (!watcher.end()) {
    const auto next = watcher.next(wait);
    if (!next.ok() && next.status().code() == Code::kDeadlineExceeded && !watcher.end()) return next.status();
  }
  if (watcher.end()->compact_revision == 0) return watcher.end()->status;
  return watcher.end()->compact_revision;
}

Exit read_failed(Client& client, const KeyRange& range, const Status& status, const client::CallOptions& call) {
  Exit exit = failed(status);
  if (!is_compacted(status)) return exit;
  const auto oldest = oldest_revision(client, range, call);
  if (oldest.ok()) exit.hint = "The oldest revision that can be read is " + std::to_string(*oldest) + ".";
  return exit;
}

}  // namespace kv::kvctl
