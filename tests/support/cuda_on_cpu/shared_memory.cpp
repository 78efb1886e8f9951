// SPDX-License-Identifier: Apache-2.0
#include "tests/support/cuda_on_cpu/shared_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "tests/support/cuda_on_cpu/sanitizers.h"

namespace strata::cuda_on_cpu {
namespace {

// Not memset: sanitizers would see it as an access of the thread that came first.
void fill(void* memory, size_t bytes) {
  auto* const at = static_cast<volatile unsigned char*>(memory);
  for (size_t i = 0; i < bytes; ++i) at[i] = 0xFF;
}

}  // namespace

void* SharedMemory::take(size_t bytes, size_t alignment) {
  alignment = std::max<size_t>(alignment, 16);
  if (!has_thread_sanitizer()) {
    void* piece = nullptr;
    if (posix_memalign(&piece, alignment, std::max<size_t>(bytes, 1)) != 0) throw std::bad_alloc();
    pieces_.push_back(piece);
    fill(piece, bytes);
    return piece;
  }
  used_ = (used_ + alignment - 1) / alignment * alignment;
  if (chunks_.empty() || used_ + bytes > chunks_.back().bytes) throw std::bad_alloc();
  void* const piece = chunks_.back().memory + used_;
  used_ += bytes;
  fill(piece, bytes);
  return piece;
}

void SharedMemory::begin_block() {
  constexpr size_t kChunk = 64 << 20, kMostOfABlock = 1 << 20;
  if (!has_thread_sanitizer() || (!chunks_.empty() && used_ + kMostOfABlock <= chunks_.back().bytes)) return;
  void* const memory = mmap(nullptr, kChunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  chunks_.push_back({static_cast<std::byte*>(memory), kChunk});
  used_ = 0;
}

void SharedMemory::end_block() {
  for (void* piece : pieces_) std::free(piece);
  pieces_.clear();
}

void SharedMemory::end_launch() {
  end_block();
  for (const Chunk& chunk : chunks_) munmap(chunk.memory, chunk.bytes);
  chunks_.clear();
  used_ = 0;
}

}  // namespace strata::cuda_on_cpu
