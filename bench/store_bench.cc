// What the store costs without raft and without network: applying batches of puts, getting, ranging, counting, and
// reading what was long ago.
//
//   build/release/bin/store_bench                          all
//   build/release/bin/store_bench --benchmark_filter=Apply
//
// Keys are "key-" and 10 digits in random order, values 256 bytes, as in bench/compare.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <tuple>

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

// A store with `keys` keys, in a temporary directory, which benchmarks share.
class Fixture {
 public:
  static Fixture& with_keys(uint64_t keys) {
    auto& slot = all()[keys];
    if (!slot) slot.reset(new Fixture(keys));
    return *slot;
  }
  // Kept until main() ends: what stores lean on, their metrics for one, does not outlive it.
  static std::map<uint64_t, std::unique_ptr<Fixture>>& all() {
    static std::map<uint64_t, std::unique_ptr<Fixture>> fixtures;
    return fixtures;
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

// Few keys with many versions each: one change in ten is a delete where `deletes`, and the older half is compacted
// where `compacted`.
class Chronicle {
 public:
  static constexpr uint64_t kKeys = 12;

  static Chronicle& of(uint64_t versions, bool deletes, bool compacted) {
    auto& slot = all()[{versions, deletes, compacted}];
    if (!slot) slot.reset(new Chronicle(versions, deletes, compacted));
    return *slot;
  }
  static std::map<std::tuple<uint64_t, bool, bool>, std::unique_ptr<Chronicle>>& all() {
    static std::map<std::tuple<uint64_t, bool, bool>, std::unique_ptr<Chronicle>> chronicles;
    return chronicles;
  }
  ~Chronicle() {
    store.reset();
    std::error_code error;
    std::filesystem::remove_all(directory_, error);
  }

  // A revision so many percent of the way from the oldest that can be read to the newest.
  int64_t at(int64_t percent) {
    const int64_t oldest = std::max(store->stats().compact_revision, int64_t{kKeys} + 1);
    return oldest + (store->revision().value() - oldest) * percent / 100;
  }

  std::unique_ptr<Store> store;

 private:
  Chronicle(uint64_t versions, bool deletes, bool compacted) {
    std::string pattern = (std::filesystem::temp_directory_path() / "kvd_bench_XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    StoreOptions options;
    options.path = directory_ + "/state";
    store = Store::open(options).value();
    Random random(1);
    uint64_t index = 0;
    etcdserverpb::PutRequest put;
    etcdserverpb::PutResponse put_response;
    etcdserverpb::DeleteRangeRequest del;
    etcdserverpb::DeleteRangeResponse del_response;
    put.set_value(std::string(kValueBytes, 'v'));
    for (uint64_t done = 0; done < versions * kKeys;) {
      const auto batch = store->begin();
      for (int i = 0; i < 64; ++i, ++done) {
        const std::string key = key_name(done < kKeys ? done : random.below(kKeys));
        if (deletes && random.one_in(10)) {
          del.set_key(key);
          KV_CHECK(batch->delete_range(del, &del_response).ok(), "delete");
        } else {
          put.set_key(key);
          KV_CHECK(batch->put(put, &put_response).ok(), "put");
        }
      }
      KV_CHECK(batch->commit(++index, 1).ok(), "commit");
    }
    if (!compacted) return;
    const auto batch = store->begin();
    etcdserverpb::CompactionRequest request;
    etcdserverpb::CompactionResponse response;
    request.set_revision(batch->revision() / 2);
    KV_CHECK(batch->compact(request, &response).ok() && batch->commit(++index, 1).ok(), "compact");
    std::promise<Status> passed;
    store->wait_compacted(request.revision(), [&](Status status) { passed.set_value(std::move(status)); });
    KV_CHECK(passed.get_future().get().ok(), "compact");
  }

  std::string directory_;
};

// All twelve keys as they were so many percent of the way from the oldest revision to the newest. The counter `key` is
// time per key.
void RangeAtRevision(benchmark::State& state) {
  Chronicle& c = Chronicle::of(static_cast<uint64_t>(state.range(0)), state.range(2) != 0, state.range(3) != 0);
  const int64_t at = c.at(state.range(1));
  etcdserverpb::RangeRequest request;
  etcdserverpb::RangeResponse response;
  request.set_key("key-");
  request.set_range_end("key.");
  int64_t n = 0;
  for (auto _ : state) {
    // One revision after the other, so that not one of them is lucky.
    request.set_revision(std::min(at + n++ % 1000, c.store->revision().value()));
    KV_CHECK(c.store->range(request, &response).ok(), "range");
    KV_CHECK(response.count() > 0 && response.count() <= int64_t{Chronicle::kKeys}, "range");
  }
  state.counters["key"] = benchmark::Counter(static_cast<double>(state.iterations() * int64_t{Chronicle::kKeys}),
                                             benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(RangeAtRevision)
    ->ArgNames({"versions", "percent", "deletes", "compacted"})
    ->ArgsProduct({{10000}, {0, 50, 99, 100}, {0}, {0}})
    ->ArgsProduct({{10000}, {0, 50, 100}, {1}, {0}})
    ->ArgsProduct({{10000}, {0, 50, 100}, {1}, {1}})
    ->ArgsProduct({{100000}, {0, 50, 100}, {0}, {0}})
    ->UseRealTime();

}  // namespace
}  // namespace kv::store

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  kv::store::Fixture::all().clear();
  kv::store::Chronicle::all().clear();
}
