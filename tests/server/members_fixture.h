// Members with quick elections, alone and three at a time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fixture.h"
#include "server/member.h"

namespace kv::server {

inline void must_not_fail(const Status& status) { ADD_FAILURE() << "a member failed: " << status.to_string(); }

inline MemberOptions quick_options(const std::string& directory, const std::string& name, const std::string& peer_url) {
  MemberOptions options;
  options.name = name;
  options.data_dir = directory + "/" + name;
  options.listen_peer_urls = {peer_url};
  options.initial_advertise_peer_urls = {peer_url};
  options.advertise_client_urls = {"http://" + name + ":2379"};
  options.heartbeat_interval_ms = 50;
  options.election_timeout_ms = 500;
  options.write_buffer_bytes = 4 << 20;
  options.block_cache_bytes = 4 << 20;
  return options;
}

// The log is cut as soon as there is anything to cut, and memory holds no more of it.
inline void shorten_log(MemberOptions& options) {
  options.snapshot_count = 40;
  options.snapshot_catchup_entries = 10;
  options.log_cache_bytes = 4 << 10;
}

inline std::unique_ptr<Member> start(const MemberOptions& options) {
  auto member = Member::start(options, must_not_fail);
  EXPECT_TRUE(member.ok()) << member.status().to_string();
  return member.ok() ? std::move(*member) : nullptr;
}

// By the number of pipeline threads: 1 and 3 do the same.
class LoneMember : public testing::TestWithParam<int> {
 protected:
  LoneMember() : options_(quick_options(directory_.path(), "m1", "http://127.0.0.1:" + std::to_string(free_port()))) {
    options_.pipeline_threads = GetParam();
  }

  std::unique_ptr<Member> start_and_wait() {
    auto member = start(options_);
    EXPECT_TRUE(eventually([&] { return member->leader() != 0; }));
    return member;
  }

  TempDirectory directory_;
  MemberOptions options_;
};

class ThreeMembers : public testing::Test {
 protected:
  // `adjust` changes the options of each.
  explicit ThreeMembers(const std::function<void(MemberOptions&)>& adjust = {}) {
    std::map<std::string, std::vector<std::string>> cluster;
    for (const char* name : {"m1", "m2", "m3"}) cluster[name] = {"http://127.0.0.1:" + std::to_string(free_port())};
    for (const auto& [name, urls] : cluster) {
      options_.push_back(quick_options(directory_.path(), name, urls[0]));
      options_.back().initial_cluster = cluster;
      if (adjust) adjust(options_.back());
    }
    for (const auto& options : options_) members_.push_back(start(options));
    EXPECT_TRUE(eventually([this] { return agreed_leader() != 0; }));
  }

  // The leader that all running members know; 0 when they don't agree.
  uint64_t agreed_leader() const {
    uint64_t leader = 0;
    for (const auto& member : members_) {
      if (!member) continue;
      if (member->leader() == 0 || (leader != 0 && member->leader() != leader)) return 0;
      leader = member->leader();
    }
    return leader;
  }

  size_t leader_place() const {
    for (size_t i = 0; i < members_.size(); ++i)
      if (members_[i] && members_[i]->id() == agreed_leader()) return i;
    ADD_FAILURE() << "no leader";
    return 0;
  }

  TempDirectory directory_;
  std::vector<MemberOptions> options_;
  std::vector<std::shared_ptr<Member>> members_;
};

}  // namespace kv::server
