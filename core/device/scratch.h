// SPDX-License-Identifier: Apache-2.0
// Short-lived memory of the operations on one stream: a stack of bytes, reused by the next operation. During
// training it is a region of the plan's arena; in tests and tools it grows by itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/device/buffer.h"

namespace strata {

class Scratch {
 public:
  // Grows from `allocator` on demand (null: nothing may be taken until bind()). On a meta allocator it only
  // counts.
  explicit Scratch(std::shared_ptr<Allocator> allocator = nullptr) : allocator_(std::move(allocator)) {}

  // From now on use exactly these bytes. Taking more is a ContractError: the plan was wrong.
  void bind(std::byte* base, int64_t bytes);

  // 64-byte aligned, uninitialised; valid until the Scope it was taken in ends. Null on the meta device.
  std::byte* take(int64_t bytes);
  template <typename T>
  T* take_array(int64_t count) {
    return reinterpret_cast<T*>(take(count * static_cast<int64_t>(sizeof(T))));
  }

  // Most bytes in use at once since the last reset.
  int64_t high_water() const { return high_water_; }
  void reset_high_water() { high_water_ = used_; }

  // Gives back, at its end, whatever was taken in its life. Ending it while work on the stream still uses the
  // bytes is right: later work on the same stream runs after it.
  class Scope {
   public:
    explicit Scope(Scratch& scratch) : scratch_(scratch), used_(scratch.used_) {}
    ~Scope() { scratch_.release_to(used_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Scratch& scratch_;
    int64_t used_;
  };

 private:
  void release_to(int64_t used);

  struct Chunk {
    BufferRef buffer;
    int64_t begin = 0;  // of the scratch's own running offset
  };
  std::shared_ptr<Allocator> allocator_;
  std::vector<Chunk> chunks_;
  size_t current_ = 0;         // the chunk bytes are taken from
  std::byte* base_ = nullptr;  // when bound
  int64_t limit_ = -1;         // when bound
  int64_t used_ = 0;
  int64_t high_water_ = 0;
};

}  // namespace strata
