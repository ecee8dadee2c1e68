#include "api/net/block_pool.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace kv::api {
namespace {

constexpr size_t kStep = 64;            // classes are multiples of this
constexpr size_t kClasses = 16;         // so blocks of up to 1 KiB are kept
constexpr uint32_t kKeptBlocks = 4096;  // of each class and thread: 16,384 streams' worth is given back to malloc

// The sanitizers see more when nothing is kept.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kKeep = false;
#else
constexpr bool kKeep = true;
#endif

// In front of each block.
struct alignas(std::max_align_t) Header {
  size_t size;   // that the block has room for
  Header* next;  // in a list of free blocks
};

// The class of a block with room for `size`, which is a multiple of kStep; kClasses and more: of none.
size_t class_of(size_t size) { return size / kStep - 1; }

struct FreeLists {
  ~FreeLists();
  std::array<Header*, kClasses> first{};
  std::array<uint32_t, kClasses> count{};
};

// Has no destructor, so that it can still be asked when the thread is about to end and its lists have gone.
thread_local bool t_lists_gone = false;
thread_local FreeLists t_lists;

FreeLists::~FreeLists() {
  t_lists_gone = true;
  for (Header* block : first) {
    while (block != nullptr) {
      Header* const next = block->next;
      std::free(block);
      block = next;
    }
  }
}

}  // namespace

void* pool_allocate(size_t size) {
  size = size == 0 ? kStep : (size + kStep - 1) / kStep * kStep;
  const size_t c = class_of(size);
  if (kKeep && c < kClasses && !t_lists_gone) {
    if (Header* const block = t_lists.first[c]) {
      t_lists.first[c] = block->next;
      --t_lists.count[c];
      return block + 1;
    }
  }
  auto* const block = static_cast<Header*>(std::malloc(sizeof(Header) + size));
  if (block == nullptr) return nullptr;
  block->size = size;
  return block + 1;
}

void pool_free(void* memory) {
  if (memory == nullptr) return;
  Header* const block = static_cast<Header*>(memory) - 1;
  const size_t c = class_of(block->size);
  if (!kKeep || c >= kClasses || t_lists_gone || t_lists.count[c] >= kKeptBlocks) {
    std::free(block);
    return;
  }
  block->next = t_lists.first[c];
  t_lists.first[c] = block;
  ++t_lists.count[c];
}

void* pool_reallocate(void* memory, size_t size) {
  if (memory == nullptr) return pool_allocate(size);
  const size_t have = (static_cast<Header*>(memory) - 1)->size;
  if (size <= have) return memory;
  void* const larger = pool_allocate(size);
  if (larger == nullptr) return nullptr;
  std::memcpy(larger, memory, have);
  pool_free(memory);
  return larger;
}

}  // namespace kv::api
