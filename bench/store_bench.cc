// What the store costs without raft and without network: applying batches of puts, getting, ranging, counting.
//
//   build/release/bin/store_bench                          all
//   build/release/bin/store_bench --benchmark_filter=Apply
//
// Keys are "key-" and 10 digits in random order, values 256 bytes, as in bench/compare.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "base/random.h"
#include "store/store.h"

namespace kv::store {
namespace {

constexpr size_t kValueBytes = 256;

std::string key_name(uint64_t n) {
  char text[32];
  std::snprintf(text, sizeof text, "key-%010llu", static_cast<unsigned long long>(n));
  return text;
}

// A store with `keys` keys, in a temporary directory, kept until the process ends: benchmarks share it.
class Fixture {
 public:
  static Fixture& with_keys(uint64_t keys) {
    static std::map<uint64_t, std::unique_ptr<Fixture>> all;
    auto& slot = all[keys];
    if (!slot) slot.reset(new Fixture(keys));
    return *slot;
  }
  ~Fixture() {
    store.reset();
    std::error_code error;
    std::filesystem::remove_all(directory_, error);
  }

  void apply(uint64_t puts, uint64_t keys) {
    const auto batch = store->begin();
    etcdserverpb::PutResponse response;
    for (uint64_t i = 0; i < puts; ++i) {
      request_.set_key(key_name(random.below(keys)));
      *request_.mutable_value() = value_;
      KV_CHECK(batch->put(request_, &response).ok(), "put");
    }
    KV_CHECK(batch->commit(++index_, 1).ok(), "commit");
  }

  std::unique_ptr<Store> store;
  Random random{1};

 private:
  explicit Fixture(uint64_t keys) {
    std::string pattern = (std::filesystem::temp_directory_path() / "kvd_bench_XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    StoreOptions options;
    options.path = directory_ + "/state";
    store = Store::open(options).value();
    value_.assign(kValueBytes, 'v');
    request_.set_value(value_);
    // Each key once, in an order that is neither ascending nor random: 7919 is prime to every round number.
    for (uint64_t done = 0; done < keys;) {
      const auto batch = store->begin();
      etcdserverpb::PutResponse response;
      for (int i = 0; i < 1000 && done < keys; ++i, ++done) {
        request_.set_key(key_name(done * 7919 % keys));
        KV_CHECK(batch->put(request_, &response).ok(), "put");
      }
      KV_CHECK(batch->commit(++index_, 1).ok(), "commit");
    }
  }

  std::string directory_;
  std::string value_;
  etcdserverpb::PutRequest request_;
  uint64_t index_ = 0;
};

// Time is per batch; the counter `put` is time per put.
void Apply(benchmark::State& state) {
  const auto puts = static_cast<uint64_t>(state.range(0)), keys = static_cast<uint64_t>(state.range(1));
  Fixture& f = Fixture::with_keys(keys);
  for (auto _ : state) f.apply(puts, keys);
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["put"] = benchmark::Counter(static_cast<double>(state.iterations() * state.range(0)),
                                             benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(Apply)
    ->ArgNames({"puts", "keys"})
    ->Args({1, 100000})
    ->Args({16, 100000})
    ->Args({128, 100000})
    ->Args({128, 1000000})
    ->UseRealTime();

void Get(benchmark::State& state) {
  const auto keys = static_cast<uint64_t>(state.range(0));
  Fixture& f = Fixture::with_keys(keys);
  etcdserverpb::RangeRequest request;
  etcdserverpb::RangeResponse response;
  for (auto _ : state) {
    request.set_key(key_name(f.random.below(keys)));
    KV_CHECK(f.store->range(request, &response).ok() && response.kvs_size() == 1, "get");
  }
}
BENCHMARK(Get)->ArgName("keys")->Arg(100000)->Arg(1000000)->UseRealTime();

void GetMissing(benchmark::State& state) {
  const auto keys = static_cast<uint64_t>(state.range(0));
  Fixture& f = Fixture::with_keys(keys);
  etcdserverpb::RangeRequest request;
  etcdserverpb::RangeResponse response;
  for (auto _ : state) {
    request.set_key(key_name(f.random.below(keys)) + "x");
    KV_CHECK(f.store->range(request, &response).ok() && response.kvs_size() == 0, "get");
  }
}
BENCHMARK(GetMissing)->ArgName("keys")->Arg(100000)->Arg(1000000)->UseRealTime();

void Range100(benchmark::State& state) {
  const auto keys = static_cast<uint64_t>(state.range(0));
  Fixture& f = Fixture::with_keys(keys);
  etcdserverpb::RangeRequest request;
  etcdserverpb::RangeResponse response;
  for (auto _ : state) {
    const uint64_t from = f.random.below(keys - 100);
    request.set_key(key_name(from));
    request.set_range_end(key_name(from + 100));
    KV_CHECK(f.store->range(request, &response).ok() && response.kvs_size() == 100, "range");
  }
}
BENCHMARK(Range100)->ArgName("keys")->Arg(100000)->Arg(1000000)->UseRealTime();

// A page of 100 out of everything: `count` tells how many there are in all.
void Page100(benchmark::State& state) {
  const auto keys = static_cast<uint64_t>(state.range(0));
  Fixture& f = Fixture::with_keys(keys);
  etcdserverpb::RangeRequest request;
  etcdserverpb::RangeResponse response;
  request.set_range_end(std::string("\0", 1));
  request.set_limit(100);
  for (auto _ : state) {
    const uint64_t from = f.random.below(keys - 100);
    request.set_key(key_name(from));
    KV_CHECK(f.store->range(request, &response).ok() && response.count() == static_cast<int64_t>(keys - from), "page");
  }
}
BENCHMARK(Page100)->ArgName("keys")->Arg(1000000)->UseRealTime();

void Count(benchmark::State& state) {
  const auto keys = static_cast<uint64_t>(state.range(0));
  Fixture& f = Fixture::with_keys(keys);
  etcdserverpb::RangeRequest request;
  etcdserverpb::RangeResponse response;
  request.set_count_only(true);
  for (auto _ : state) {
    uint64_t a = f.random.below(keys), b = f.random.below(keys);
    if (a > b) std::swap(a, b);
    request.set_key(key_name(a));
    request.set_range_end(key_name(b));
    KV_CHECK(f.store->range(request, &response).ok() && response.count() == static_cast<int64_t>(b - a), "count");
  }
}
BENCHMARK(Count)->ArgName("keys")->Arg(1000000)->UseRealTime();

}  // namespace
}  // namespace kv::store

BENCHMARK_MAIN();
