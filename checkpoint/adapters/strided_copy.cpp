// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/strided_copy.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"

namespace strata {
namespace {

constexpr int64_t kTile = 32;  // of a transpose: both sides stay in the first cache

template <size_t bytes>
void copy_plane(int64_t rows, int64_t columns, const std::byte* from, int64_t from_row, int64_t from_column,
                std::byte* to, int64_t to_row, int64_t to_column) {
  for (int64_t r0 = 0; r0 < rows; r0 += kTile)
    for (int64_t c0 = 0; c0 < columns; c0 += kTile)
      for (int64_t r = r0; r < std::min(rows, r0 + kTile); ++r)
        for (int64_t c = c0; c < std::min(columns, c0 + kTile); ++c)
          std::memcpy(to + r * to_row + c * to_column, from + r * from_row + c * from_column, bytes);
}

}  // namespace

void copy_strided(const Shape& extent, const StridedOrigin& from, const StridedTarget& to,
                  int64_t element_bytes) {
  if (extent.numel() == 0) return;
  const auto of = [](const auto& memory, int d) { return memory.strides[static_cast<size_t>(d)]; };
  // Trailing dims that lie alike and without gaps on both sides are one memcpy.
  int outer = extent.rank();
  int64_t run = element_bytes;
  while (outer > 0 && of(from, outer - 1) == run && of(to, outer - 1) == run) run *= extent[--outer];
  // Where not even the last dim does, the last two are copied element by element, in tiles.
  const bool plane = run == element_bytes && outer > 0;
  const int column = outer - 1, row = outer - 2;
  if (plane) outer = std::max(0, outer - 2);
  std::array<int64_t, Shape::kMaxRank> index{};
  const std::byte* source = from.data;
  std::byte* target = to.data;
  for (;;) {
    if (!plane) {
      std::memcpy(target, source, static_cast<size_t>(run));
    } else {
      const int64_t rows = row >= 0 ? extent[row] : 1;
      const int64_t from_row = row >= 0 ? of(from, row) : 0, to_row = row >= 0 ? of(to, row) : 0;
      const auto copy = element_bytes == 1   ? copy_plane<1>
                        : element_bytes == 2 ? copy_plane<2>
                        : element_bytes == 4 ? copy_plane<4>
                                             : copy_plane<8>;
      check(element_bytes == 1 || element_bytes == 2 || element_bytes == 4 || element_bytes == 8,
            "[copy_strided] elements of {} bytes", element_bytes);
      copy(rows, extent[column], source, from_row, of(from, column), target, to_row, of(to, column));
    }
    int d = outer - 1;
    for (; d >= 0; --d) {
      source += of(from, d);
      target += of(to, d);
      if (++index[static_cast<size_t>(d)] < extent[d]) break;
      source -= of(from, d) * extent[d];
      target -= of(to, d) * extent[d];
      index[static_cast<size_t>(d)] = 0;
    }
    if (d < 0) return;
  }
}

}  // namespace strata
