// SPDX-License-Identifier: Apache-2.0
// Small matrix products on tiles in cache: C = (C +) A B with sums in f32, for the kernels of attention.
// Every sum runs in the order of the inner index.
#pragma once

#include "core/ops/cpu/vec.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {

// What one inner step multiplies. A unit is four bytes: here a float. Multiply and add are separate, so all
// instruction sets give the same bits.
struct FloatUnits {
  STRATA_ALWAYS_INLINE static NativeF add_product(NativeF total, NativeF left, NativeF right) {
    return total + left * right;
  }
};

// A is read one unit at a time, so any strides do; in bytes, because rows of pairs may begin at any even
// address.
struct TileA {
  const char* data;
  int64_t row_bytes, inner_bytes;
};
template <typename T>
STRATA_ALWAYS_INLINE TileA tile_a(const T* data, int64_t row_stride, int64_t inner_stride) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(T));
  return {reinterpret_cast<const char*>(data), row_stride * kBytes, inner_stride * kBytes};
}
// Rows of B and C are read and written in whole vectors: columns are a multiple of kLanes, padding is the
// caller's.
struct TileB {
  const void* data;
  int64_t stride;  // in units
};
struct TileC {
  float* data;
  int64_t stride;
};

// Inner indices a block of rows of C sums over.
struct Inner {
  int begin, end;
};

// Register block: rows x native vectors. 24 of 32 registers hold sums with AVX-512, 8 of 16 without.
inline constexpr int kBlockRows = kNativeBytes == 64 ? 6 : 4;
inline constexpr int kBlockParts = kNativeBytes == 64 ? 4 : 2;

template <typename Units, bool kAccumulate, int kRows, int kColumns>
STRATA_ALWAYS_INLINE void block_product(Inner inner, TileA a, TileB b, TileC c) {
  NativeF total[kRows][kColumns];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int p = 0; p < kColumns; ++p) {
      total[r][p] = NativeF{};
      if constexpr (kAccumulate)
        __builtin_memcpy(&total[r][p], c.data + r * c.stride + p * kNativeLanes, sizeof(NativeF));
    }
  const float* b_row = static_cast<const float*>(b.data) + inner.begin * b.stride;
  const char* a_column = a.data + inner.begin * a.inner_bytes;
  for (int k = inner.begin; k < inner.end; ++k, b_row += b.stride, a_column += a.inner_bytes) {
    NativeF right[kColumns];
#pragma GCC unroll 8
    for (int p = 0; p < kColumns; ++p) __builtin_memcpy(&right[p], b_row + p * kNativeLanes, sizeof(NativeF));
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      int32_t unit;
      __builtin_memcpy(&unit, a_column + r * a.row_bytes, sizeof(unit));
      const auto left = NativeF(unit - NativeI{});
#pragma GCC unroll 8
      for (int p = 0; p < kColumns; ++p) total[r][p] = Units::add_product(total[r][p], left, right[p]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int p = 0; p < kColumns; ++p)
      __builtin_memcpy(c.data + r * c.stride + p * kNativeLanes, &total[r][p], sizeof(NativeF));
}

// One panel of kColumns native vectors, all rows. inner_of(first_row, num_rows) says what a block of rows
// sums over.
template <typename Units, bool kAccumulate, int kColumns, typename InnerOf>
STRATA_ALWAYS_INLINE void panel_product(int rows, InnerOf&& inner_of, TileA a, TileB b, TileC c) {
  int r = 0;
  const auto step = [&]<int kRows>() __attribute__((always_inline)) {
    block_product<Units, kAccumulate, kRows, kColumns>(inner_of(r, kRows),
                                                       {a.data + r * a.row_bytes, a.row_bytes, a.inner_bytes},
                                                       b, {c.data + r * c.stride, c.stride});
    r += kRows;
  };
  while (r + kBlockRows <= rows) step.template operator()<kBlockRows>();
  if constexpr (kBlockRows > 4)
    if (r + 4 <= rows) step.template operator()<4>();
  if (r + 2 <= rows) step.template operator()<2>();
  if (r < rows) step.template operator()<1>();
}

// C [rows, columns] = (C +) A B.
template <typename Units, bool kAccumulate, typename InnerOf>
STRATA_ALWAYS_INLINE void tile_product(int rows, int columns, InnerOf&& inner_of, TileA a, TileB b, TileC c) {
  constexpr int kPanel = kBlockParts * kNativeLanes;
  int n = 0;
  for (; n + kPanel <= columns; n += kPanel)
    panel_product<Units, kAccumulate, kBlockParts>(
        rows, inner_of, a, {static_cast<const float*>(b.data) + n, b.stride}, {c.data + n, c.stride});
  if constexpr (kPanel > kLanes)
    for (; n < columns; n += kLanes)
      panel_product<Units, kAccumulate, kParts>(
          rows, inner_of, a, {static_cast<const float*>(b.data) + n, b.stride}, {c.data + n, c.stride});
}

// to[j][i] = from[i][j] for units of four bytes. Both in memory, any sizes; 4 x 4 at a time in registers.
template <typename T>
STRATA_ALWAYS_INLINE void transpose(int rows, int columns, const T* from, int64_t from_stride, T* to,
                                    int64_t to_stride) {
  typedef T Four __attribute__((vector_size(16)));
  typedef int32_t Pick __attribute__((vector_size(16)));
  int i = 0;
  for (; i + 4 <= rows; i += 4) {
    int j = 0;
    for (; j + 4 <= columns; j += 4) {
      Four r[4];
      for (int x = 0; x < 4; ++x) __builtin_memcpy(&r[x], from + (i + x) * from_stride + j, sizeof(Four));
      const Four a = __builtin_shuffle(r[0], r[1], Pick{0, 4, 1, 5}),
                 b = __builtin_shuffle(r[0], r[1], Pick{2, 6, 3, 7});
      const Four c = __builtin_shuffle(r[2], r[3], Pick{0, 4, 1, 5}),
                 d = __builtin_shuffle(r[2], r[3], Pick{2, 6, 3, 7});
      const Four out[4] = {
          __builtin_shuffle(a, c, Pick{0, 1, 4, 5}), __builtin_shuffle(a, c, Pick{2, 3, 6, 7}),
          __builtin_shuffle(b, d, Pick{0, 1, 4, 5}), __builtin_shuffle(b, d, Pick{2, 3, 6, 7})};
      for (int x = 0; x < 4; ++x) __builtin_memcpy(to + (j + x) * to_stride + i, &out[x], sizeof(Four));
    }
    for (; j < columns; ++j)
      for (int x = 0; x < 4; ++x) to[j * to_stride + i + x] = from[(i + x) * from_stride + j];
  }
  for (; i < rows; ++i)
    for (int j = 0; j < columns; ++j) to[j * to_stride + i] = from[i * from_stride + j];
}

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
