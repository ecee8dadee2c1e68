// The load generator must tell the truth: its percentiles, and that failure is loud.
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "bench/load/histogram.h"
#include "harness/cluster.h"

namespace kv::load {
namespace {

TEST(LatencyHistogram, Quantiles_are_right_within_two_percent) {
  LatencyHistogram histogram;
  for (int64_t i = 1; i <= 1000000; ++i) histogram.record(i * 1000);
  for (const double q : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    EXPECT_NEAR(static_cast<double>(histogram.quantile_ns(q)), q * 1e9, q * 1e9 * 0.02) << q;
  }
  EXPECT_EQ(histogram.max_ns(), 1000000000U);
  EXPECT_NEAR(histogram.mean_ns(), 500000500.0, 1);
  EXPECT_EQ(histogram.count(), 1000000U);
}

TEST(LatencyHistogram, Small_values_are_exact_and_huge_ones_are_kept) {
  LatencyHistogram histogram;
  histogram.record(-5);
  histogram.record(7);
  EXPECT_EQ(histogram.quantile_ns(0.0), 0U);
  EXPECT_EQ(histogram.quantile_ns(1.0), 7U);
  histogram.record(INT64_MAX);
  EXPECT_EQ(histogram.count(), 3U);
  EXPECT_EQ(LatencyHistogram().quantile_ns(0.5), 0U);
}

harness::Output load(std::vector<std::string> words) {
  words.insert(words.begin(), KVD_LOAD_PROGRAM);
  return harness::run(words);
}

class LoadOnEtcd : public testing::Test {
 protected:
  void SetUp() override {
    cluster_.start_all();
    ASSERT_TRUE(cluster_.wait_ready()) << cluster_.last_words(0);
  }
  harness::Cluster cluster_{{.binary = KVD_ETCD_PROGRAM, .members = 1}};
};

TEST_F(LoadOnEtcd, Every_kind_runs_without_an_error) {
  for (const std::string kind : {"put", "get", "sget", "txn", "mixed", "null"}) {
    const harness::Output out = load({kind, "--endpoints", cluster_.endpoint(0), "--seconds", "0.3", "--warmup", "0.1",
                                      "--keys", "100", "--connections", "2", "--in-flight", "5", "--json"});
    EXPECT_EQ(out.exit, 0) << kind << ": " << out.err;
    EXPECT_NE(out.out.find("\"calls_per_s\":"), std::string::npos) << out.out;
    EXPECT_NE(out.out.find("\"errors\":{}"), std::string::npos) << out.out;
  }
}

TEST_F(LoadOnEtcd, Messages_larger_than_a_frame_pass) {
  const harness::Output out = load({"get", "--endpoints", cluster_.endpoint(0), "--seconds", "0.3", "--keys", "50",
                                    "--value-bytes", "40000", "--connections", "1", "--in-flight", "10"});
  EXPECT_EQ(out.exit, 0) << out.err;
}

TEST_F(LoadOnEtcd, A_server_that_dies_ends_the_run_with_an_error) {
  std::thread killer([this] {
    etcdserverpb::StatusResponse status;
    while (status.header().revision() < 1000 &&
           cluster_.client(0).maintenance->Status(harness::within(std::chrono::seconds(10)).get(), {}, &status).ok()) {
    }
    cluster_.process(0).signal(SIGKILL);
  });
  const harness::Output out = load({"put", "--endpoints", cluster_.endpoint(0), "--seconds", "20"});
  killer.join();
  EXPECT_EQ(out.exit, 1) << out.out;
  EXPECT_NE(out.err.find("kvd_load: "), std::string::npos) << out.err;
}

TEST_F(LoadOnEtcd, Refused_calls_are_counted_and_end_the_run) {
  // Too large for etcd's limit of 1.5 MiB is out of the generator's reach; an empty space for keys is not: the
  // server stops answering puts once its quota is used up.
  harness::Cluster small({.binary = KVD_ETCD_PROGRAM, .members = 1, .extra_flags = {"--quota-backend-bytes=65536"}});
  small.start_all();
  ASSERT_TRUE(small.wait_ready()) << small.last_words(0);
  const harness::Output out = load({"put", "--endpoints", small.endpoint(0), "--seconds", "10"});
  EXPECT_EQ(out.exit, 1) << out.out;
  EXPECT_NE(out.err.find("database space exceeded"), std::string::npos) << out.err;
}

TEST(Load, Nobody_there_is_said_in_words) {
  const harness::Ports ports(1);
  const harness::Output out = load({"put", "--endpoints", "127.0.0.1:" + std::to_string(ports[0])});
  EXPECT_EQ(out.exit, 1);
  EXPECT_NE(out.err.find("Connection refused"), std::string::npos) << out.err;
}

}  // namespace
}  // namespace kv::load
