#include "api/net/block_pool.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <thread>
#include <vector>

#include "base/random.h"

namespace kv::api {
namespace {

// A block filled with a byte of its own, so that two blocks that overlap are found.
struct Filled {
  void* block;
  size_t size;
  char byte;

  void fill() const { std::memset(block, byte, size); }
  bool intact() const {
    for (size_t i = 0; i < size; ++i) {
      if (static_cast<const char*>(block)[i] != byte) return false;
    }
    return true;
  }
};

TEST(BlockPool, Blocks_are_aligned_never_shared_and_keep_their_content_when_they_grow) {
  Random random(3);
  std::vector<Filled> live;
  for (int step = 0; step < 20000; ++step) {
    if (live.empty() || random.below(100) < 52) {
      const size_t size = random.one_in(10) ? random.below(5000) : random.below(700);
      live.push_back({pool_allocate(size), size, static_cast<char>(random.below(256))});
      ASSERT_EQ(reinterpret_cast<uintptr_t>(live.back().block) % alignof(std::max_align_t), 0U);
      live.back().fill();
      continue;
    }
    const auto i = random.below(live.size());
    ASSERT_TRUE(live[i].intact()) << step;
    if (random.one_in(3)) {
      live[i].block = pool_reallocate(live[i].block, live[i].size + random.below(300));
      ASSERT_TRUE(live[i].intact()) << step;
      continue;
    }
    pool_free(live[i].block);
    live[i] = live.back();
    live.pop_back();
  }
  for (const Filled& filled : live) {
    EXPECT_TRUE(filled.intact());
    pool_free(filled.block);
  }
  pool_free(nullptr);
}

TEST(BlockPool, Blocks_may_be_freed_by_another_thread_which_may_end) {
  for (int round = 0; round < 10; ++round) {
    std::vector<void*> blocks;
    for (int i = 0; i < 10000; ++i) blocks.push_back(pool_allocate(100));
    std::thread([&] {
      for (void* block : blocks) pool_free(block);
      pool_free(pool_allocate(100));
    }).join();
  }
}

}  // namespace
}  // namespace kv::api
