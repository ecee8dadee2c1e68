#include "base/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace kv {
namespace {

struct Series {
  prometheus::MetricType type = prometheus::MetricType::Untyped;
  std::string help;
  std::map<MetricLabels, std::unique_ptr<Counter>> counters;
  std::map<MetricLabels, std::unique_ptr<Gauge>> gauges;
  std::map<MetricLabels, std::unique_ptr<Histogram>> histograms;
  std::vector<std::shared_ptr<const std::function<std::vector<Sample>()>>> callbacks;  // oldest first
};

prometheus::ClientMetric client_metric(const MetricLabels& labels) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : labels) metric.label.push_back({name, value});
  return metric;
}

prometheus::ClientMetric client_metric(const MetricLabels& labels, const Histogram& histogram) {
  prometheus::ClientMetric metric = client_metric(labels);
  uint64_t cumulative = 0;
  for (size_t i = 0; i < histogram.buckets.size(); ++i) {
    cumulative += histogram.buckets[i].load(std::memory_order_relaxed);
    metric.histogram.bucket.push_back({cumulative, i < histogram.bounds.size() ? histogram.bounds[i] : INFINITY});
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = static_cast<double>(histogram.sum_micro.load(std::memory_order_relaxed)) / 1e6;
  return metric;
}

}  // namespace

Histogram::Histogram(std::vector<double> b) : bounds(std::move(b)), buckets(bounds.size() + 1) {}

void Histogram::observe(double v) {
  const auto place = std::lower_bound(bounds.begin(), bounds.end(), v) - bounds.begin();
  buckets[static_cast<size_t>(place)].fetch_add(1, std::memory_order_relaxed);
  if (v > 0) sum_micro.fetch_add(static_cast<uint64_t>(v * 1e6), std::memory_order_relaxed);
}

uint64_t Histogram::count() const {
  uint64_t sum = 0;
  for (const auto& bucket : buckets) sum += bucket.load(std::memory_order_relaxed);
  return sum;
}

std::vector<double> Histogram::exponential(double start, double factor, int count) {
  std::vector<double> bounds;
  for (int i = 0; i < count; ++i, start *= factor) bounds.push_back(start);
  return bounds;
}

struct Metrics::Families {
  std::map<std::string, Series> by_name;

  Series& series(const std::string& name, const std::string& help, prometheus::MetricType type) {
    Series& found = by_name[name];
    if (found.type == prometheus::MetricType::Untyped) {
      found.type = type;
      found.help = help;
    }
    KV_CHECK(found.type == type, "metric " + name + " is of two types");
    return found;
  }
};

Metrics::Metrics() : families_(std::make_unique<Families>()) {}
Metrics::~Metrics() = default;

Metrics& Metrics::global() {
  static Metrics metrics;
  return metrics;
}

Counter& Metrics::counter(const std::string& name, const std::string& help, MetricLabels labels) {
  const std::lock_guard lock(mutex_);
  auto& made = families_->series(name, help, prometheus::MetricType::Counter).counters[std::move(labels)];
  if (!made) made = std::make_unique<Counter>();
  return *made;
}

Gauge& Metrics::gauge(const std::string& name, const std::string& help, MetricLabels labels) {
  const std::lock_guard lock(mutex_);
  auto& made = families_->series(name, help, prometheus::MetricType::Gauge).gauges[std::move(labels)];
  if (!made) made = std::make_unique<Gauge>();
  return *made;
}

Histogram& Metrics::histogram(const std::string& name, const std::string& help, std::vector<double> bounds,
                              MetricLabels labels) {
  const std::lock_guard lock(mutex_);
  auto& made = families_->series(name, help, prometheus::MetricType::Histogram).histograms[std::move(labels)];
  if (!made) made = std::make_unique<Histogram>(std::move(bounds));
  return *made;
}

std::shared_ptr<void> Metrics::collect(const std::string& name, const std::string& help, SampleType type,
                                       std::function<std::vector<Sample>()> read) {
  const auto callback = std::make_shared<const std::function<std::vector<Sample>()>>(std::move(read));
  const std::lock_guard lock(mutex_);
  Series& series = families_->series(
      name, help, type == SampleType::kCounter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge);
  series.callbacks.push_back(callback);
  // Only the handle's end is of interest; what it points at says nothing.
  return {nullptr, [this, &series, callback](void*) {
            const std::lock_guard end(mutex_);
            std::erase(series.callbacks, callback);
          }};
}

std::shared_ptr<void> Metrics::gauge_callback(const std::string& name, const std::string& help,
                                              std::function<double()> read) {
  return collect(name, help, SampleType::kGauge,
                 [read = std::move(read)] { return std::vector<Sample>{{.labels = {}, .value = read()}}; });
}

std::string Metrics::render() const {
  std::vector<prometheus::MetricFamily> families;
  const std::lock_guard lock(mutex_);
  for (const auto& [name, series] : families_->by_name) {
    prometheus::MetricFamily family;
    family.name = name;
    family.help = series.help;
    family.type = series.type;
    for (const auto& [labels, counter] : series.counters) {
      family.metric.push_back(client_metric(labels));
      family.metric.back().counter.value = static_cast<double>(counter->value());
    }
    for (const auto& [labels, gauge] : series.gauges) {
      family.metric.push_back(client_metric(labels));
      family.metric.back().gauge.value = gauge->value();
    }
    for (const auto& [labels, histogram] : series.histograms) family.metric.push_back(client_metric(labels, *histogram));
    if (!series.callbacks.empty()) {
      for (const Sample& sample : (*series.callbacks.back())()) {
        family.metric.push_back(client_metric(sample.labels));
        family.metric.back().gauge.value = sample.value;
        family.metric.back().counter.value = sample.value;
      }
    }
    if (!family.metric.empty()) families.push_back(std::move(family));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace kv
