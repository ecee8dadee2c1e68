// From a member that serves to a file, and from the file to new clusters.
#include "server/restore.h"

#include <gmock/gmock.h>
#include <sys/file.h>

#include <fstream>
#include <set>

#include "members_fixture.h"
#include "server/cold_state.h"
#include "server/identity.h"
#include "store/backup_file.h"

namespace kv::server {
namespace {

namespace fs = std::filesystem;
using namespace etcdserverpb;
using testing::HasSubstr;

// Writes what it is sent to a file.
class FileSink final : public Sink<SnapshotResponse> {
 public:
  explicit FileSink(const std::string& path) : out_(path, std::ios::binary | std::ios::trunc) {}
  bool write(const SnapshotResponse& response) override {
    out_ << response.blob();
    return true;
  }
  void finish(Status status) override {
    out_.close();
    ended_.set_value(std::move(status));
  }
  size_t queued_bytes() const override { return 0; }
  void on_drained(size_t, absl::AnyInvocable<void()> ready) override { ready(); }
  Status wait() {
    auto ended = ended_.get_future();
    if (ended.wait_for(std::chrono::seconds(30)) != std::future_status::ready)
      return {Code::kDeadlineExceeded, "the test waited for thirty seconds"};
    return ended.get();
  }

 private:
  std::ofstream out_;
  std::promise<Status> ended_;
};

Status save(Member& member, const std::string& path) {
  const auto sink = std::make_shared<FileSink>(path);
  member.snapshot(std::make_shared<InlineCall>(), std::make_unique<SnapshotRequest>(), sink);
  return sink->wait();
}

HashKVResponse hash(Member& member, int64_t revision = 0) {
  HashKVRequest request;
  request.set_revision(revision);
  auto answer = call(member, &Member::hash_kv, request);
  EXPECT_TRUE(answer.status.ok()) << answer.status.to_string();
  return answer.response;
}

class RestoreTest : public testing::Test {
 protected:
  RestoreTest() : options_(quick_options(directory_.path(), "old", url())) {
    member_ = start(options_);
    EXPECT_TRUE(eventually([&] { return member_->leader() != 0; }));
    for (int i = 0; i < 200; ++i)
      EXPECT_TRUE(put(*member_, "k" + std::to_string(i % 50), std::to_string(i)).status.ok());
  }

  static std::string url() { return "http://127.0.0.1:" + std::to_string(free_port()); }
  std::string backup() const { return directory_.path() + "/backup.db"; }

  // Options of a member of a new cluster, in a directory of its own.
  RestoreOptions restored(const std::string& name, const std::map<std::string, std::vector<std::string>>& cluster) {
    RestoreOptions o;
    o.backup = backup();
    o.data_dir = directory_.path() + "/" + name;
    o.name = name;
    o.initial_cluster = cluster;
    o.initial_advertise_peer_urls = cluster.at(name);
    o.initial_cluster_token = "after the fire";
    return o;
  }

  TempDirectory directory_;
  MemberOptions options_;
  std::unique_ptr<Member> member_;
};

TEST_F(RestoreTest, Three_new_members_agree_on_the_old_state_and_go_on) {
  // Under load: what is saved is the state at one revision in the middle of it.
  std::atomic<bool> over{false};
  std::thread writer([&] {
    for (int i = 0; !over; ++i) (void)put(*member_, "w" + std::to_string(i % 20), std::to_string(i));
  });
  const Status saved = save(*member_, backup());
  over = true;
  writer.join();
  ASSERT_TRUE(saved.ok()) << saved.to_string();
  auto file = store::BackupFile::open(backup());
  ASSERT_TRUE(file.ok()) << file.status().to_string();
  ASSERT_TRUE((*file)->verify(true).ok());
  const store::BackupInfo info = (*file)->info();
  EXPECT_EQ(info.member_id, member_->id());
  EXPECT_EQ(info.cluster_id, member_->cluster_id());
  EXPECT_GE(info.revision, 201);
  EXPECT_GE(info.keys, 50u);
  const HashKVResponse before = hash(*member_, info.revision);
  const uint64_t old_cluster = member_->cluster_id();
  const uint64_t old_term = before.header().raft_term();
  member_->stop(0);

  std::map<std::string, std::vector<std::string>> cluster;
  for (const char* name : {"n1", "n2", "n3"}) cluster[name] = {url()};
  std::vector<std::unique_ptr<Member>> members;
  std::set<uint64_t> indexes;
  for (const auto& [name, urls] : cluster) {
    const auto made = restore(restored(name, cluster));
    ASSERT_TRUE(made.ok()) << made.status().to_string();
    EXPECT_EQ(made->revision, info.revision);
    EXPECT_EQ(made->member_id, member_id(urls, "after the fire"));
    EXPECT_NE(made->cluster_id, old_cluster);
    indexes.insert(made->applied_index);
    MemberOptions o = quick_options(directory_.path(), name, urls[0]);
    o.initial_cluster = cluster;
    o.initial_cluster_token = "after the fire";
    members.push_back(start(o));
    ASSERT_TRUE(members.back());
  }
  EXPECT_EQ(indexes, std::set<uint64_t>{info.applied_index + 1});
  ASSERT_TRUE(eventually([&] {
    for (const auto& member : members)
      if (member->leader() == 0 || member->leader() != members[0]->leader()) return false;
    return true;
  }));
  for (const auto& member : members) {
    const HashKVResponse now = hash(*member, info.revision);
    EXPECT_EQ(now.hash(), before.hash());
    EXPECT_EQ(now.compact_revision(), before.compact_revision());
    EXPECT_GT(now.header().raft_term(), old_term);
  }
  const auto list = call(*members[1], &Member::member_list, MemberListRequest());
  ASSERT_EQ(list.response.members_size(), 3);
  for (const auto& m : list.response.members()) EXPECT_EQ(m.name().substr(0, 1), "n");
  EXPECT_EQ(members[0]->cluster_version(), "3.6.0");

  const auto written = put(*members[2], "after", "v");
  ASSERT_TRUE(written.status.ok()) << written.status.to_string();
  EXPECT_EQ(written.response.header().revision(), info.revision + 1);
  for (const auto& member : members) EXPECT_EQ(get(*member, "after").response.kvs_size(), 1);
  for (auto& member : members) member->stop(0);
  // They find all of it again.
  const auto& [name, urls] = *cluster.begin();
  members.clear();
  const auto again = start(quick_options(directory_.path(), name, urls[0]));
  ASSERT_TRUE(again);
  EXPECT_NE(again->cluster_id(), old_cluster);
}

TEST_F(RestoreTest, A_raised_revision_tells_old_watches_and_reads_that_they_are_of_the_past) {
  LeaseGrantRequest grant;
  grant.set_id(77);
  grant.set_ttl(1000);
  ASSERT_TRUE(call(*member_, &Member::lease_grant, grant).status.ok());
  PutRequest leased;
  leased.set_key("leased");
  leased.set_lease(77);
  ASSERT_TRUE(call(*member_, &Member::put, leased).status.ok());
  ASSERT_TRUE(save(*member_, backup()).ok());
  const int64_t old_revision = hash(*member_).header().revision();
  member_->stop(0);

  const std::map<std::string, std::vector<std::string>> cluster = {{"n1", {url()}}};
  RestoreOptions o = restored("n1", cluster);
  o.bump_revision = 1'000'000;
  EXPECT_EQ(restore(o).status().text(), "--mark-compacted required if --revision-bump > 0");
  o.mark_compacted = true;
  const auto made = restore(o);
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  EXPECT_EQ(made->revision, old_revision + 1'000'000);

  const auto member = start(quick_options(directory_.path(), "n1", cluster.at("n1")[0]));
  ASSERT_TRUE(eventually([&] { return member->leader() != 0; }));
  RangeRequest old;
  old.set_key("k1");
  old.set_revision(old_revision);
  EXPECT_EQ(call(*member, &Member::range, old).status.text(), "etcdserver: mvcc: required revision has been compacted");
  const auto kept = get(*member, "leased");
  ASSERT_EQ(kept.response.kvs_size(), 1);
  EXPECT_EQ(kept.response.kvs(0).lease(), 77);
  EXPECT_GE(kept.response.header().revision(), old_revision + 1'000'000);
  LeaseTimeToLiveRequest ask;
  ask.set_id(77);
  ask.set_keys(true);
  LeaseTimeToLiveResponse lives;
  ASSERT_TRUE(eventually([&] {
    lives = call(*member, &Member::lease_time_to_live, ask).response;
    return lives.ttl() > 0;
  }));
  EXPECT_EQ(lives.grantedttl(), 1000);
  ASSERT_EQ(lives.keys_size(), 1);
  EXPECT_EQ(put(*member, "k1", "v").response.header().revision(), old_revision + 1'000'001);
}

TEST_F(RestoreTest, Writes_nothing_when_the_backup_is_damaged) {
  ASSERT_TRUE(save(*member_, backup()).ok());
  {
    std::fstream file(backup(), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(1000);
    file.put('!');
  }
  const RestoreOptions o = restored("n1", {{"n1", {url()}}});
  const Status status = restore(o).status();
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(status.text(), HasSubstr("is damaged at offset "));
  EXPECT_FALSE(fs::exists(o.data_dir));
  EXPECT_FALSE(fs::exists(o.data_dir + ".restoring"));
  // A part of it neither.
  fs::resize_file(backup(), 5000);
  EXPECT_THAT(restore(o).status().text(), HasSubstr("is damaged at offset 5000"));
  EXPECT_FALSE(fs::exists(o.data_dir + ".restoring"));
}

TEST_F(RestoreTest, Refuses_a_directory_in_which_something_is) {
  ASSERT_TRUE(save(*member_, backup()).ok());
  const RestoreOptions o = restored("n1", {{"n1", {url()}}});
  fs::create_directory(o.data_dir);
  std::ofstream(o.data_dir + "/mine") << "x";
  const Status status = restore(o).status();
  EXPECT_EQ(status,
            Status(Code::kFailedPrecondition, "data-dir \"" + o.data_dir + "\" not empty or could not be read"));
  fs::remove(o.data_dir + "/mine");
  // An empty one is taken, as etcd does.
  EXPECT_TRUE(restore(o).ok());
  EXPECT_EQ(restore(o).status(), status);
  EXPECT_TRUE(fs::exists(o.data_dir + "/state/CURRENT"));
}

TEST_F(RestoreTest, Options_that_contradict_each_other_are_refused_first) {
  RestoreOptions o = restored("n1", {{"n1", {url()}}});
  o.name = "n2";
  EXPECT_EQ(restore(o).status().code(), Code::kInvalidArgument);
  o.name = "n1";
  o.initial_advertise_peer_urls = {"http://127.0.0.1:1"};
  EXPECT_EQ(restore(o).status().code(), Code::kInvalidArgument);
}

// What a killed restore leaves: kvd does not begin without the backup, and the next restore begins anew.
TEST_F(RestoreTest, An_interrupted_restore_is_seen_and_can_be_repeated) {
  ASSERT_TRUE(save(*member_, backup()).ok());
  const std::string peer_url = url();
  const RestoreOptions o = restored("n1", {{"n1", {peer_url}}});
  fs::create_directories(o.data_dir + ".restoring/state");
  std::ofstream(o.data_dir + ".restoring/state/000001.sst") << "half";

  const MemberOptions options = quick_options(directory_.path(), "n1", peer_url);
  const auto refused = Member::start(options, must_not_fail);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), Code::kFailedPrecondition);
  EXPECT_THAT(refused.status().text(), HasSubstr("begun and not finished"));
  EXPECT_FALSE(fs::exists(o.data_dir));

  {
    std::ofstream(o.data_dir + ".restoring/RESTORING") << "";
    const int lock = ::open((o.data_dir + ".restoring/RESTORING").c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_EQ(::flock(lock, LOCK_EX | LOCK_NB), 0);
    EXPECT_THAT(restore(o).status().text(), HasSubstr("another restore"));
    ::close(lock);
  }
  const auto made = restore(o);
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  EXPECT_FALSE(fs::exists(o.data_dir + ".restoring"));
  EXPECT_FALSE(fs::exists(o.data_dir + "/RESTORING"));
  const auto member = start(options);
  ASSERT_TRUE(eventually([&] { return member->leader() != 0; }));
  EXPECT_EQ(get(*member, "k1").response.kvs_size(), 1);
}

TEST_F(RestoreTest, The_directory_of_a_stopped_member_has_the_same_state) {
  EXPECT_EQ(ColdState::open(options_.data_dir).status().code(), Code::kUnavailable) << "the member runs";
  EXPECT_EQ(defragment_offline(options_.data_dir).code(), Code::kUnavailable);
  const HashKVResponse before = hash(*member_);
  ASSERT_TRUE(save(*member_, backup()).ok());
  member_.reset();

  const auto of_backup = hash_offline(backup(), 0);
  ASSERT_TRUE(of_backup.ok()) << of_backup.status().to_string();
  EXPECT_EQ(of_backup->hash, before.hash());
  EXPECT_FALSE(fs::exists(backup() + ".unpacked"));
  const auto of_directory = hash_offline(options_.data_dir, 0);
  ASSERT_TRUE(of_directory.ok()) << of_directory.status().to_string();
  EXPECT_EQ(of_directory->hash, before.hash());
  const Status defragmented = defragment_offline(options_.data_dir);
  EXPECT_TRUE(defragmented.ok()) << defragmented.to_string();
  EXPECT_EQ(hash_offline(options_.data_dir, 0)->hash, before.hash());
  EXPECT_EQ(hash_offline(directory_.path() + "/nothing", 0).status().code(), Code::kNotFound);
  EXPECT_FALSE(fs::exists(options_.data_dir + "/backup"));

  // And it still is a member.
  member_ = start(options_);
  ASSERT_TRUE(eventually([&] { return member_->leader() != 0; }));
  EXPECT_EQ(hash(*member_).hash(), before.hash());
}

TEST_F(RestoreTest, Defragments_while_it_serves) {
  const uint32_t before = hash(*member_).hash();
  const auto answer = call(*member_, &Member::defragment, DefragmentRequest());
  EXPECT_TRUE(answer.status.ok()) << answer.status.to_string();
  EXPECT_FALSE(answer.response.has_header()) << "as etcd";
  EXPECT_EQ(hash(*member_).hash(), before);
}

}  // namespace
}  // namespace kv::server
