// SPDX-License-Identifier: Apache-2.0
// The largest magnitudes of a matrix, of its rows and of its columns, as bits of f32 (NaN is the largest of
// all): what factors need that more than a tile shares. Maxima are the same in any order, so they are taken
// with atomics. Reads the matrix once; bound by memory.
#pragma once

#include "core/ops/cuda/kernels/quantize_tile.cuh"

namespace strata::cuda {

// Null: not wanted. 0 before.
struct Magnitudes {
  uint32_t *whole, *rows, *columns;
};

__global__ inline void zero_magnitudes_kernel(uint32_t* words, int64_t count) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * blockDim.x)
    words[i] = 0;
}

template <typename T>
__global__ void magnitudes_kernel(QuantizeSource<T> x, Magnitudes to) {
  STRATA_SHARED(uint32_t, column_most, [kTileWarps][kTileSide]);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const QuantizePlace place = x.place();
  QuantizeTile<T> tile;
  tile.load(x, place);
  const uint32_t own_row = tile.row_most(), of_warp = warp_most_of(own_row);
  const int64_t row = place.row + warp * kTileRows + lane;
  if (to.rows != nullptr && lane < kTileRows && row < x.rows) atomicMax(to.rows + row, own_row);
  if (to.whole != nullptr && lane == 0) atomicMax(to.whole, of_warp);
  if (to.columns == nullptr) return;  // all threads of all blocks
  tile.put_column_most(column_most[warp]);
  __syncthreads();
  if (threadIdx.x >= kTileSide || place.column + threadIdx.x >= x.columns) return;
  uint32_t most = 0;
  for (int w = 0; w < kTileWarps; ++w)
    most = column_most[w][threadIdx.x] > most ? column_most[w][threadIdx.x] : most;
  atomicMax(to.columns + place.column + threadIdx.x, most);
}

}  // namespace strata::cuda
