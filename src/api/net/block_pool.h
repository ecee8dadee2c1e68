// Memory for what every call allocates and frees again: blocks of a few sizes, kept in lists of the calling thread.
// malloc's own thread cache holds seven blocks of a size, which a burst of a hundred calls outgrows: without the pool a
// fifth of what a call costs that does nothing went into malloc.
//
// Any thread may free what another has allocated: the block then stays with the one that freed it.
#pragma once

#include <cstddef>
#include <new>

namespace kv::api {

// As malloc, realloc and free. Null when there is no memory.
void* pool_allocate(size_t size);
void* pool_reallocate(void* block, size_t size);
void pool_free(void* block);

// For std::allocate_shared and containers.
template <typename T>
struct PoolAllocator {
  using value_type = T;

  PoolAllocator() = default;
  template <typename U>
  PoolAllocator(const PoolAllocator<U>&) {}  // NOLINT: all are alike

  T* allocate(size_t n) {
    static_assert(alignof(T) <= alignof(std::max_align_t));
    void* const block = pool_allocate(n * sizeof(T));
    if (block == nullptr) throw std::bad_alloc();
    return static_cast<T*>(block);
  }
  void deallocate(T* block, size_t) { pool_free(block); }

  template <typename U>
  bool operator==(const PoolAllocator<U>&) const {
    return true;
  }
};

}  // namespace kv::api
