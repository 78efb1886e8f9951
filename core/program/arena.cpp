// SPDX-License-Identifier: Apache-2.0
#include "core/program/arena.h"

#include <algorithm>
#include <limits>

#include "core/base/check.h"
#include "core/device/buffer.h"

namespace strata {

int64_t Arena::place(int64_t bytes, int64_t alignment) {
  check(bytes >= 0, "[arena] a buffer of {} bytes", bytes);
  if (bytes == 0) return 0;
  bytes = round_up(bytes, kTensorAlignment);
  int64_t begin = budget_ > 0 ? longest_free(bytes, alignment) : -1;
  if (begin < 0) begin = lowest(bytes, alignment);
  occupy(begin, begin + bytes);
  return begin;
}

void Arena::release(int64_t offset, int64_t bytes) {
  if (bytes == 0) return;
  gaps_[offset] = {offset + round_up(bytes, kTensorAlignment), ++clock_};
}

int64_t Arena::lowest(int64_t bytes, int64_t alignment) const {
  for (auto at = gaps_.begin(); at != gaps_.end();) {
    const int64_t begin = round_up(at->first, alignment);
    int64_t end = at->second.end;
    for (++at; end - begin < bytes && at != gaps_.end() && at->first == end; ++at) end = at->second.end;
    // The last gap may reach into untouched memory.
    if (end - begin >= bytes || end == top_) return begin;
  }
  return round_up(top_, alignment);
}

int64_t Arena::longest_free(int64_t bytes, int64_t alignment) const {
  if (const int64_t begin = round_up(top_, alignment); begin + bytes <= budget_) return begin;
  int64_t best = -1, best_freed_at = std::numeric_limits<int64_t>::max();
  for (auto first = gaps_.begin(); first != gaps_.end(); ++first) {
    // The window from `first` over adjacent gaps; it is as old as its youngest part.
    const int64_t begin = round_up(first->first, alignment);
    int64_t end = first->first, freed_at = 0;
    for (auto at = first; at != gaps_.end() && at->first == end && end - begin < bytes; ++at) {
      end = at->second.end;
      freed_at = std::max(freed_at, at->second.freed_at);
    }
    const bool fits = end - begin >= bytes || (end == top_ && begin + bytes <= budget_);
    if (fits && freed_at < best_freed_at) {
      best = begin;
      best_freed_at = freed_at;
    }
  }
  return best;
}

void Arena::occupy(int64_t begin, int64_t end) {
  // What lies before an aligned beginning stays free.
  if (const auto after = gaps_.lower_bound(begin); after != gaps_.begin()) {
    Gap& gap = std::prev(after)->second;
    if (gap.end > begin) {
      gaps_[begin] = gap;
      gap.end = begin;
    }
  }
  if (begin > top_) gaps_[top_] = {begin, 0};
  for (auto at = gaps_.lower_bound(begin); at != gaps_.end() && at->first < end;) {
    const Gap gap = at->second;
    at = gaps_.erase(at);
    if (gap.end > end) gaps_[end] = gap;  // its later part stays free
  }
  top_ = std::max(top_, end);
}

}  // namespace strata
