// SPDX-License-Identifier: Apache-2.0
// Gives addresses to buffers in the order in which a list makes and frees them. Only arithmetic: no memory is
// held.
#pragma once

#include <cstdint>
#include <map>

#include "core/device/buffer.h"

namespace strata {

class Arena {
 public:
  // budget 0: every buffer goes to the lowest address that is free, which keeps the arena small. Otherwise
  // untouched memory up to the budget comes first and then the gap that has been free the longest, so that
  // the next occupant seldom waits for the last one; beyond the budget, the lowest address again.
  explicit Arena(int64_t budget) : budget_(budget) {}

  // The offset of a new buffer, a multiple of `alignment`. `bytes` is rounded up to kTensorAlignment; 0 bytes
  // take no place.
  int64_t place(int64_t bytes, int64_t alignment = kTensorAlignment);
  // Gives it back; the order of the calls is the order of time.
  void release(int64_t offset, int64_t bytes);

  int64_t high_water() const { return top_; }

 private:
  struct Gap {
    int64_t end;
    int64_t freed_at;
  };
  using Gaps = std::map<int64_t, Gap>;  // by begin; adjacent gaps stay apart when freed at different times

  int64_t lowest(int64_t bytes, int64_t alignment) const;
  int64_t longest_free(int64_t bytes, int64_t alignment) const;  // -1: none within the budget
  void occupy(int64_t begin, int64_t end);

  int64_t budget_;
  int64_t top_ = 0;  // all memory from here on is untouched
  int64_t clock_ = 0;
  Gaps gaps_;
};

}  // namespace strata
