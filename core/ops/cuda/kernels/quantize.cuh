// SPDX-License-Identifier: Apache-2.0
// Codes and factors of a matrix and of its transpose from one read: a block of threads has a tile of 128 x
// 128 elements in registers. Codes of the transpose pass through shared memory, so that they are written in
// whole lines. Bound by memory; factors that more than a tile shares need the magnitudes of
// quantize_magnitudes.cuh first.
#pragma once

#include "core/ops/cuda/kernels/quantize_tile.cuh"

namespace strata::cuda {

// A result: the codes of a matrix or of its transpose. codes null: none.
struct QuantizeTo {
  uint8_t* codes;
  int64_t stride;
  float* scales;
  int64_t row_stride, chunk_stride;  // of factors; 0 for what they do not depend on
  ScaleShape shape;
  Fp8Format format;
  const uint32_t* shared;  // magnitudes of a first pass: of the tensor, of each row; else null
  bool wide;               // rows of codes begin on 16 bytes

  explicit __device__ operator bool() const { return codes != nullptr; }
};

struct QuantizeJob {
  QuantizeTo straight, turned;
  ScaleKind kind;
  const float* given;  // null: none
  const uint32_t* whole;
  float* amax;     // null: not wanted
  double* counts;  // [blocks, kQuantizeCounts] of this launch; null: not wanted
};

// The factor that row `row` of a result has in a chunk, made of the magnitudes the tile knows. Writes it,
// where the tile is the one that does.
__device__ inline float quantize_factor(const QuantizeJob& job, const QuantizeTo& to, int64_t row,
                                        int64_t chunk, uint32_t own, uint32_t of_block) {
  if (job.given != nullptr) {
    if (row == 0 && chunk == 0) *to.scales = *job.given;
    return 1 / *job.given;
  }
  const bool by_tile = to.shape == ScaleShape::tile, by_block = to.shape == ScaleShape::block;
  const uint32_t amax = by_tile                          ? own
                        : by_block                       ? of_block
                        : to.shape == ScaleShape::tensor ? *job.whole
                                                         : to.shared[row];
  const Fp8Scale scale = scale_of(largest_finite(to.format), __uint_as_float(amax), job.kind);
  const bool writes = by_tile || (by_block                         ? row % kScaleTile == 0
                                  : to.shape == ScaleShape::tensor ? row == 0 && chunk == 0
                                                                   : chunk == 0);
  if (writes)
    to.scales[(by_block ? row / kScaleTile : row) * to.row_stride + chunk * to.chunk_stride] = scale.factor;
  return scale.multiplier;
}

// What encoding did to an element, in double precision.
struct QuantizeCounter {
  double at[kQuantizeCounts] = {};

  __device__ void take(Fp8Format format, float x, float multiplier, uint8_t code) {
    const float scaled = x * multiplier, value = decode(format, code);
    at[kCountElements] += 1;
    at[kCountSaturated] += saturates(format, scaled) ? 1 : 0;
    at[kCountUnderflow] += x != 0 && value == 0 ? 1 : 0;
    if ((__float_as_uint(x) & 0x7FFFFFFFu) >= 0x7F800000u) return;
    const double error =
        static_cast<double>(x) - static_cast<double>(value) / static_cast<double>(multiplier);
    at[kSumSquares] += static_cast<double>(x) * static_cast<double>(x);
    at[kSumSquaredError] += error * error;
  }

  // The sums of the block, in a fixed order.
  __device__ void put(double* counts) {
    STRATA_SHARED(double, of_warps, [kTileWarps][kQuantizeCounts]);
#pragma unroll
    for (int i = 0; i < kQuantizeCounts; ++i) {
      for (int offset = 16; offset > 0; offset /= 2) at[i] += __shfl_xor_sync(0xFFFFFFFFu, at[i], offset);
      if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32][i] = at[i];
    }
    __syncthreads();
    if (threadIdx.x >= kQuantizeCounts) return;
    double sum = 0;
    for (int w = 0; w < kTileWarps; ++w) sum += of_warps[w][threadIdx.x];
    counts[threadIdx.x] = sum;
  }
};

// body(format as a constant): loops of encoding do not ask for it.
template <typename Body>
__device__ void with_format(Fp8Format format, const Body& body) {
  if (format == Fp8Format::e4m3)
    body(std::integral_constant<Fp8Format, Fp8Format::e4m3>());
  else
    body(std::integral_constant<Fp8Format, Fp8Format::e5m2>());
}

// Two blocks a processor, so that one loads while the other encodes.
template <typename T, bool kCounts>
__global__ void __launch_bounds__(kTileThreads, 2) quantize_kernel(QuantizeSource<T> x, QuantizeJob job) {
  STRATA_SHARED(uint32_t, column_most, [kTileWarps][kTileSide]);
  STRATA_SHARED(uint32_t, warp_most, [kTileWarps]);
  STRATA_SHARED(float, column_multiplier, [kTileSide]);
  STRATA_SHARED(CodeUnit, turned_codes, [kTileSide][kTileWarps]);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const QuantizePlace place = x.place();
  QuantizeTile<T> tile;
  tile.load(x, place);

  const uint32_t own_row = tile.row_most();  // of row `lane` of the warp's
  tile.put_column_most(column_most[warp]);
  const uint32_t of_warp = warp_most_of(own_row);
  if (lane == 0) warp_most[warp] = of_warp;
  __syncthreads();
  uint32_t of_block = 0;
  for (const uint32_t most : warp_most) of_block = most > of_block ? most : of_block;

  if (blockIdx.x == 0 && threadIdx.x == 0 && job.amax != nullptr && *job.whole < 0x7F800000u) {
    const float most = __uint_as_float(*job.whole);
    if (most > *job.amax) *job.amax = most;
  }
  QuantizeCounter counter;
  if (job.straight) {
    const int64_t row = place.row + warp * kTileRows + lane;
    float multiplier = 1;
    if (lane < kTileRows && row < x.rows)
      multiplier = quantize_factor(job, job.straight, row, place.column / kTileSide, own_row, of_block);
    with_format(job.straight.format, [&](auto format) {
      tile.template put_rows<format()>(x, place, job.straight, multiplier,
                                       [&](float value, float of_row, uint8_t code) {
                                         if constexpr (kCounts)
                                           counter.take(job.straight.format, value, of_row, code);
                                       });
    });
  }
  if (job.turned) {
    if (threadIdx.x < kTileSide && place.column + threadIdx.x < x.columns) {
      uint32_t most = 0;
      for (int w = 0; w < kTileWarps; ++w)
        most = column_most[w][threadIdx.x] > most ? column_most[w][threadIdx.x] : most;
      column_multiplier[threadIdx.x] =
          quantize_factor(job, job.turned, place.column + threadIdx.x, place.row / kTileSide, most, of_block);
    }
    __syncthreads();
    with_format(job.turned.format, [&](auto format) {
      tile.template encode_columns<format()>(x, place, column_multiplier, turned_codes,
                                             [&](float value, float of_column, uint8_t code) {
                                               if constexpr (kCounts)
                                                 if (!job.straight)
                                                   counter.take(job.turned.format, value, of_column, code);
                                             });
    });
    __syncthreads();
    put_turned(x, place, job.turned, turned_codes);
  }
  if constexpr (kCounts) counter.put(job.counts + int64_t{blockIdx.x} * kQuantizeCounts);
}

// counts += the blocks' counts, in a fixed order. A warp for each.
__global__ inline void sum_counts_kernel(const double* of_blocks, int64_t blocks, double* counts) {
  const int lane = static_cast<int>(threadIdx.x) % 32, which = static_cast<int>(threadIdx.x) / 32;
  double sum = 0;
  for (int64_t block = lane; block < blocks; block += 32) sum += of_blocks[block * kQuantizeCounts + which];
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, offset);
  if (lane == 0) counts[which] += sum;
}

}  // namespace strata::cuda
