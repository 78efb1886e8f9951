// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/gguf_rotary.h"

#include <algorithm>

#include "checkpoint/adapters/strided_copy.h"
#include "core/base/check.h"

namespace strata {

RotaryOrderSource::RotaryOrderSource(const TensorSource& source, std::map<size_t, int64_t> head_rows, To to)
    : DerivedSource(source), head_rows_(std::move(head_rows)), to_(to) {
  for (const auto& [tensor, rows] : head_rows_)
    check(rows > 0 && rows % 2 == 0 && source.tensors()[tensor].shape[0] % rows == 0,
          "[gguf] heads of {} rows in {}", rows, to_string(source.tensors()[tensor]));
}

std::optional<Digest> RotaryOrderSource::stored_digest(size_t tensor) const {
  return head_rows_.contains(tensor) ? std::nullopt : source_.stored_digest(tensor);
}

void RotaryOrderSource::read(size_t tensor, const Rect& rect, const StridedTarget& into) const {
  const auto found = head_rows_.find(tensor);
  if (found == head_rows_.end() || rect.numel() == 0) return source_.read(tensor, rect, into);
  const int64_t rows = found->second, half = rows / 2, size = size_of(tensors()[tensor].type);
  const auto stored_row = [&](int64_t row) {  // of a head's row
    return to_ == To::ours ? 2 * (row % half) + row / half : row % 2 * half + row / 2;
  };
  std::vector<std::byte> memory;
  const int64_t end = rect.begin[0] + rect.extent[0];
  for (int64_t head = rect.begin[0] / rows * rows; head < end; head += rows) {
    const int64_t first = std::max(rect.begin[0], head) - head, last = std::min(end, head + rows) - head;
    int64_t low = rows, high = 0;  // of the stored rows that are wanted
    for (int64_t row = first; row < last; ++row) {
      low = std::min(low, stored_row(row));
      high = std::max(high, stored_row(row) + 1);
    }
    Rect part = rect;
    part.begin.set(0, head + low);
    part.extent.set(0, high - low);
    memory.resize(static_cast<size_t>(part.numel() * size));
    const StridedTarget held = row_major(memory.data(), part.extent, size);
    source_.read(tensor, part, held);
    Shape one = rect.extent;
    one.set(0, 1);
    for (int64_t row = first; row < last; ++row)
      copy_strided(one, {memory.data() + (stored_row(row) - low) * held.strides[0], held.strides},
                   {into.data + (head + row - rect.begin[0]) * into.strides[0], into.strides}, size);
  }
}

}  // namespace strata
