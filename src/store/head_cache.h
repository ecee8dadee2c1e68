// What the thread that applies knows of keys' newest records without asking RocksDB: everything but the value. A put
// needs it for create_revision, version and the chain of history, and a get from RocksDB would cost as much as
// the rest of the put.
//
// Bounded by a number of bytes: memory does not grow with the number of keys. Not thread-safe.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "store/encoding.h"

namespace kv::store {

class HeadCache {
 public:
  explicit HeadCache(size_t max_bytes) : max_bytes_(max_bytes) {}

  // A record without its value; null when the cache doesn't know the key. Valid until the next call.
  const Record* find(std::string_view key) {
    const auto it = entries_.find(key);
    if (it == entries_.end()) return nullptr;
    it->second->used = true;
    return &it->second->record;
  }

  void set(std::string_view key, const Record& record) {
    const auto it = entries_.find(key);
    if (it != entries_.end()) {
      assign(*it->second, record);
      it->second->used = true;
      return;
    }
    if (key.size() > max_bytes_ / 64) return;
    auto entry = std::make_unique<Entry>();
    entry->key = key;
    assign(*entry, record);
    bytes_ += cost(*entry);
    Entry* const added = entry.get();
    ring_.push_back(std::move(entry));
    entries_.emplace(std::string_view(added->key), added);
    while (bytes_ > max_bytes_) evict();
  }

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string key;
    Record record;
    bool used = false;
  };

  static void assign(Entry& entry, const Record& record) {
    entry.record = record;
    entry.record.value = {};
  }
  // The entry, its pointers, and its share of the hash table.
  static size_t cost(const Entry& e) { return sizeof(Entry) + (e.key.size() > 15 ? e.key.size() + 1 : 0) + 64; }

  // Second chance (the clock algorithm): the hand passes over what was used since it came by last.
  void evict() {
    while (ring_[hand_]->used) {
      ring_[hand_]->used = false;
      hand_ = (hand_ + 1) % ring_.size();
    }
    bytes_ -= cost(*ring_[hand_]);
    entries_.erase(ring_[hand_]->key);
    std::swap(ring_[hand_], ring_.back());
    ring_.pop_back();
    if (hand_ >= ring_.size()) hand_ = 0;
  }

  const size_t max_bytes_;
  size_t bytes_ = 0;
  size_t hand_ = 0;
  std::vector<std::unique_ptr<Entry>> ring_;
  absl::flat_hash_map<std::string_view, Entry*> entries_;  // views into the entries
};

}  // namespace kv::store
