// Counters, gauges and histograms. An update is one relaxed atomic addition; the text format that Prometheus
// reads is prometheus-cpp's and is made only when somebody asks.
//
// Metrics are made once, at start, and live for ever: keep the reference.
//   static Counter& puts = Metrics::global().counter("etcd_debugging_mvcc_put_total", "Puts seen");
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace kv {

class Counter {
 public:
  void add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void set(double v) { value_.store(v, std::memory_order_relaxed); }
  void add(double v) { value_.fetch_add(v, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Buckets have inclusive upper bounds, ascending; a last bucket takes the rest.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);
  void observe(double v);
  uint64_t count() const;

  const std::vector<double> bounds;
  std::vector<std::atomic<uint64_t>> buckets;  // bounds.size() + 1, each its own count, not cumulative
  std::atomic<uint64_t> sum_micro{0};          // the sum in millionths of the unit

  // `count` bounds, the first `start`, each `factor` times the one before. etcd's disk histograms: 0.001, 2, 14.
  static std::vector<double> exponential(double start, double factor, int count);
};

using MetricLabels = std::map<std::string, std::string>;

// One value of a metric that is asked for when the metrics are read.
struct Sample {
  MetricLabels labels;
  double value = 0;
};

enum class SampleType : uint8_t { kCounter, kGauge };

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  static Metrics& global();

  // The metric of that name and those labels; made at the first call. Any thread.
  Counter& counter(const std::string& name, const std::string& help, MetricLabels labels = {});
  Gauge& gauge(const std::string& name, const std::string& help, MetricLabels labels = {});
  Histogram& histogram(const std::string& name, const std::string& help, std::vector<double> bounds,
                       MetricLabels labels = {});

  // A metric whose values are asked for when the metrics are read. `read` is called from any thread, and never again
  // once the returned handle is destroyed, which waits for a reading that is under way. It must make no metric and
  // destroy no handle. Of several under one name the youngest is asked.
  [[nodiscard]] std::shared_ptr<void> collect(const std::string& name, const std::string& help, SampleType type,
                                              std::function<std::vector<Sample>()> read);
  // The same for a lone gauge without labels.
  [[nodiscard]] std::shared_ptr<void> gauge_callback(const std::string& name, const std::string& help,
                                                     std::function<double()> read);

  // Everything in Prometheus's text format.
  std::string render() const;

 private:
  struct Families;
  mutable std::mutex mutex_;  // guards families_
  std::unique_ptr<Families> families_;
};

}  // namespace kv
