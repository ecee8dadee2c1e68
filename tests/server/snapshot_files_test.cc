// A snapshot from its first piece to its place, with the member killed after every step of the way.
#include "server/snapshot_files.h"

#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "fixture.h"
#include "server/incoming_snapshot.h"
#include "server/membership.h"
#include "server/snapshot_metrics.h"
#include "server/snapshot_sender.h"

namespace kv::server {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSnapshotIndex = 120;

std::unique_ptr<store::Store> open_store(const std::string& path) {
  store::StoreOptions options;
  options.path = path;
  options.write_buffer_bytes = 1 << 20;
  options.block_cache_bytes = 1 << 20;
  auto store = store::Store::open(options);
  EXPECT_TRUE(store.ok()) << store.status().to_string();
  return store.ok() ? *std::move(store) : nullptr;
}

std::unique_ptr<raft::LogStore> open_log(const std::string& path) {
  raft::LogStore::Options options;
  options.path = path;
  options.memtable_bytes = 1 << 20;
  options.prepare_files = false;
  auto log = raft::LogStore::open(options);
  EXPECT_TRUE(log.ok()) << log.status().to_string();
  return log.ok() ? *std::move(log) : nullptr;
}

void apply_up_to(store::Store& store, uint64_t index) {
  raft::Configuration configuration;
  configuration.voters = {raft::NodeId(1), raft::NodeId(2)};
  for (uint64_t i = store.applied_index() + 1; i <= index; ++i) {
    const auto batch = store.begin();
    etcdserverpb::PutRequest put;
    put.set_key("key" + std::to_string(i % 17));
    put.set_value(std::string(3000, 'v') + std::to_string(i));
    etcdserverpb::PutResponse response;
    ASSERT_TRUE(batch->put(put, &response).ok());
    batch->put_record(kConfigurationRecord, encode(configuration));
    ASSERT_TRUE(batch->commit(i, 2).ok());
  }
}

// A sender with a state at kSnapshotIndex and a receiver at 10, whose log ends at 15.
class SnapshotFiles : public testing::Test {
 protected:
  SnapshotFiles() {
    sender_store_ = open_store(directory_.path() + "/sender");
    apply_up_to(*sender_store_, kSnapshotIndex);
    make_sender();
    fs::create_directory(data_dir());
    apply_up_to(*open_store(paths_.state()), 10);
    const auto log = open_log(data_dir() + "/log");
    std::vector<raft::Entry> entries;
    for (uint64_t i = 1; i <= 15; ++i) {
      entries.push_back({raft::Index(i), raft::Term(1), raft::EntryType::kCommand, std::make_shared<std::string>("x")});
    }
    EXPECT_TRUE(log->write(raft::HardState{raft::Term(1), raft::NodeId(1), raft::Index(15)}, entries, true).ok());
  }

  void make_sender() {
    sender_ = std::make_unique<SnapshotSender>(SnapshotPaths(directory_.path()), *sender_store_, Clock::system(),
                                               sender_options_);
  }

  std::string data_dir() const { return directory_.path() + "/receiver"; }

  kvdpb::PeerResponse ask(const kvdpb::PeerRequest& request, uint64_t from = 7) {
    auto promise = std::make_shared<std::promise<kvdpb::PeerResponse>>();
    auto answer = promise->get_future();
    sender_->serve(raft::NodeId(from), request,
                   [promise](kvdpb::PeerResponse&& response) { promise->set_value(std::move(response)); });
    return answer.get();
  }
  kvdpb::PeerResponse open(uint64_t have = 0, uint64_t min_index = 100, uint64_t from = 7) {
    kvdpb::PeerRequest request;
    request.mutable_snapshot_open()->set_min_index(min_index);
    request.mutable_snapshot_open()->set_have(have);
    return ask(request, from);
  }
  kvdpb::SnapshotPiece read(const kvdpb::SnapshotManifest& manifest, const IncomingSnapshot::Wanted& wanted,
                            uint32_t bytes = 4000) {
    kvdpb::PeerRequest request;
    auto* read = request.mutable_snapshot_read();
    read->set_id(manifest.id());
    read->set_name(wanted.name);
    read->set_offset(wanted.offset);
    read->set_max_bytes(bytes);
    const kvdpb::PeerResponse answer = ask(request);
    EXPECT_EQ(answer.code(), 0) << answer.text();
    return answer.snapshot_piece();
  }

  // Fetches what is missing and puts it in its place.
  Result<IncomingSnapshot::Placed> fetch(const SnapshotStepHook& hook = {}) {
    IncomingSnapshot incoming(paths_, hook);
    const kvdpb::SnapshotManifest manifest = open(incoming.begun()).snapshot_manifest();
    KV_RETURN_IF_ERROR(incoming.begin(manifest));
    while (const auto wanted = incoming.next()) KV_RETURN_IF_ERROR(incoming.add(read(manifest, *wanted)));
    return incoming.finish();
  }

  // A start: what a member does before its engine begins. The state that it has then.
  uint64_t recover(const SnapshotStepHook& hook = {}) {
    const auto log = open_log(data_dir() + "/log");
    const Status recovered = recover_snapshots(paths_, *log, hook);
    EXPECT_TRUE(recovered.ok()) << recovered.to_string();
    const auto store = open_store(paths_.state());
    // A consistent pair: the log reaches the state, and goes on from it without a hole.
    EXPECT_LE(store->applied_index(), log->last_index().value());
    EXPECT_GE(store->applied_index() + 1, log->first_index().value());
    if (store->applied_index() == kSnapshotIndex) {
      EXPECT_EQ(store->hash_kv(0)->hash, sender_store_->hash_kv(0)->hash);
      EXPECT_EQ(log->snapshot().index.value(), kSnapshotIndex);
      EXPECT_EQ(log->snapshot().configuration.voters.size(), 2u);
    }
    return store->applied_index();
  }

  std::vector<std::string> names(const std::string& path) const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(path)) found.push_back(entry.path().filename());
    std::sort(found.begin(), found.end());
    return found;
  }

  TempDirectory directory_;
  SnapshotPaths paths_{directory_.path() + "/receiver"};
  SnapshotSender::Options sender_options_;
  std::unique_ptr<store::Store> sender_store_;
  std::unique_ptr<SnapshotSender> sender_;
};

TEST_F(SnapshotFiles, A_fetched_state_takes_the_place_of_the_old_one) {
  EXPECT_EQ(current_state(data_dir()), paths_.state());
  const auto placed = fetch();
  ASSERT_TRUE(placed.ok()) << placed.status().to_string();
  EXPECT_EQ(current_state(data_dir()), placed->path);
  EXPECT_EQ(placed->meta.index.value(), kSnapshotIndex);
  EXPECT_EQ(placed->meta.term.value(), 2u);
  EXPECT_EQ(recover(), kSnapshotIndex);
  EXPECT_EQ(current_state(data_dir()), paths_.state());
  EXPECT_EQ(names(data_dir()), (std::vector<std::string>{"log", "snapshots", "state"}));
  EXPECT_TRUE(names(paths_.snapshots()).empty());
  EXPECT_EQ(recover(), kSnapshotIndex) << "a second start finds nothing to do";
}

TEST_F(SnapshotFiles, What_was_fetched_before_a_restart_is_not_fetched_again) {
  kvdpb::SnapshotManifest manifest;
  IncomingSnapshot::Wanted last;
  uint64_t fetched = 0;
  {
    IncomingSnapshot incoming(paths_);
    manifest = open().snapshot_manifest();
    ASSERT_TRUE(incoming.begin(manifest).ok());
    for (int i = 0; i < 6; ++i) {
      const auto piece = read(manifest, *incoming.next());
      fetched += piece.data().size();
      ASSERT_TRUE(incoming.add(piece).ok());
    }
    last = *incoming.next();
  }
  EXPECT_EQ(recover(), 10u);
  IncomingSnapshot incoming(paths_);
  EXPECT_EQ(incoming.begun(), manifest.id());
  ASSERT_TRUE(incoming.begin(open(incoming.begun()).snapshot_manifest()).ok());
  EXPECT_EQ(incoming.next()->name, last.name);
  EXPECT_EQ(incoming.next()->offset, last.offset);
  uint64_t total = 0;
  for (const auto& file : manifest.files()) total += file.size();
  EXPECT_EQ(incoming.bytes_missing(), total - fetched);
}

// Each test has its own members, so that others' numbers are not in the way.
TEST_F(SnapshotFiles, A_sender_counts_what_it_sends_by_its_end) {
  const auto close = [this](uint64_t id, uint64_t from) {
    kvdpb::PeerRequest request;
    request.mutable_snapshot_close()->set_id(id);
    EXPECT_EQ(ask(request, from).code(), 0);
  };
  const SnapshotTraffic good = snapshots_sent_to(raft::NodeId(501)), bad = snapshots_sent_to(raft::NodeId(502));
  const auto manifest = open(0, 100, 501).snapshot_manifest();
  EXPECT_EQ(open(manifest.id(), 100, 502).snapshot_manifest().id(), manifest.id());
  EXPECT_EQ(open(manifest.id(), 100, 501).snapshot_manifest().id(), manifest.id()) << "it goes on with that";
  EXPECT_EQ(good.inflight.value(), 1);
  EXPECT_EQ(bad.inflight.value(), 1);
  close(manifest.id(), 501);
  close(manifest.id(), 501);  // asked again: the answer was lost
  EXPECT_EQ(good.inflight.value(), 0);
  EXPECT_EQ(good.successes.value(), 1u);
  EXPECT_EQ(good.seconds.count(), 1u);
  EXPECT_EQ(good.failures.value(), 0u);
  // It wants another, which cannot be had: two have come to nothing.
  EXPECT_EQ(static_cast<Code>(open(0, kSnapshotIndex + 1, 502).code()), Code::kUnavailable);
  EXPECT_EQ(bad.inflight.value(), 0);
  EXPECT_EQ(bad.failures.value(), 2u);
  // The sender ends meanwhile.
  (void)open(0, 100, 502);
  EXPECT_EQ(bad.inflight.value(), 1);
  sender_.reset();
  EXPECT_EQ(bad.inflight.value(), 0);
  EXPECT_EQ(bad.failures.value(), 3u);
  EXPECT_EQ(bad.successes.value(), 0u);
  EXPECT_EQ(bad.seconds.count(), 0u);
}

TEST_F(SnapshotFiles, A_sender_that_has_the_copy_no_more_gives_another) {
  IncomingSnapshot incoming(paths_);
  const auto first = open().snapshot_manifest();
  ASSERT_TRUE(incoming.begin(first).ok());
  ASSERT_TRUE(incoming.add(read(first, *incoming.next())).ok());
  sender_.reset();
  make_sender();
  const auto second = open(incoming.begun()).snapshot_manifest();
  EXPECT_NE(second.id(), first.id());
  ASSERT_TRUE(incoming.begin(second).ok());
  EXPECT_EQ(incoming.next()->offset, 0u);
  EXPECT_EQ(incoming.begun(), second.id());
}

TEST_F(SnapshotFiles, A_piece_that_was_damaged_on_its_way_is_refused_and_asked_for_again) {
  IncomingSnapshot incoming(paths_);
  const auto manifest = open().snapshot_manifest();
  ASSERT_TRUE(incoming.begin(manifest).ok());
  const auto wanted = *incoming.next();
  kvdpb::SnapshotPiece piece = read(manifest, wanted);
  (*piece.mutable_data())[piece.data().size() / 2] ^= 1;
  EXPECT_EQ(incoming.add(piece).code(), Code::kDataLoss);
  EXPECT_EQ(incoming.next()->offset, wanted.offset);
  // A whole piece, but of another place.
  piece = read(manifest, {wanted.name, 1});
  EXPECT_EQ(incoming.add(piece).code(), Code::kDataLoss);
  ASSERT_TRUE(incoming.add(read(manifest, wanted)).ok());
}

TEST_F(SnapshotFiles, A_file_that_a_crash_has_damaged_is_fetched_anew) {
  IncomingSnapshot incoming(paths_);
  const auto manifest = open().snapshot_manifest();
  ASSERT_TRUE(incoming.begin(manifest).ok());
  IncomingSnapshot::Wanted wanted = *incoming.next();
  while (wanted.offset == 0) {
    ASSERT_TRUE(incoming.add(read(manifest, wanted)).ok());
    wanted = *incoming.next();
  }
  // The machine lost what was not synced: the length is there, the bytes are not.
  const std::string part = paths_.incoming_state() + "/" + wanted.name + ".part";
  ASSERT_TRUE(write_file_durably(part, std::string(wanted.offset, '\0')).ok());
  bool refused = false;
  while (incoming.next() && incoming.next()->name == wanted.name && !refused) {
    refused = incoming.add(read(manifest, *incoming.next())).code() == Code::kDataLoss;
  }
  ASSERT_TRUE(refused);
  EXPECT_EQ(incoming.next()->name, wanted.name);
  EXPECT_EQ(incoming.next()->offset, 0u);
  while (const auto rest = incoming.next()) ASSERT_TRUE(incoming.add(read(manifest, *rest)).ok());
  EXPECT_TRUE(incoming.finish().ok());
}

TEST_F(SnapshotFiles, Names_that_lead_elsewhere_are_refused) {
  for (const char* name : {"../state", "/etc/passwd", "a/b", ".", "..", "", "x.part", "a b"}) {
    kvdpb::SnapshotManifest manifest;
    manifest.set_id(1);
    manifest.set_index(5);
    manifest.add_files()->set_name(name);
    EXPECT_EQ(IncomingSnapshot(paths_).begin(manifest).code(), Code::kInvalidArgument) << name;
  }
  EXPECT_TRUE(valid_file_name("MANIFEST-000005"));
  EXPECT_TRUE(valid_file_name("000012.sst"));
}

TEST_F(SnapshotFiles, A_state_that_is_not_what_was_promised_takes_no_place) {
  IncomingSnapshot incoming(paths_);
  auto manifest = open().snapshot_manifest();
  manifest.set_index(kSnapshotIndex + 1);
  ASSERT_TRUE(incoming.begin(manifest).ok());
  while (const auto wanted = incoming.next()) ASSERT_TRUE(incoming.add(read(manifest, *wanted)).ok());
  EXPECT_EQ(incoming.finish().status().code(), Code::kDataLoss);
  EXPECT_FALSE(fs::exists(paths_.incoming()));
  EXPECT_EQ(recover(), 10u);
}

// ---- Killed after each step ----

class KilledAt : public SnapshotFiles, public testing::WithParamInterface<int> {
 protected:
  // What a process that is killed after the step leaves: its files as they are then. False when it never comes to it.
  bool leave_what_is_there_at(SnapshotStep step, const std::function<void(const SnapshotStepHook&)>& run) {
    const std::string left = directory_.path() + "/left";
    run([&](SnapshotStep done) {
      if (done == step && !fs::exists(left)) fs::copy(data_dir(), left, fs::copy_options::recursive);
    });
    if (!fs::exists(left)) return false;
    fs::remove_all(data_dir());
    fs::rename(left, data_dir());
    return true;
  }
};

TEST_P(KilledAt, A_member_recovers) {
  const auto step = static_cast<SnapshotStep>(GetParam());
  const bool killed = leave_what_is_there_at(step, [&](const SnapshotStepHook& hook) {
    const auto placed = fetch(hook);
    ASSERT_TRUE(placed.ok()) << placed.status().to_string();
    recover(hook);
  });
  ASSERT_TRUE(killed) << "nothing came to " << step_name(step);
  const uint64_t applied = recover();
  EXPECT_EQ(applied, step < SnapshotStep::kStateRenamed ? 10u : kSnapshotIndex);
  if (applied == kSnapshotIndex) return;
  // It goes on where it was.
  ASSERT_TRUE(fetch().ok());
  EXPECT_EQ(recover(), kSnapshotIndex);
}

// A start that is itself killed after each of its steps.
class StartKilledAt : public KilledAt {};

TEST_P(StartKilledAt, The_next_start_takes_it_up) {
  const auto step = static_cast<SnapshotStep>(GetParam());
  ASSERT_TRUE(fetch().ok());
  ASSERT_TRUE(leave_what_is_there_at(step, [&](const SnapshotStepHook& hook) { recover(hook); }));
  EXPECT_EQ(recover(), kSnapshotIndex);
  EXPECT_EQ(names(data_dir()), (std::vector<std::string>{"log", "snapshots", "state"}));
}

std::string name_of(const testing::TestParamInfo<int>& test) {
  return std::string(step_name(static_cast<SnapshotStep>(test.param)));
}
INSTANTIATE_TEST_SUITE_P(Step, KilledAt, testing::Range(0, kSnapshotSteps), name_of);
INSTANTIATE_TEST_SUITE_P(Step, StartKilledAt, testing::Range(static_cast<int>(SnapshotStep::kLogBegun), kSnapshotSteps),
                         name_of);

TEST_F(SnapshotFiles, Of_two_received_states_the_later_counts_and_the_other_goes) {
  ASSERT_TRUE(fetch().ok());
  ASSERT_TRUE(sender_store_->checkpoint(paths_.state(raft::Index(60))).ok());
  EXPECT_EQ(recover(), kSnapshotIndex);
  EXPECT_EQ(names(data_dir()), (std::vector<std::string>{"log", "snapshots", "state"}));
}

TEST_F(SnapshotFiles, A_state_that_went_on_after_it_was_installed_keeps_what_it_has) {
  const auto placed = fetch();
  ASSERT_TRUE(placed.ok());
  {
    const auto log = open_log(data_dir() + "/log");
    ASSERT_TRUE(log->truncate_prefix(placed->meta).ok());
    std::vector<raft::Entry> entries;
    for (uint64_t i = kSnapshotIndex + 1; i <= kSnapshotIndex + 5; ++i) {
      entries.push_back({raft::Index(i), raft::Term(2), raft::EntryType::kCommand, std::make_shared<std::string>("x")});
    }
    ASSERT_TRUE(log->write(raft::HardState{raft::Term(2), raft::NodeId(1), raft::Index(125)}, entries, true).ok());
    const auto store = open_store(placed->path);
    apply_up_to(*store, kSnapshotIndex + 3);
  }
  EXPECT_EQ(recover(), kSnapshotIndex + 3);
}

TEST_F(SnapshotFiles, A_received_state_that_fits_no_log_is_refused) {
  const auto placed = fetch();
  ASSERT_TRUE(placed.ok());
  fs::rename(placed->path, paths_.state(raft::Index(kSnapshotIndex + 1)));
  const auto log = open_log(data_dir() + "/log");
  EXPECT_EQ(recover_snapshots(paths_, *log).code(), Code::kDataLoss);
  EXPECT_TRUE(fs::exists(paths_.state())) << "nothing is removed before it is known to be replaced";
}

// ---- The sender ----

TEST_F(SnapshotFiles, Two_members_share_a_copy_and_the_last_to_close_it_removes_it) {
  const auto first = open(0, 100, 7).snapshot_manifest();
  const auto second = open(0, 100, 8).snapshot_manifest();
  EXPECT_EQ(first.id(), second.id());
  kvdpb::PeerRequest close;
  close.mutable_snapshot_close()->set_id(first.id());
  (void)ask(close, 7);
  EXPECT_TRUE(fs::exists(SnapshotPaths(directory_.path()).outgoing(first.id())));
  (void)ask(close, 8);
  EXPECT_FALSE(fs::exists(SnapshotPaths(directory_.path()).outgoing(first.id())));
  EXPECT_EQ(sender_->needed_after(), raft::Index(kSnapshotIndex)) << "they still have to open what they have";
}

TEST_F(SnapshotFiles, A_copy_that_is_too_old_is_not_given) {
  const auto first = open().snapshot_manifest();
  apply_up_to(*sender_store_, kSnapshotIndex + 10);
  const auto second = open(first.id(), kSnapshotIndex + 5).snapshot_manifest();
  EXPECT_NE(second.id(), first.id());
  EXPECT_EQ(second.index(), kSnapshotIndex + 10);
  EXPECT_NE(open(0, kSnapshotIndex + 11).code(), 0) << "nobody can give what nobody has";
}

TEST_F(SnapshotFiles, A_copy_that_nobody_asks_for_is_removed) {
  sender_options_.idle_ms = 0;
  sender_.reset();
  make_sender();
  const auto manifest = open().snapshot_manifest();
  const std::string path = SnapshotPaths(directory_.path()).outgoing(manifest.id());
  EXPECT_TRUE(fs::exists(path));
  sender_->expire();
  EXPECT_TRUE(eventually([&] { return !fs::exists(path); }));
  kvdpb::PeerRequest request;
  request.mutable_snapshot_read()->set_id(manifest.id());
  request.mutable_snapshot_read()->set_name(manifest.files(0).name());
  EXPECT_EQ(ask(request).code(), static_cast<int32_t>(Code::kNotFound));
}

TEST_F(SnapshotFiles, Pieces_are_no_larger_than_a_megabyte_and_no_file_but_a_listed_one_is_read) {
  const auto manifest = open().snapshot_manifest();
  for (const auto& file : manifest.files()) {
    EXPECT_LE(read(manifest, {file.name(), 0}, UINT32_MAX).data().size(), 1u << 20);
  }
  kvdpb::PeerRequest request;
  request.mutable_snapshot_read()->set_id(manifest.id());
  request.mutable_snapshot_read()->set_name("../../receiver/state/CURRENT");
  request.mutable_snapshot_read()->set_max_bytes(100);
  EXPECT_EQ(ask(request).code(), static_cast<int32_t>(Code::kNotFound));
}

}  // namespace
}  // namespace kv::server
