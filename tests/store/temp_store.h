// A store in a directory of its own, and short words for what tests ask of it.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "store/store.h"

namespace kv::store {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "kvd_store_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDir() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline etcdserverpb::PutRequest put_request(const std::string& key, const std::string& value) {
  etcdserverpb::PutRequest r;
  r.set_key(key);
  r.set_value(value);
  return r;
}

inline etcdserverpb::DeleteRangeRequest delete_request(const std::string& key, const std::string& range_end = "") {
  etcdserverpb::DeleteRangeRequest r;
  r.set_key(key);
  r.set_range_end(range_end);
  return r;
}

inline etcdserverpb::RangeRequest range_request(const std::string& key, const std::string& range_end = "",
                                                int64_t revision = 0) {
  etcdserverpb::RangeRequest r;
  r.set_key(key);
  r.set_range_end(range_end);
  r.set_revision(revision);
  return r;
}

inline const std::string kZero{"\0", 1};

class TempStore {
 public:
  // Everything small, so that limits are met.
  static StoreOptions small() {
    StoreOptions o;
    o.write_buffer_bytes = 1 << 20;
    o.block_cache_bytes = 8 << 20;
    o.recent_bytes = 8 << 10;
    o.head_cache_bytes = 8 << 10;
    o.keys_per_block = 4;
    o.changes_per_checkpoint = 200;
    o.changes_per_compaction_step = 50;
    return o;
  }
  TempStore() : TempStore(small()) {}
  explicit TempStore(const StoreOptions& o) : options(o) { open(); }

  void open() {
    options.path = directory_.path() + "/state";
    Result<std::unique_ptr<Store>> result = Store::open(options);
    ASSERT_TRUE(result.ok()) << result.status().to_string();
    store_ = std::move(*result);
    index_ = store_->applied_index();
  }
  void close() { store_.reset(); }
  void reopen() {
    close();
    open();
  }
  Store* operator->() { return store_.get(); }
  Store& operator*() { return *store_; }
  std::string path() const { return directory_.path() + "/state"; }

  // Each a batch of its own.
  Result<etcdserverpb::PutResponse> put(const etcdserverpb::PutRequest& request) {
    return apply<etcdserverpb::PutResponse>([&](ApplyBatch& b, auto* r) { return b.put(request, r); });
  }
  int64_t put(const std::string& key, const std::string& value) {
    return put(put_request(key, value)).value().header().revision();
  }
  Result<etcdserverpb::DeleteRangeResponse> del(const etcdserverpb::DeleteRangeRequest& request) {
    return apply<etcdserverpb::DeleteRangeResponse>([&](ApplyBatch& b, auto* r) { return b.delete_range(request, r); });
  }
  int64_t del(const std::string& key, const std::string& range_end = "") {
    return del(delete_request(key, range_end)).value().header().revision();
  }
  Result<etcdserverpb::TxnResponse> txn(const etcdserverpb::TxnRequest& request) {
    return apply<etcdserverpb::TxnResponse>([&](ApplyBatch& b, auto* r) { return b.txn(request, r); });
  }
  Status compact(int64_t revision) {
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision);
    return apply<etcdserverpb::CompactionResponse>([&](ApplyBatch& b, auto* r) { return b.compact(request, r); })
        .status();
  }
  Result<etcdserverpb::RangeResponse> range(const etcdserverpb::RangeRequest& request) {
    etcdserverpb::RangeResponse response;
    Status s = store_->range(request, &response);
    if (!s.ok()) return s;
    return response;
  }
  etcdserverpb::RangeResponse range(const std::string& key, const std::string& range_end = "", int64_t revision = 0) {
    return range(range_request(key, range_end, revision)).value();
  }
  // The value, or "(none)".
  std::string get(const std::string& key, int64_t revision = 0) {
    const auto response = range(key, "", revision);
    return response.kvs_size() == 0 ? "(none)" : response.kvs(0).value();
  }
  // "a=1 b=2"
  std::string list(const std::string& key, const std::string& range_end, int64_t revision = 0) {
    std::string out;
    const auto response = range(key, range_end, revision);
    for (const auto& kv : response.kvs()) {
      out += (out.empty() ? "" : " ") + kv.key() + "=" + kv.value();
    }
    return out;
  }

  // Waits until the background has compacted up to the revision.
  Status wait_compacted(int64_t revision) {
    std::promise<Status> promise;
    store_->wait_compacted(revision, [&](Status s) { promise.set_value(std::move(s)); });
    auto future = promise.get_future();
    if (future.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
      ADD_FAILURE() << "no end of the compaction of " << revision;
      std::abort();
    }
    return future.get();
  }

  StoreOptions options;

  // One command in an entry of its own.
  template <typename Response, typename Command>
  Result<Response> apply(Command command) {
    const auto batch = store_->begin();
    Response response;
    const Status s = command(*batch, &response);
    const Status committed = batch->commit(++index_, 1);
    EXPECT_TRUE(committed.ok()) << committed.to_string();
    if (!s.ok()) return s;
    return response;
  }

 private:
  TempDir directory_;
  std::unique_ptr<Store> store_;
  uint64_t index_ = 0;
};

}  // namespace kv::store
