// SPDX-License-Identifier: Apache-2.0
// Shared memory of the blocks of a launch. Every piece is of exactly the size asked for, so that AddressSanitizer sees
// a step beyond it, and no address is used twice in a launch, so that ThreadSanitizer takes no block's for another's.
#pragma once

#include <cstddef>
#include <vector>

namespace strata::cuda_on_cpu {

class SharedMemory {
 public:
  ~SharedMemory() { end_launch(); }

  // 0xFF all over. Valid until the end of the launch under ThreadSanitizer, of the block otherwise.
  void* take(size_t bytes, size_t alignment);
  void begin_block();  // makes room, so that take() has no need to
  void end_block();
  void end_launch();

 private:
  struct Chunk {
    std::byte* memory;
    size_t bytes;
  };
  std::vector<void*> pieces_;   // from malloc
  std::vector<Chunk> chunks_;   // from mmap, for ThreadSanitizer, which takes malloc for a write
  size_t used_ = 0;             // of the last chunk
};

}  // namespace strata::cuda_on_cpu
