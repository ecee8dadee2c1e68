#include "base/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace kv {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Metrics, Renders_counters_and_gauges_as_prometheus_reads_them) {
  Metrics metrics;
  metrics.counter("puts_total", "Puts seen").add(3);
  metrics.gauge("is_leader", "Whether this member leads").set(3);
  metrics.gauge("is_leader", "Whether this member leads").add(-2);
  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("# HELP puts_total Puts seen\n# TYPE puts_total counter\nputs_total 3"));
  EXPECT_THAT(text, HasSubstr("# TYPE is_leader gauge\nis_leader 1"));
}

TEST(Metrics, The_same_name_and_labels_are_the_same_metric) {
  Metrics metrics;
  Counter& first = metrics.counter("calls_total", "Calls", {{"method", "Put"}});
  Counter& again = metrics.counter("calls_total", "Calls", {{"method", "Put"}});
  Counter& other = metrics.counter("calls_total", "Calls", {{"method", "Range"}});
  EXPECT_EQ(&first, &again);
  EXPECT_NE(&first, &other);
  first.add();
  again.add(4);
  EXPECT_EQ(first.value(), 5U);
  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("calls_total{method=\"Put\"} 5"));
  EXPECT_THAT(text, HasSubstr("calls_total{method=\"Range\"} 0"));
}

TEST(Metrics, A_label_of_hostile_bytes_stays_inside_its_quotes) {
  Metrics metrics;
  metrics.counter("calls_total", "Calls", {{"method", "a\"} 1\nforged 7\\"}}).add();
  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr(R"(calls_total{method="a\"} 1\nforged 7\\"} 1)"));
  EXPECT_THAT(text, Not(HasSubstr("\nforged")));
}

TEST(Metrics, Histogram_buckets_are_cumulative_and_inclusive) {
  Metrics metrics;
  Histogram& histogram = metrics.histogram("sync_seconds", "fsync", {0.5, 1.0, 2.0});
  for (const double v : {0.25, 0.5, 0.75, 2.0, 100.0}) histogram.observe(v);
  EXPECT_EQ(histogram.count(), 5U);
  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("sync_seconds_bucket{le=\"0.5\"} 2"));
  EXPECT_THAT(text, HasSubstr("sync_seconds_bucket{le=\"1\"} 3"));
  EXPECT_THAT(text, HasSubstr("sync_seconds_bucket{le=\"2\"} 4"));
  EXPECT_THAT(text, HasSubstr("sync_seconds_bucket{le=\"+Inf\"} 5"));
  EXPECT_THAT(text, HasSubstr("sync_seconds_count 5"));
  EXPECT_THAT(text, HasSubstr("sync_seconds_sum 103.5"));
}

TEST(Metrics, Exponential_bounds_grow_by_their_factor) {
  EXPECT_EQ(Histogram::exponential(1, 2, 4), (std::vector<double>{1, 2, 4, 8}));
  EXPECT_TRUE(Histogram::exponential(1, 2, 0).empty());
}

TEST(Metrics, A_callback_is_asked_at_each_reading_while_its_handle_lives) {
  Metrics metrics;
  double value = 1;
  auto handle = metrics.gauge_callback("db_bytes", "Size", [&value] { return value; });
  EXPECT_THAT(metrics.render(), HasSubstr("\ndb_bytes 1"));
  value = 2;
  EXPECT_THAT(metrics.render(), HasSubstr("\ndb_bytes 2"));
  handle.reset();
  EXPECT_THAT(metrics.render(), Not(HasSubstr("db_bytes")));
}

TEST(Metrics, A_collected_counter_has_the_labels_of_each_of_its_values) {
  Metrics metrics;
  std::vector<Sample> peers;
  auto handle = metrics.collect("sent_total", "Sent", SampleType::kCounter, [&peers] { return peers; });
  EXPECT_THAT(metrics.render(), Not(HasSubstr("sent_total")));
  peers = {{{{"To", "a"}}, 1}, {{{"To", "b"}}, 2}};
  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("# TYPE sent_total counter"));
  EXPECT_THAT(text, HasSubstr("sent_total{To=\"a\"} 1"));
  EXPECT_THAT(text, HasSubstr("sent_total{To=\"b\"} 2"));
}

TEST(Metrics, Of_several_callbacks_under_one_name_the_youngest_is_asked) {
  Metrics metrics;
  auto first = metrics.gauge_callback("id", "Id", [] { return 1.0; });
  auto second = metrics.gauge_callback("id", "Id", [] { return 2.0; });
  EXPECT_THAT(metrics.render(), HasSubstr("\nid 2\n"));
  second.reset();
  EXPECT_THAT(metrics.render(), HasSubstr("\nid 1\n"));
}

TEST(Metrics, The_end_of_a_callback_waits_for_a_reading_that_is_under_way) {
  Metrics metrics;
  std::atomic<bool> reading{false};
  std::atomic<bool> handle_gone{false};
  std::atomic<bool> asked_after_the_end{false};
  auto handle = metrics.gauge_callback("slow", "Slow", [&] {
    reading = true;
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    asked_after_the_end = asked_after_the_end || handle_gone;
    return 0.0;
  });
  std::thread reader([&] { metrics.render(); });
  while (!reading) std::this_thread::yield();
  handle.reset();
  handle_gone = true;
  reader.join();
  EXPECT_FALSE(asked_after_the_end);
}

TEST(Metrics, Counts_exactly_from_many_threads_while_it_is_read) {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&metrics] {
      Counter& counter = metrics.counter("n_total", "N");
      Histogram& histogram = metrics.histogram("h", "H", {1});
      for (int i = 0; i < 10000; ++i) {
        counter.add();
        histogram.observe(0.5);
      }
    });
  }
  for (int i = 0; i < 20; ++i) metrics.render();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(metrics.counter("n_total", "N").value(), 40000U);
  EXPECT_THAT(metrics.render(), HasSubstr("h_sum 20000"));
}

TEST(MetricsDeathTest, One_name_of_two_types_is_a_programmers_error) {
  Metrics metrics;
  metrics.counter("x", "X");
  EXPECT_DEATH(metrics.gauge("x", "X"), "metric x is of two types");
}

}  // namespace
}  // namespace kv
