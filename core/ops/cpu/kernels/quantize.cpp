// SPDX-License-Identifier: Apache-2.0
// Loops that the compiler vectorizes; the codes are the same bits for every instruction set.
#include "core/ops/cpu/kernels/quantize_kernels.h"

#include "core/format/e4m3.h"
#include "core/format/e5m2.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

void load(MatrixRef x, int rows, int columns, float* values) {
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
  for (int r = 0; r < tile.rows; ++r) {
    const float* __restrict row = tile.values + r * kCodeTile;
    uint8_t* __restrict to = codes + r * stride;
    const float multiplier = multipliers[r];
    for (int c = 0; c < tile.columns; ++c)
      to[c] = static_cast<uint8_t>(Format::encode_bits(row[c] * multiplier));
  }
}

template <typename Format>
void encode_columns(const CodeTile& tile, const float* multipliers, uint8_t* codes, int64_t stride) {
  alignas(64) uint8_t rows[kCodeTile * kCodeTile];
  for (int r = 0; r < tile.rows; ++r) {
    const float* __restrict row = tile.values + r * kCodeTile;
    uint8_t* __restrict to = rows + r * kCodeTile;
    for (int c = 0; c < tile.columns; ++c)
      to[c] = static_cast<uint8_t>(Format::encode_bits(row[c] * multipliers[c]));
  }
  // Eight columns of eight rows at a time, in registers of 64 bits.
  constexpr int kSide = 8;
  int r = 0;
  for (; r + kSide <= tile.rows; r += kSide)
    for (int c = 0; c < tile.columns; c += kSide) {
      const int count = tile.columns - c < kSide ? tile.columns - c : kSide;
      for (int i = 0; i < count; ++i) {
        uint64_t column = 0;
        for (int j = 0; j < kSide; ++j) column |= uint64_t{rows[(r + j) * kCodeTile + c + i]} << (8 * j);
        __builtin_memcpy(codes + (c + i) * stride + r, &column, sizeof column);
      }
    }
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

const QuantizeKernels quantize_kernels{.load = load,
                                       .row_amax = row_amax,
                                       .column_amax = column_amax,
                                       .e4m3 = kCodes<E4m3>,
                                       .e5m2 = kCodes<E5m2>};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
