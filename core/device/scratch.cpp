// SPDX-License-Identifier: Apache-2.0
#include "core/device/scratch.h"

#include <algorithm>

#include "core/base/check.h"

namespace strata {

void Scratch::bind(std::byte* base, int64_t bytes) {
  check(used_ == 0, "[scratch] bound while {} bytes are in use", used_);
  base_ = base;
  limit_ = bytes;
  chunks_.clear();
}

std::byte* Scratch::take(int64_t bytes) {
  const int64_t begin = used_;
  const int64_t end = begin + round_up(bytes, kTensorAlignment);
  if (limit_ >= 0) {
    check(end <= limit_, "[scratch] the plan gives {} bytes, an operation needs {}", limit_, end);
    used_ = end;
    high_water_ = std::max(high_water_, used_);
    return base_ ? base_ + begin : nullptr;
  }
  check(allocator_ != nullptr, "[scratch] {} bytes asked of a scratch that is neither bound nor growable",
        bytes);
  // Chunks cover increasing ranges of the running offset; one allocation never straddles two of them.
  const bool fits = !chunks_.empty() && end <= chunks_.back().begin + chunks_.back().buffer->bytes();
  if (!fits) {
    const int64_t size = std::max<int64_t>(end - begin, std::max<int64_t>(int64_t{1} << 20, 2 * high_water_));
    chunks_.push_back({allocator_->allocate(size, "scratch"), begin});
  }
  used_ = end;
  high_water_ = std::max(high_water_, used_);
  const Chunk& chunk = chunks_.back();
  return chunk.buffer->data() ? chunk.buffer->data() + (begin - chunk.begin) : nullptr;
}

void Scratch::release_to(int64_t used) {
  used_ = used;
  // An emptied scratch keeps its newest, largest chunk: the next operation of the same size allocates
  // nothing.
  while (chunks_.size() > 1 && chunks_.back().begin > used) chunks_.pop_back();
  if (used == 0 && chunks_.size() > 1) {
    chunks_.front() = chunks_.back();
    chunks_.resize(1);
  }
  if (used == 0 && !chunks_.empty()) chunks_.front().begin = 0;
}

}  // namespace strata
