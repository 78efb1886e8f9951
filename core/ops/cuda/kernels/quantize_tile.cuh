// SPDX-License-Identifier: Apache-2.0
// A tile of 128 x 128 elements in the registers of 256 threads: warp w has rows 16 w to 16 w + 15, lane l of
// it columns 4 l to 4 l + 3 of each, so that a warp reads and writes whole rows of a tile, and a thread has
// 16 neighbours of a column, which are 16 neighbouring codes of the transpose.
#pragma once

#include <cuda_fp8.h>

#include "core/ops/cuda/kernels/rows.cuh"
#include "core/ops/quantize.h"

namespace strata::cuda {

inline constexpr int kTileSide = static_cast<int>(kScaleTile), kTileThreads = 256, kTileWarps = 8;
inline constexpr int kTileRows = kTileSide / kTileWarps;  // of a warp
inline constexpr int kTileColumns = kTileSide / 32;       // of a thread

using CodeUnit = Vector<uint8_t, kTileRows>;  // 16 codes

struct QuantizePlace {
  int64_t row, column;  // of the tile's first element
};

template <typename T>
struct QuantizeSource {
  Rows<const T> x;
  int64_t rows, columns;
  bool wide;  // rows begin on kTileColumns elements

  __device__ QuantizePlace place() const {
    const int64_t chunks = (columns + kTileSide - 1) / kTileSide;
    return {blockIdx.x / chunks * kTileSide, blockIdx.x % chunks * kTileSide};
  }
};

// By the conversion instruction, two at a time: rounds to nearest even, saturates. (NaN may have another sign
// than the CPU's.)
template <Fp8Format kFormat, int kCount>
__device__ Vector<uint8_t, kCount> encode_by_instruction(const Vector<float, kCount>& x) {
  Vector<uint8_t, kCount> codes;
#pragma unroll
  for (int e = 0; e < kCount; e += 2) {
    const __nv_fp8x2_storage_t pair = __nv_cvt_float2_to_fp8x2(
        {x.at[e], x.at[e + 1]}, __NV_SATFINITE, kFormat == Fp8Format::e4m3 ? __NV_E4M3 : __NV_E5M2);
    codes.at[e] = static_cast<uint8_t>(pair & 0xFFu);
    codes.at[e + 1] = static_cast<uint8_t>(pair >> 8);
  }
  return codes;
}

// Where unit `unit` of row r lies in shared memory: turned about, so that neither those who write one unit of
// rows 4 apart nor those who read a row meet in a bank.
__device__ inline int turned_unit(int r, int unit) { return unit ^ (r / kTileColumns % kTileWarps); }

template <typename T>
struct QuantizeTile {
  Vector<T, kTileColumns> held[kTileRows];  // 0 outside the matrix

  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }

  __device__ void load(const QuantizeSource<T>& x, const QuantizePlace& place) {
    const int64_t column = place.column + lane() * kTileColumns;
#pragma unroll
    for (int s = 0; s < kTileRows; ++s) {
      const int64_t row = place.row + warp() * kTileRows + s;
      held[s] = {};
      if (row >= x.rows) continue;
      const T* const from = x.x.row(row) + column;
      if (x.wide && column + kTileColumns <= x.columns) {
        held[s] = load_vector<T, kTileColumns>(from);
      } else {
#pragma unroll
        for (int e = 0; e < kTileColumns; ++e)
          if (column + e < x.columns) held[s].at[e] = from[e];
      }
    }
  }

  // The largest magnitude of row `lane` of the warp's, in its bits (NaN is the largest).
  __device__ uint32_t row_most() const {
    uint32_t own = 0;
#pragma unroll
    for (int s = 0; s < kTileRows; ++s) {
      uint32_t most = 0;
#pragma unroll
      for (int e = 0; e < kTileColumns; ++e) {
        const uint32_t bits = magnitude_bits(to_float(held[s].at[e]));
        most = bits > most ? bits : most;
      }
      most = warp_most_of(most);
      if (lane() == s) own = most;
    }
    return own;
  }

  __device__ void put_column_most(uint32_t* columns) const {
#pragma unroll
    for (int e = 0; e < kTileColumns; ++e) {
      uint32_t most = 0;
#pragma unroll
      for (int s = 0; s < kTileRows; ++s) {
        const uint32_t bits = magnitude_bits(to_float(held[s].at[e]));
        most = bits > most ? bits : most;
      }
      columns[lane() * kTileColumns + e] = most;
    }
  }

  // `multiplier` is that of row `lane` of the warp's. `count(value, multiplier, code)` sees every element.
  template <Fp8Format kFormat, typename To, typename Count>
  __device__ void put_rows(const QuantizeSource<T>& x, const QuantizePlace& place, const To& to,
                           float multiplier, const Count& count) const {
    const int64_t column = place.column + lane() * kTileColumns;
#pragma unroll
    for (int s = 0; s < kTileRows; ++s) {
      const float of_row = __shfl_sync(0xFFFFFFFFu, multiplier, s);
      const int64_t row = place.row + warp() * kTileRows + s;
      if (row >= x.rows) continue;
      Vector<float, kTileColumns> scaled;
#pragma unroll
      for (int e = 0; e < kTileColumns; ++e) scaled.at[e] = __fmul_rn(to_float(held[s].at[e]), of_row);
      const Vector<uint8_t, kTileColumns> codes = encode_by_instruction<kFormat>(scaled);
      uint8_t* const at = to.codes + row * to.stride + column;
      if (to.wide && column + kTileColumns <= x.columns) {
        store_vector(at, codes);
      } else {
#pragma unroll
        for (int e = 0; e < kTileColumns; ++e)
          if (column + e < x.columns) at[e] = codes.at[e];
      }
#pragma unroll
      for (int e = 0; e < kTileColumns; ++e)
        if (column + e < x.columns) count(to_float(held[s].at[e]), of_row, codes.at[e]);
    }
  }

  template <Fp8Format kFormat, typename Count>
  __device__ void encode_columns(const QuantizeSource<T>& x, const QuantizePlace& place,
                                 const float* multipliers, CodeUnit (*codes)[kTileWarps],
                                 const Count& count) const {
#pragma unroll
    for (int e = 0; e < kTileColumns; ++e) {
      const int column = lane() * kTileColumns + e;
      if (place.column + column >= x.columns) continue;
      const float multiplier = multipliers[column];
      Vector<float, kTileRows> scaled;
#pragma unroll
      for (int s = 0; s < kTileRows; ++s) scaled.at[s] = __fmul_rn(to_float(held[s].at[e]), multiplier);
      const CodeUnit unit = encode_by_instruction<kFormat>(scaled);
      codes[column][turned_unit(column, warp())] = unit;
#pragma unroll
      for (int s = 0; s < kTileRows; ++s)
        if (place.row + warp() * kTileRows + s < x.rows)
          count(to_float(held[s].at[e]), multiplier, unit.at[s]);
    }
  }
};

// Rows of the transpose, 16 codes a thread at a time.
template <typename T, typename To>
__device__ void put_turned(const QuantizeSource<T>& x, const QuantizePlace& place, const To& to,
                           const CodeUnit (*codes)[kTileWarps]) {
  for (int at = static_cast<int>(threadIdx.x); at < kTileSide * kTileWarps; at += kTileThreads) {
    const int column = at / kTileWarps, unit = at % kTileWarps;
    const int64_t row = place.row + unit * kTileRows;
    if (place.column + column >= x.columns || row >= x.rows) continue;
    const CodeUnit& from = codes[column][turned_unit(column, unit)];
    uint8_t* const out = to.codes + (place.column + column) * to.stride + row;
    if (to.wide && row + kTileRows <= x.rows) {
      store_vector(out, from);
    } else {
      for (int s = 0; s < kTileRows && row + s < x.rows; ++s) out[s] = from.at[s];
    }
  }
}

}  // namespace strata::cuda
