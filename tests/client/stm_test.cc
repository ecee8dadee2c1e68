#include "client/stm.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "client/embedded.h"

namespace kv::client {
namespace {

class ClientStm : public Embedded {
 protected:
  void put(std::string_view name, std::string_view value) { ASSERT_TRUE(client_->put(key(name), value).ok()); }
};

int number(const std::optional<std::string>& text) { return std::stoi(text.value_or("0")); }

// Moves one from one account to another, as far as there is something.
Status move_one(Stm& stm, const std::string& from, const std::string& to) {
  const auto source = stm.get(from);
  if (!source.ok()) return source.status();
  const auto target = stm.get(to);
  if (!target.ok()) return target.status();
  if (number(*source) == 0) return Status(Code::kFailedPrecondition, "nothing left");
  stm.put(from, std::to_string(number(*source) - 1));
  stm.put(to, std::to_string(number(*target) + 1));
  return {};
}

TEST_F(ClientStm, Transfers_of_several_threads_keep_the_sum_and_every_reader_sees_it) {
  constexpr int kAccounts = 4;
  constexpr int kThreads = 4;
  constexpr int kEach = 25;
  for (int i = 0; i < kAccounts; ++i) put(std::to_string(i), "10");

  std::atomic<int> moved{0};
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string from = key(std::to_string((t + i) % kAccounts));
        const std::string to = key(std::to_string((t + 2 * i + 1) % kAccounts));
        if (from == to) continue;
        const auto done = transact(*client_, [&](Stm& stm) { return move_one(stm, from, to); });
        if (done.ok()) ++moved;
        EXPECT_TRUE(done.ok() || done.status().text() == "nothing left") << done.status().to_string();
      }
    });
  }
  std::thread reader([&] {
    while (!over) {
      int sum = 0;
      const auto read = transact(*client_, [&](Stm& stm) -> Status {
        sum = 0;
        for (int i = 0; i < kAccounts; ++i) {
          const auto got = stm.get(key(std::to_string(i)));
          if (!got.ok()) return got.status();
          sum += number(*got);
        }
        return {};
      });
      EXPECT_TRUE(read.ok()) << read.status().to_string();
      EXPECT_EQ(sum, 10 * kAccounts) << "at revision " << read->header.revision;
    }
  });
  for (std::thread& thread : threads) thread.join();
  over = true;
  reader.join();

  int sum = 0;
  for (int i = 0; i < kAccounts; ++i) sum += std::stoi(value_of(std::to_string(i)));
  EXPECT_EQ(sum, 10 * kAccounts);
  EXPECT_GT(moved, 0);
}

TEST_F(ClientStm, Body_sees_one_state_and_its_own_writes) {
  put("a", "1");
  put("gone", "x");
  const auto done = transact(*client_, [&](Stm& stm) -> Status {
    EXPECT_EQ(stm.revision(), 0);
    EXPECT_EQ(*stm.get(key("a")), "1");
    EXPECT_GT(stm.revision(), 0);
    EXPECT_EQ(*stm.mod_revision(key("none")), 0);
    EXPECT_EQ(*stm.get(key("none")), std::nullopt);
    stm.put(key("a"), "2");
    stm.put(key("new"), "3");
    stm.remove(key("gone"));
    EXPECT_EQ(*stm.get(key("a")), "2");
    EXPECT_EQ(*stm.get(key("new")), "3");
    EXPECT_EQ(*stm.get(key("gone")), std::nullopt);
    EXPECT_EQ(value_of("a"), "1") << "written at the end, not before";
    return {};
  });
  ASSERT_TRUE(done.ok()) << done.status().to_string();
  EXPECT_EQ(done->runs, 1);
  const auto a = client_->get(key("a"));
  EXPECT_EQ(a->kvs.at(0).value, "2");
  EXPECT_EQ(a->kvs.at(0).mod_revision, done->header.revision);
  EXPECT_EQ(client_->get(key("new"))->kvs.at(0).mod_revision, done->header.revision) << "all at one revision";
  EXPECT_EQ(value_of("gone"), "(none)");
}

TEST_F(ClientStm, Change_of_what_was_read_runs_the_body_again_on_the_new_state) {
  put("a", "1");
  put("b", "1");
  std::vector<std::string> seen;
  const auto done = transact(*client_, [&](Stm& stm) -> Status {
    const auto a = stm.get(key("a"));
    if (seen.empty()) {
      put("a", "5");
      put("b", "5");
    }
    const auto b = stm.get(key("b"));
    seen.push_back(a->value() + b->value());
    stm.put(key("sum"), std::to_string(number(*a) + number(*b)));
    return {};
  });
  ASSERT_TRUE(done.ok()) << done.status().to_string();
  EXPECT_EQ(done->runs, 2);
  EXPECT_EQ(seen, (std::vector<std::string>{"11", "55"})) << "no run sees a part of both states";
  EXPECT_EQ(value_of("sum"), "10");
}

TEST_F(ClientStm, Write_under_something_newer_runs_the_body_again_though_it_was_not_read) {
  put("a", "1");
  int runs = 0;
  const auto done = transact(*client_, [&](Stm& stm) -> Status {
    EXPECT_TRUE(stm.get(key("a")).ok());
    if (++runs == 1) put("b", "theirs");
    stm.put(key("b"), "ours");
    return {};
  });
  ASSERT_TRUE(done.ok()) << done.status().to_string();
  EXPECT_EQ(done->runs, 2);
  EXPECT_EQ(value_of("b"), "ours");
}

// Two doctors on call, each of whom may leave if the other stays.
TEST_F(ClientStm, Two_that_read_what_the_other_writes_do_not_both_succeed_on_the_old_state) {
  put("1", "on");
  put("2", "on");
  int runs = 0;
  const auto leave = [&](std::string_view who, std::string_view other) {
    return [&, who = key(who), other = key(other)](Stm& stm) -> Status {
      const auto mine = stm.get(who);
      const auto theirs = stm.get(other);
      if (!mine.ok() || !theirs.ok()) return mine.ok() ? theirs.status() : mine.status();
      if (*theirs != "on") return Status(Code::kFailedPrecondition, "somebody must stay");
      stm.put(who, "off");
      return {};
    };
  };
  const auto first = transact(*client_, [&](Stm& stm) -> Status {
    const Status said = leave("1", "2")(stm);
    if (++runs == 1) {
      EXPECT_TRUE(transact(*client_, leave("2", "1")).ok());
    }
    return said;
  });
  EXPECT_EQ(first.status(), Status(Code::kFailedPrecondition, "somebody must stay"));
  EXPECT_EQ(value_of("1"), "on");
  EXPECT_EQ(value_of("2"), "off");
}

TEST_F(ClientStm, Body_that_fails_writes_nothing) {
  const Status no(Code::kFailedPrecondition, "no");
  const auto done = transact(*client_, [&](Stm& stm) {
    stm.put(key("a"), "1");
    return no;
  });
  EXPECT_EQ(done.status(), no);
  EXPECT_EQ(value_of("a"), "(none)");
}

TEST_F(ClientStm, Body_that_overlooks_a_failed_read_writes_nothing) {
  const auto done = transact(*client_, [&](Stm& stm) -> Status {
    (void)stm.get("");
    stm.put(key("a"), "1");
    return {};
  });
  EXPECT_EQ(done.status(), Status(Code::kInvalidArgument, "etcdserver: key is not provided"));
  EXPECT_EQ(value_of("a"), "(none)");
}

TEST_F(ClientStm, Snapshot_that_is_compacted_away_is_taken_anew) {
  put("a", "1");
  put("b", "1");
  int runs = 0;
  const auto done = transact(*client_, [&](Stm& stm) -> Status {
    const auto a = stm.get(key("a"));
    if (!a.ok()) return a.status();
    if (++runs == 1) {
      const auto newer = client_->put(key("b"), "2");
      EXPECT_TRUE(client_->compact(newer->header.revision, {.physical = true}).ok());
    }
    const auto b = stm.get(key("b"));
    if (!b.ok()) return b.status();
    stm.put(key("copy"), b->value());
    return {};
  });
  ASSERT_TRUE(done.ok()) << done.status().to_string();
  EXPECT_EQ(done->runs, 2);
  EXPECT_EQ(value_of("copy"), "2");
}

TEST_F(ClientStm, Prefetched_keys_count_as_read) {
  put("a", "1");
  int runs = 0;
  const auto done = transact(*client_,
                             [&](Stm& stm) -> Status {
                               EXPECT_GT(stm.revision(), 0);
                               if (++runs == 1) put("a", "2");
                               stm.put(key("b"), stm.get(key("a"))->value());
                               return {};
                             },
                             {.prefetch = {key("a"), key("none")}});
  ASSERT_TRUE(done.ok()) << done.status().to_string();
  EXPECT_EQ(done->runs, 2);
  EXPECT_EQ(value_of("b"), "2");
}

TEST_F(ClientStm, Wait_ends_a_transaction_that_others_always_beat) {
  put("a", "1");
  std::stop_source stop;
  int runs = 0;
  const auto done = transact(*client_,
                             [&](Stm& stm) -> Status {
                               EXPECT_TRUE(stm.get(key("a")).ok());
                               put("a", "theirs");
                               if (++runs == 3) stop.request_stop();
                               stm.put(key("a"), "ours");
                               return {};
                             },
                             {.wait = {.stop = stop.get_token()}});
  EXPECT_EQ(done.status(), Status(Code::kCanceled, "context canceled"));
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(value_of("a"), "theirs");
}

TEST_F(ClientStm, Works_in_a_namespace) {
  const auto view = client_->in_namespace(prefix_);
  put("a", "1");
  const auto done = transact(*view, [&](Stm& stm) -> Status {
    const auto a = stm.get("a");
    if (!a.ok()) return a.status();
    stm.put("b", a->value());
    return {};
  });
  ASSERT_TRUE(done.ok()) << done.status().to_string();
  EXPECT_EQ(value_of("b"), "1");
}

}  // namespace
}  // namespace kv::client
