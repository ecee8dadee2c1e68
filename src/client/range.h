// All keys of a range, page by page, as of one revision, however many they are.
//
//   Range services(client, "/services/", {.range_end = prefix_end("/services/")});
//   for (const KeyValue& kv : services) use(kv);
//   if (!services.status().ok()) return services.status();    // the loop ended early
//
// Every page is read at the revision of the first, so together they are one state of the store, whatever is written
// meanwhile. Memory holds one page. Pages follow the size of what is found: about RangeOptions::page_bytes each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "client/client.h"
#include "client/types.h"

namespace kv::client {

struct RangeOptions {
  std::string range_end{};  // empty: the one key
  int64_t revision = 0;     // 0: now, which is when the first page is read
  bool keys_only = false;
  bool serializable = false;  // as in GetOptions
  // A page has at most so many keys, and about so many bytes; a key with a larger value makes a page by itself. Zero
  // counts as one.
  int64_t page_keys = 10'000;
  size_t page_bytes = 4 * 1024 * 1024;
  CallOptions call{};  // for each page
};

// Nothing is read before begin() or next(). One thread at a time; the client must outlive it.
class Range {
 public:
  Range(Client& client, std::string_view key, RangeOptions options = {});

  // The next key, in ascending order, or null at the end and after an error: see status(). Lives until the next call.
  const KeyValue* next();

  // Why it ended early: as Client::get(), and OutOfRange when the history that it reads was compacted meanwhile.
  const Status& status() const { return status_; }
  // What it reads; 0 before the first page.
  int64_t revision() const { return options_.revision; }
  // Keys in the whole range, as of revision(). 0 before the first page.
  int64_t count() const { return count_; }
  // How many times the cluster was asked.
  size_t pages() const { return pages_; }

  // Goes on where next() is; there is one position, however many iterators.
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = KeyValue;
    using difference_type = std::ptrdiff_t;
    using pointer = const KeyValue*;
    using reference = const KeyValue&;

    explicit Iterator(Range* range) : range_(range), at_(range != nullptr ? range->next() : nullptr) {}
    reference operator*() const { return *at_; }
    pointer operator->() const { return at_; }
    Iterator& operator++() {
      at_ = range_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    Range* range_;
    const KeyValue* at_;
  };
  Iterator begin() { return Iterator(this); }
  Iterator end() { return Iterator(nullptr); }

 private:
  void read_page();

  Client& client_;
  std::string from_;  // where the next page begins
  RangeOptions options_;
  int64_t page_limit_;
  std::vector<KeyValue> page_{};
  size_t at_ = 0;
  bool more_ = true;
  bool first_ = true;
  int64_t count_ = 0;
  size_t pages_ = 0;
  Status status_{};
};

}  // namespace kv::client
