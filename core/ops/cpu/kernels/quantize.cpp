// SPDX-License-Identifier: Apache-2.0
// Loops that the compiler vectorizes; the codes are the same bits for every instruction set.
#include "core/ops/cpu/kernels/quantize_kernels.h"

#include "core/format/e4m3.h"
#include "core/format/e5m2.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

void load_tile(MatrixRef x, int rows, int columns, float* values) {
  for (int r = 0; r < rows; ++r) {
    float* __restrict to = values + r * kCodeTile;
    if (x.dtype == DType::f32) {
      __builtin_memcpy(to, x.row<float>(r), sizeof(float) * static_cast<size_t>(columns));
    } else {
      const bf16* __restrict from = x.row<bf16>(r);
      for (int c = 0; c < columns; ++c) to[c] = __builtin_bit_cast(float, uint32_t{from[c].bits} << 16);
    }
  }
}

STRATA_ALWAYS_INLINE uint32_t magnitude(float x) { return __builtin_bit_cast(uint32_t, x) & 0x7FFFFFFFu; }

void row_amax(const CodeTile& tile, uint32_t* amax) {
  for (int r = 0; r < tile.rows; ++r) {
    const float* __restrict row = tile.values + r * kCodeTile;
    uint32_t most = amax[r];
    for (int c = 0; c < tile.columns; ++c) most = magnitude(row[c]) > most ? magnitude(row[c]) : most;
    amax[r] = most;
  }
}

void column_amax(const CodeTile& tile, uint32_t* __restrict amax) {
  for (int r = 0; r < tile.rows; ++r) {
    const float* __restrict row = tile.values + r * kCodeTile;
    for (int c = 0; c < tile.columns; ++c)
      amax[c] = magnitude(row[c]) > amax[c] ? magnitude(row[c]) : amax[c];
  }
}

template <typename Format>
void encode_rows(const CodeTile& tile, const float* multipliers, uint8_t* codes, int64_t stride) {
  const int columns = tile.columns;  // codes are bytes, which might be anything's: the loop keeps its bounds
  for (int r = 0; r < tile.rows; ++r) {
    const float* __restrict row = tile.values + r * kCodeTile;
    uint8_t* __restrict to = codes + r * stride;
    const float multiplier = multipliers[r];
    for (int c = 0; c < columns; ++c) to[c] = static_cast<uint8_t>(Format::encode_bits(row[c] * multiplier));
  }
}

// Up to 16 columns of 16 rows of a tile. Interleaving the first half of 16 rows with the second four times
// transposes them.
constexpr int kSquare = 16;
STRATA_ALWAYS_INLINE void transpose_square(const uint8_t* from, int columns, uint8_t* to, int64_t stride) {
  using Bytes = uint8_t __attribute__((vector_size(kSquare)));
  Bytes x[kSquare], y[kSquare];
#pragma GCC unroll 16
  for (int i = 0; i < kSquare; ++i) __builtin_memcpy(&x[i], from + i * kCodeTile, kSquare);
  const auto interleave = [](const Bytes* in, Bytes* out) __attribute__((always_inline)) {
#pragma GCC unroll 8
    for (int i = 0; i < kSquare / 2; ++i) {
      const Bytes a = in[i], b = in[i + kSquare / 2];
      out[2 * i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      out[2 * i + 1] =
          __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
  };
  interleave(x, y);
  interleave(y, x);
  interleave(x, y);
  interleave(y, x);
  const int count = columns < kSquare ? columns : kSquare;
  for (int i = 0; i < count; ++i) __builtin_memcpy(to + i * stride, &x[i], kSquare);
}

template <typename Format>
void encode_columns(const CodeTile& tile, const float* multipliers, uint8_t* codes, int64_t stride) {
  const int columns = tile.columns;
  alignas(64) uint8_t rows[kCodeTile * kCodeTile];
  for (int r = 0; r < tile.rows; ++r) {
    const float* __restrict row = tile.values + r * kCodeTile;
    uint8_t* __restrict to = rows + r * kCodeTile;
    for (int c = 0; c < columns; ++c)
      to[c] = static_cast<uint8_t>(Format::encode_bits(row[c] * multipliers[c]));
  }
  int r = 0;
  for (; r + kSquare <= tile.rows; r += kSquare)
    for (int c = 0; c < tile.columns; c += kSquare)
      transpose_square(rows + r * kCodeTile + c, tile.columns - c, codes + c * stride + r, stride);
  for (; r < tile.rows; ++r)
    for (int c = 0; c < tile.columns; ++c) codes[c * stride + r] = rows[r * kCodeTile + c];
}

template <typename Format>
void decode(const uint8_t* __restrict codes, int64_t count, bf16* __restrict values) {
  for (int64_t i = 0; i < count; ++i)
    values[i].bits = static_cast<uint16_t>(__builtin_bit_cast(uint32_t, Format::decode(codes[i])) >> 16);
}

template <typename Format>
constexpr CodeKernels kCodes{encode_rows<Format>, encode_columns<Format>, decode<Format>};

}  // namespace

const QuantizeKernels quantize_kernels{.load = load_tile,
                                       .row_amax = row_amax,
                                       .column_amax = column_amax,
                                       .e4m3 = kCodes<E4m3>,
                                       .e5m2 = kCodes<E5m2>};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
