#include "config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>

namespace kvd {
namespace {

kv::Result<Parsed> parse_args(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "kvd");
  return parse(static_cast<int>(arguments.size()), arguments.data());
}

std::string error_of(std::vector<const char*> arguments) {
  const auto parsed = parse_args(std::move(arguments));
  return parsed.ok() ? "" : parsed.status().text();
}

// A file that is gone when the test is.
class TempFile {
 public:
  explicit TempFile(const std::string& text) {
    char name[] = "/tmp/kvd-config-XXXXXX";
    const int fd = mkstemp(name);
    EXPECT_GE(fd, 0);
    close(fd);
    path_ = name;
    std::ofstream(path_) << text;
  }
  ~TempFile() { std::remove(path_.c_str()); }
  const char* path() const { return path_.c_str(); }

 private:
  std::string path_;
};

TEST(Config, No_flag_at_all_is_a_working_single_member) {
  const auto parsed = parse_args({});
  ASSERT_TRUE(parsed.ok()) << parsed.status().text();
  EXPECT_EQ(parsed->config.member.data_dir, "kvd.data");
  EXPECT_EQ(parsed->config.server.listen_urls, std::vector<std::string>{"http://127.0.0.1:2379"});
  EXPECT_EQ(parsed->config.member.advertise_client_urls, std::vector<std::string>{"http://localhost:2379"});
}

TEST(Config, Given_urls_replace_the_defaults) {
  const auto parsed = parse_args({"--listen-client-urls=http://127.0.0.1:1", "--listen-peer-urls=http://127.0.0.1:2"});
  ASSERT_TRUE(parsed.ok()) << parsed.status().text();
  EXPECT_EQ(parsed->config.server.listen_urls, std::vector<std::string>{"http://127.0.0.1:1"});
  EXPECT_EQ(parsed->config.member.listen_peer_urls, std::vector<std::string>{"http://127.0.0.1:2"});
  EXPECT_EQ(parsed->config.member.advertise_client_urls, std::vector<std::string>{"http://127.0.0.1:1"});
  EXPECT_EQ(parsed->config.member.initial_advertise_peer_urls, std::vector<std::string>{"http://127.0.0.1:2"});
}

TEST(Config, Feature_gates_are_read_as_etcd_reads_them) {
  const auto parsed = parse_args({"--feature-gates= InitialCorruptCheck = T ,,LeaseCheckpoint=0,PriorityRequest=true"});
  ASSERT_TRUE(parsed.ok()) << parsed.status().text();
  EXPECT_TRUE(parsed->config.member.corrupt_check_at_start);
  EXPECT_FALSE(parsed->config.member.lease_checkpoints);
  std::map<std::string, bool> told;
  for (const FeatureGate& gate : parsed->config.features) told[gate.name] = gate.on;
  EXPECT_EQ(told.size(), 9u);
  EXPECT_TRUE(told["InitialCorruptCheck"]);
  EXPECT_FALSE(told["LeaseCheckpoint"]);
  EXPECT_TRUE(told["FastLeaseKeepAlive"]);

  const auto plain = parse_args({"--experimental-initial-corrupt-check"});
  EXPECT_TRUE(plain->config.member.corrupt_check_at_start);
  EXPECT_TRUE(plain->config.member.lease_checkpoints);
  // A gate's own word comes before that for its stage.
  const auto stage = parse_args({"--feature-gates=AllAlpha=false,AllBeta=true,InitialCorruptCheck=true"});
  ASSERT_TRUE(stage.ok()) << stage.status().text();
  EXPECT_TRUE(stage->config.member.corrupt_check_at_start);
  EXPECT_FALSE(stage->config.member.lease_checkpoints);

  EXPECT_EQ(error_of({"--feature-gates=Nonsense=true"}), "--feature-gates: unrecognized feature gate: Nonsense");
  EXPECT_EQ(error_of({"--feature-gates=LeaseCheckpoint"}), "--feature-gates: missing bool value for LeaseCheckpoint");
  EXPECT_EQ(error_of({"--feature-gates=LeaseCheckpoint=yes"}),
            "--feature-gates: invalid value of LeaseCheckpoint=yes: it is true or false");
  EXPECT_EQ(error_of({"--feature-gates=StopGRPCServiceOnDefrag=true"}),
            "--feature-gates: StopGRPCServiceOnDefrag=true asks for StopGRPCServiceOnDefrag, which kvd does not have: "
            "clients are served while a member defragments");
  EXPECT_NE(error_of({"--feature-gates=AllAlpha=true"}).find("AllAlpha=true asks for CompactHashCheck"),
            std::string::npos);
  EXPECT_EQ(error_of({"--feature-gates=InitialCorruptCheck=false", "--experimental-initial-corrupt-check"}),
            "--experimental-initial-corrupt-check and --feature-gates say different things");
}

TEST(Config, Unknown_flag_gets_a_suggestion) {
  EXPECT_EQ(error_of({"--data-dri=x"}), "unknown flag --data-dri; did you mean --data-dir?");
  EXPECT_EQ(error_of({"--quux-frobnicate-everything"}),
            "unknown flag --quux-frobnicate-everything; kvd --help lists them all");
}

TEST(Config, One_dash_is_as_good_as_two) {
  const auto parsed = parse_args({"-name", "m1", "-pre-vote=false"});
  ASSERT_TRUE(parsed.ok()) << parsed.status().text();
  EXPECT_EQ(parsed->config.member.name, "m1");
  EXPECT_EQ(parsed->config.member.data_dir, "m1.kvd");
  EXPECT_FALSE(parsed->config.member.pre_vote);
}

TEST(Config, Rests_of_leases_are_noted_unless_told_otherwise) {
  EXPECT_TRUE(parse_args({})->config.member.lease_checkpoints);
  EXPECT_FALSE(parse_args({"--experimental-enable-lease-checkpoint=false"})->config.member.lease_checkpoints);
}

TEST(Config, Wrong_values_are_named) {
  EXPECT_NE(error_of({"--listen-client-urls=localhost:2379"}).find("--listen-client-urls"), std::string::npos);
  EXPECT_NE(error_of({"--election-timeout=100"}).find("at least 5 times --heartbeat-interval"), std::string::npos);
  EXPECT_NE(error_of({"--heartbeat-interval=fast"}), "");
  EXPECT_NE(error_of({"--initial-cluster-state=old"}).find("new or existing"), std::string::npos);
  EXPECT_NE(error_of({"--log-level=loud"}).find("loud"), std::string::npos);
  EXPECT_NE(error_of({"--grpc-keepalive-min-time=5"}).find("is not a duration"), std::string::npos);
  EXPECT_NE(error_of({"stray"}).find("stray"), std::string::npos);
}

TEST(Config, Wildcard_listener_needs_an_advertised_address) {
  EXPECT_NE(error_of({"--listen-client-urls=http://0.0.0.0:2379"}).find("--advertise-client-urls is needed"),
            std::string::npos);
  EXPECT_EQ(error_of({"--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://h:2379"}), "");
}

TEST(Config, Flag_wins_over_variable_over_file) {
  const TempFile file("name: from-file\ninitial-cluster-token: from-file\nelection-timeout: 3000\n");
  setenv("KVD_NAME", "from-variable", 1);
  setenv("KVD_INITIAL_CLUSTER_TOKEN", "from-variable", 1);
  const auto parsed = parse_args({"--config-file", file.path(), "--name=from-flag"});
  unsetenv("KVD_NAME");
  unsetenv("KVD_INITIAL_CLUSTER_TOKEN");
  ASSERT_TRUE(parsed.ok()) << parsed.status().text();
  EXPECT_EQ(parsed->config.member.name, "from-flag");
  EXPECT_EQ(parsed->config.member.initial_cluster_token, "from-variable");
  EXPECT_EQ(parsed->config.member.election_timeout_ms, 3000);
}

TEST(Config, File_errors_name_the_file_and_the_key) {
  const TempFile wrong_key("data-dri: x\n");
  EXPECT_NE(error_of({"--config-file", wrong_key.path()}).find("did you mean --data-dir?"), std::string::npos);
  const TempFile no_yaml("a: [\n");
  EXPECT_NE(error_of({"--config-file", no_yaml.path()}).find(no_yaml.path()), std::string::npos);
  EXPECT_NE(error_of({"--config-file", "/nonexistent.yaml"}).find("/nonexistent.yaml"), std::string::npos);
}

TEST(Config, Lists_in_the_file_are_lists) {
  const TempFile file("listen-client-urls: [http://127.0.0.1:1, http://127.0.0.1:2]\n");
  const auto parsed = parse_args({"--config-file", file.path()});
  ASSERT_TRUE(parsed.ok()) << parsed.status().text();
  EXPECT_EQ(parsed->config.server.listen_urls.size(), 2u);
}

TEST(Config, Who_may_ask_by_plain_http_is_a_list_each) {
  const auto parsed = parse_args({"--cors=http://a, http://b,", "--host-whitelist", "kv.example"});
  ASSERT_TRUE(parsed.ok()) << parsed.status().text();
  EXPECT_EQ(parsed->config.server.cors, (std::vector<std::string>{"http://a", "http://b"}));
  EXPECT_EQ(parsed->config.server.host_whitelist, std::vector<std::string>{"kv.example"});
  EXPECT_EQ(parse_args({})->config.server.cors, std::vector<std::string>{"*"});
  EXPECT_EQ(parse_args({})->config.server.host_whitelist, std::vector<std::string>{"*"});
}

TEST(Config, Help_lists_every_flag) {
  const auto parsed = parse_args({"--help"});
  ASSERT_TRUE(parsed.ok());
  for (const char* flag : {"--name", "--data-dir", "--initial-cluster", "--log-format", "--config-file"})
    EXPECT_NE(parsed->text.find(flag), std::string::npos) << flag;
}

TEST(Config, Auto_compaction_is_read_as_etcd_reads_it) {
  using Mode = kv::server::AutoCompactionPolicy::Mode;
  const auto policy = [](std::vector<const char*> arguments) {
    const auto parsed = parse_args(std::move(arguments));
    EXPECT_TRUE(parsed.ok()) << parsed.status().text();
    return parsed.ok() ? parsed->config.member.auto_compaction : kv::server::AutoCompactionPolicy{};
  };
  EXPECT_EQ(policy({}).retention, 0);
  EXPECT_EQ(policy({"--auto-compaction-retention=24"}).retention, 24 * 3600 * 1000);
  EXPECT_EQ(policy({"--auto-compaction-retention=5m"}).retention, 5 * 60 * 1000);
  EXPECT_EQ(policy({"--auto-compaction-retention=5m"}).mode, Mode::kPeriodic);
  const auto revisions = policy({"--auto-compaction-mode=revision", "--auto-compaction-retention=1000"});
  EXPECT_EQ(revisions.mode, Mode::kRevision);
  EXPECT_EQ(revisions.retention, 1000);

  EXPECT_EQ(error_of({"--auto-compaction-mode=weekly"}),
            "--auto-compaction-mode must be periodic or revision, not \"weekly\"");
  EXPECT_EQ(error_of({"--auto-compaction-mode=revision", "--auto-compaction-retention=5m"}),
            "--auto-compaction-retention: \"5m\" is not a number of revisions, which --auto-compaction-mode revision "
            "needs");
  EXPECT_EQ(error_of({"--auto-compaction-retention=soon"}),
            "--auto-compaction-retention: \"soon\" is not a duration: write 500ms, 5s, 2m or 1h");
  EXPECT_NE(error_of({"--auto-compaction-retention=-5"}), "");
}

}  // namespace
}  // namespace kvd
