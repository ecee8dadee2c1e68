#include "client/range.h"

#include <algorithm>
#include <utility>

namespace kv::client {
namespace {

// The first page feels its way: nothing is known of the values yet.
constexpr int64_t kFirstPageKeys = 64;
// And a page has at most so many times the keys of the one before: what follows may be larger.
constexpr int64_t kGrowth = 8;

}  // namespace

Range::Range(Client& client, std::string_view key, RangeOptions options)
    : client_(client), from_(key), options_(std::move(options)) {
  options_.page_keys = std::max<int64_t>(options_.page_keys, 1);
  options_.page_bytes = std::max<size_t>(options_.page_bytes, 1);
  page_limit_ = std::min(options_.page_keys, kFirstPageKeys);
}

const KeyValue* Range::next() {
  if (at_ == page_.size()) {
    if (!more_ || !status_.ok()) return nullptr;
    read_page();
    if (page_.empty()) return nullptr;
  }
  return &page_[at_++];
}

void Range::read_page() {
  page_.clear();
  at_ = 0;
  auto got = client_.get(from_,
                         {.range_end = options_.range_end,
                          .limit = page_limit_,
                          .revision = options_.revision,
                          .serializable = options_.serializable,
                          .keys_only = options_.keys_only},
                         options_.call);
  ++pages_;
  if (!got.ok()) {
    status_ = got.status();
    return;
  }
  if (std::exchange(first_, false)) {
    count_ = got->count;
    if (options_.revision == 0) options_.revision = got->header.revision;
  }
  page_ = std::move(got->kvs);
  // A server that says "more" and sends nothing would have us ask for ever.
  more_ = got->more && !page_.empty();
  if (!more_) return;

  from_ = page_.back().key;
  from_.push_back('\0');  // the key right behind it
  size_t bytes = 0;
  for (const KeyValue& kv : page_) bytes += kv.key.size() + kv.value.size();
  const size_t each = std::max<size_t>(bytes / page_.size(), 1);
  const auto fitting = static_cast<int64_t>(std::max<size_t>(options_.page_bytes / each, 1));
  page_limit_ = std::min({fitting, page_limit_ * kGrowth, options_.page_keys});
}

}  // namespace kv::client
