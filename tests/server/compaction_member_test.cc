// What a compaction's answer promises, seen in the files that a member leaves.
#include <gtest/gtest.h>

#include "members_fixture.h"
#include "store/compaction.h"

namespace kv::server {
namespace {

// The revision below which history is compacted in the files of a member that has ended.
int64_t compacted_below(const MemberOptions& options) {
  store::StoreOptions state;
  state.path = options.data_dir + "/state";
  state.create_if_missing = false;
  const auto database = store::Database::open(state);
  EXPECT_TRUE(database.ok()) << database.status().to_string();
  store::HeadGuard guard;
  store::Compaction compaction(**database, guard);
  EXPECT_TRUE(compaction.load().ok());
  return compaction.done().main;
}

TEST(CompactionOfMember, Physical_one_is_answered_once_old_history_is_gone) {
  TempDirectory directory;
  const auto options = quick_options(directory.path(), "m1", "http://127.0.0.1:" + std::to_string(free_port()));
  int64_t revision = 0;
  {
    const auto member = start(options);
    ASSERT_TRUE(eventually([&] { return member->leader() != 0; }));
    // So much that survives, each a record of its own afterwards, that the background, which rests after each small
    // write, takes far longer than an answer.
    for (int round = 0; round < 150; ++round) {
      etcdserverpb::TxnRequest request;
      for (int i = 0; i < 128; ++i) {
        auto* put = request.add_success()->mutable_request_put();
        put->set_key(std::to_string(round) + "/" + std::to_string(i));
        put->set_value("v");
      }
      const auto answer = call(*member, &Member::txn, request);
      ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
      revision = answer.response.header().revision();
    }
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision);
    request.set_physical(true);
    const auto answer = call(*member, &Member::compact, request);
    ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
    member->stop(0);  // a compaction that is not at its end is broken off
  }
  EXPECT_EQ(compacted_below(options), revision);
}

}  // namespace
}  // namespace kv::server
