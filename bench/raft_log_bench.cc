// What a synced write to the log costs, beside a plain RocksDB that writes the same batches.
//   raft_log_bench [--benchmark_filter=...]     KVD_BENCH_DIR: where (default /tmp)
#include <benchmark/benchmark.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "raft/log_store.h"

namespace kv::raft {
namespace {

using Clock = std::chrono::steady_clock;

std::string fresh_directory() {
  const char* base = std::getenv("KVD_BENCH_DIR");
  std::string path = std::string(base != nullptr ? base : "/tmp") + "/kvd-raft-log-bench-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) std::abort();
  return path;
}

// Truncates now and then, as a member does behind its state's flushes.
constexpr uint64_t kKeepBytes = 48 << 20;

class Latencies {
 public:
  void add(Clock::duration d) { all_.push_back(std::chrono::duration<double, std::micro>(d).count()); }
  void report(benchmark::State& state) {
    if (all_.empty()) return;
    std::sort(all_.begin(), all_.end());
    state.counters["p50_us"] = all_[all_.size() / 2];
    state.counters["p99_us"] = all_[all_.size() * 99 / 100];
    state.counters["batches/s"] = benchmark::Counter(static_cast<double>(all_.size()), benchmark::Counter::kIsRate);
  }

 private:
  std::vector<double> all_;
};

std::vector<Entry> make_entries(Index first, size_t count, const Payload& payload) {
  std::vector<Entry> entries;
  entries.reserve(count);
  for (size_t i = 0; i < count; ++i) entries.push_back({first + i, Term(1), EntryType::kCommand, payload});
  return entries;
}

void BM_LogStore(benchmark::State& state) {
  const auto count = static_cast<size_t>(state.range(0));
  const auto size = static_cast<size_t>(state.range(1));
  const std::string dir = fresh_directory();
  LogStore::Options options;
  options.path = dir + "/log";
  auto opened = LogStore::open(options);
  if (!opened.ok()) return state.SkipWithError(opened.status().to_string().c_str());
  auto& log = **opened;
  const auto payload = std::make_shared<const std::string>(size, 'v');
  const uint64_t keep = std::max<uint64_t>(1, kKeepBytes / (size + 32));
  Index next(1);
  Latencies latencies;
  const auto write = [&] {
    const auto entries = make_entries(next, count, payload);
    const auto begin = Clock::now();
    const Status s = log.write(HardState{Term(1), NodeId(1), next}, entries, true);
    const auto end = Clock::now();
    if (!s.ok()) std::abort();
    next = next + count;
    return end - begin;
  };
  // The steady state: files are in their second life.
  const uint64_t warm_bytes = state.range(2) != 0 ? uint64_t{400} << 20 : 0;
  const auto truncate = [&] {
    if (next.value() > log.first_index().value() + 2 * keep) {
      if (!log.truncate_prefix({next - keep, Term(1), {}}).ok()) std::abort();
    }
  };
  if (warm_bytes > 0) {
    const auto big = std::make_shared<const std::string>(1 << 20, 'w');
    for (uint64_t i = 0; i < warm_bytes >> 20; ++i) {
      if (!log.write(std::nullopt, make_entries(next, 1, big), true).ok()) std::abort();
      next = next + 1;
      if (i % 64 == 63 && !log.truncate_prefix({next - 2, Term(1), {}}).ok()) std::abort();
    }
  }
  for (auto _ : state) {
    latencies.add(write());
    truncate();
  }
  latencies.report(state);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * count * size));
  opened->reset();
  std::filesystem::remove_all(dir);
}

// RocksDB with its defaults and one synced batch: what docs/design.md's table was measured with.
void BM_PlainRocksDb(benchmark::State& state) {
  const auto count = static_cast<size_t>(state.range(0));
  const auto size = static_cast<size_t>(state.range(1));
  const std::string dir = fresh_directory();
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kNoCompression;
  rocksdb::DB* opened = nullptr;
  if (!rocksdb::DB::Open(options, dir, &opened).ok()) return state.SkipWithError("open");
  const std::unique_ptr<rocksdb::DB> db(opened);
  const std::string value(size, 'v');
  uint64_t next = 1;
  rocksdb::WriteBatch batch;
  rocksdb::WriteOptions write;
  write.sync = true;
  Latencies latencies;
  for (auto _ : state) {
    const auto begin = Clock::now();
    batch.Clear();
    for (size_t i = 0; i < count; ++i, ++next) {
      std::string key;
      for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(next >> shift));
      (void)batch.Put(key, value);
    }
    if (!db->Write(write, &batch).ok()) std::abort();
    latencies.add(Clock::now() - begin);
  }
  latencies.report(state);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * count * size));
  std::filesystem::remove_all(dir);
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"entries", "bytes", "warm"})->UseRealTime()->MinTime(2);
  for (const int64_t warm : {0, 1}) {
    for (const auto& [entries, bytes] :
         {std::pair<int64_t, int64_t>{1, 256}, {16, 256}, {128, 256}, {1, 30 << 10}, {1, 300 << 10}, {1, 1 << 20}}) {
      bench->Args({entries, bytes, warm});
    }
  }
}
void plain_shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"entries", "bytes"})->UseRealTime()->MinTime(2);
  for (const auto& [entries, bytes] :
       {std::pair<int64_t, int64_t>{1, 256}, {16, 256}, {128, 256}, {1, 30 << 10}, {1, 300 << 10}, {1, 1 << 20}}) {
    bench->Args({entries, bytes});
  }
}
BENCHMARK(BM_PlainRocksDb)->Apply(plain_shapes);
BENCHMARK(BM_LogStore)->Apply(shapes);

}  // namespace
}  // namespace kv::raft
