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
  current_ = 0;
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
  // Chunks up to the current one cover increasing ranges of the running offset; those after it are spare.
  // Nothing is freed before the scratch goes: work that was enqueued may still be using bytes whose scope has
  // ended.
  const auto fits = [&](const Chunk& chunk) { return end <= chunk.begin + chunk.buffer->bytes(); };
  if (chunks_.empty() || !fits(chunks_[current_])) {
    const size_t next = chunks_.empty() ? 0 : current_ + 1;
    const auto spare = std::find_if(chunks_.begin() + static_cast<std::ptrdiff_t>(next), chunks_.end(),
                                    [&](const Chunk& chunk) { return end - begin <= chunk.buffer->bytes(); });
    if (spare != chunks_.end()) {
      std::swap(*spare, chunks_[next]);
    } else {
      const int64_t size =
          std::max<int64_t>(end - begin, std::max<int64_t>(int64_t{1} << 20, 2 * high_water_));
      chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(next),
                     {allocator_->allocate(size, "scratch"), 0});
    }
    current_ = next;
    chunks_[current_].begin = begin;
  }
  used_ = end;
  high_water_ = std::max(high_water_, used_);
  const Chunk& chunk = chunks_[current_];
  return chunk.buffer->data() ? chunk.buffer->data() + (begin - chunk.begin) : nullptr;
}

void Scratch::release_to(int64_t used) {
  used_ = used;
  while (current_ > 0 && chunks_[current_].begin >= used) --current_;
}

}  // namespace strata
