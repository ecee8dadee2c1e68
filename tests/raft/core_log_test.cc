// Log against a model: a plain list of terms, on which every question has an obvious answer. The disk lags behind, is
// compacted and confirms late; the log must answer as if none of that were so.
#include "raft/core/log.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "raft/core_cluster.h"

namespace kv::raft {
namespace {

using test::MemoryLog;

struct Modelled {
  MemoryLog disk;
  Log log;
  std::vector<uint64_t> terms{0};  // terms[i] is that of entry i
  struct Write {
    uint64_t number;
    std::vector<Entry> entries;
  };
  std::deque<Write> writes;
  uint64_t next_number = 1;
  uint64_t commit = 0;
  uint64_t compacted = 0;

  explicit Modelled(size_t max_cached_bytes) : log(disk, max_cached_bytes) {}

  uint64_t last() const { return terms.size() - 1; }

  void append(uint64_t term, size_t size) {
    terms.push_back(term);
    log.append({.index = Index(last()), .term = Term(term), .data = std::make_shared<const std::string>(size, 'x')});
  }
  void truncate(uint64_t from) {
    terms.resize(from);
    log.truncate(Index(from));
  }
  void take() {
    std::vector<Entry> entries = log.take_unwritten(next_number);
    writes.push_back({next_number++, std::move(entries)});
  }
  void confirm() {
    disk.append(writes.front().entries);
    log.wrote(writes.front().number);
    writes.pop_front();
  }
  // What is really on disk and still ours.
  uint64_t on_disk() const {
    uint64_t i = compacted;
    while (i < last() && disk.term(Index(i + 1)) == Term(terms[i + 1])) ++i;
    return i;
  }

  void check(Random& random) {
    ASSERT_EQ(log.last(), Index(last()));
    ASSERT_EQ(log.last_term(), Term(terms.back()));
    ASSERT_LE(log.written(), Index(on_disk())) << "says that something is on disk that is not";
    if (writes.empty() && !log.has_unwritten()) {
      ASSERT_EQ(log.written(), Index(last()));
    }
    ASSERT_LE(log.first(), Index(compacted + 1)) << "what is on disk can be given";
    const uint64_t first = log.first().value();
    for (uint64_t i = first - 1; i <= last(); ++i) ASSERT_EQ(log.term(Index(i)), Term(terms[i])) << i;
    ASSERT_EQ(log.term(Index(last() + 1)), std::nullopt);
    ASSERT_FALSE(first >= 2 && log.term(Index(first - 2)).has_value() && first - 2 < compacted);

    const uint64_t from = random.below(last() + 2);
    const uint64_t to = from + random.below(last() + 2 - from);
    const size_t max_bytes = random.below(400);
    const auto entries = log.entries(Index(from), Index(to), max_bytes);
    if (from < to && from < first) {
      ASSERT_FALSE(entries.has_value());
    } else {
      ASSERT_TRUE(entries.has_value());
      size_t bytes = 0;
      for (size_t i = 0; i < entries->size(); ++i) {
        ASSERT_EQ((*entries)[i].index, Index(from + i));
        ASSERT_EQ((*entries)[i].term, Term(terms[from + i]));
        bytes += (*entries)[i].bytes();
      }
      ASSERT_EQ(entries->empty(), from >= to);
      ASSERT_TRUE(bytes <= max_bytes || entries->size() <= 1);
    }

    // The definition of last_at_most, by walking.
    const uint64_t at = random.below(last() + 1);
    const uint64_t wanted = random.below(terms.back() + 2);
    uint64_t expected = at;
    const uint64_t low = first - 1;
    while (expected > low && terms[expected] > wanted) --expected;
    if (at < low) {
      expected = at;
    } else if (terms[expected] > wanted) {
      expected = low > 0 ? low - 1 : 0;
    }
    ASSERT_EQ(log.last_at_most(Index(at), Term(wanted)), Index(expected)) << at << " " << wanted;
  }
};

TEST(Log, Answers_as_a_plain_list_does_whatever_the_disk_is_doing) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Modelled m(random.one_in(2) ? 200 : 100000);
    for (int step = 0; step < 200; ++step) {
      switch (random.below(8)) {
        case 0:
        case 1:
        case 2: m.append(m.terms.back() + (random.one_in(4) ? 1 : 0) + (m.last() == 0), random.below(60)); break;
        case 3:
          if (m.last() > m.commit && random.one_in(2)) {
            const uint64_t from = m.commit + 1 + random.below(m.last() - m.commit);
            const uint64_t term = m.terms.back() + 1;
            m.truncate(from);
            m.append(term, 5);
          }
          break;
        case 4: m.take(); break;
        case 5:
          if (!m.writes.empty()) m.confirm();
          break;
        case 6: m.commit += random.below(m.last() - m.commit + 1); break;
        case 7:
          if (random.one_in(3)) {
            // Behind what is committed and on disk.
            const uint64_t limit = std::min(m.commit, m.log.written().value());
            if (limit > m.compacted) {
              m.compacted = limit;
              m.disk.truncate_prefix({Index(limit), Term(m.terms[limit]), {}});
            }
          } else {
            m.log.trim(Index(m.commit));
          }
          break;
      }
      m.check(random);
      if (HasFatalFailure()) return;
    }
    while (!m.writes.empty()) m.confirm();
    m.check(random);
  }
}

TEST(Log, An_answer_for_replaced_entries_counts_for_nothing) {
  MemoryLog disk;
  Log log(disk, 1000);
  const auto entry = [](uint64_t index, uint64_t term) {
    return Entry{.index = Index(index), .term = Term(term), .data = std::make_shared<const std::string>("x")};
  };
  log.append(entry(1, 1));
  log.append(entry(2, 1));
  log.append(entry(3, 1));
  log.take_unwritten(1);
  log.truncate(Index(2));
  log.append(entry(2, 2));
  log.append(entry(3, 2));
  log.wrote(1);
  EXPECT_EQ(log.written(), Index(1));
  EXPECT_EQ(log.take_unwritten(2).size(), 2U);
  log.wrote(2);
  EXPECT_EQ(log.written(), Index(3));
}

TEST(Log, Begins_anew_after_a_snapshot_whatever_the_disk_still_shows) {
  MemoryLog disk;
  std::vector<Entry> old;
  for (uint64_t i = 1; i <= 5; ++i) {
    old.push_back({.index = Index(i), .term = Term(1), .data = std::make_shared<const std::string>("x")});
  }
  disk.append(old);
  Log log(disk, 1000);
  log.reset(Index(100), Term(7));
  EXPECT_EQ(log.first(), Index(101));
  EXPECT_EQ(log.last(), Index(100));
  EXPECT_EQ(log.written(), Index(100));
  EXPECT_EQ(log.term(Index(100)), Term(7));
  EXPECT_EQ(log.term(Index(3)), std::nullopt);
  EXPECT_EQ(log.entries(Index(3), Index(5), 1000), std::nullopt);
}

}  // namespace
}  // namespace kv::raft
