// SPDX-License-Identifier: Apache-2.0
// RMSNorm and LayerNorm, backward. With h = (x - mean) * rstd and g = dy * weight:
//   dx = add + rstd * (g - h * mean(g * h) [- mean(g)])     dweight = sum of dy * h     dbias = sum of dy
//
// norm_backward_kernel: a bounded number of blocks, each going through groups in steps of the grid. A thread
// keeps its vectors of x and dy in registers between the sums and dx, and the sums of its columns over all
// groups of its team; at the end a block adds its teams in order and leaves one row of partial sums. Reads x,
// dy and add once, writes dx once; bound by memory. dx may be dy or add: an element is read by the thread
// that writes it, before. kHeld 0 (rows that do not fit or are not aligned) makes no weight gradients:
// norm_weight_kernel makes those, a thread a column, and must run first when dx is dy.
// norm_combine_kernel adds the rows of partial sums. All orders are fixed: same bits every run.
#pragma once

#include "core/ops/cuda/kernels/rows.cuh"

namespace strata::cuda {

// dx may share memory with dy or add: none of them may be read through the read-only cache.
template <typename T, typename W>
struct NormBackward {
  Rows<T> x, dy, dx, add;  // add may be absent
  const W* weight;
  const float *mean, *rstd;  // mean: LayerNorm only
  int64_t count, groups;     // groups in all, and in one row
  int64_t width;
  float* partials;  // [blocks, 1 or 2, width]: dweight, then dbias of LayerNorm; null: not wanted
};

// The element at which group `index` begins, in a matrix of row stride `stride`.
__device__ inline int64_t group_offset(int64_t index, int64_t groups, int64_t width, int64_t stride) {
  if (groups == 1) return index * stride;
  const int64_t row = index / groups;
  return row * stride + (index - row * groups) * width;
}

template <bool kCentered, typename T, typename W, int kWide, int kHeld>
__global__ void __launch_bounds__(kHeld > 0 ? 512 : 256) norm_backward_kernel(const NormBackward<T, W> args) {
  STRATA_SHARED(float, slots, [2][32]);
  STRATA_DYNAMIC_SHARED(float, block_sums);  // [width], when a block has several teams
  TeamSum team_sum(slots);
  constexpr int kSlots = kHeld > 0 ? kHeld : 1;
  const float inverse_width = 1.0f / static_cast<float>(args.width);
  float dweight[kSlots][kWide] = {}, dbias[kSlots][kWide] = {};

  // A block's teams stay together, so that all meet at the barriers of the sums.
  for (int64_t first = int64_t{blockIdx.x} * blockDim.y; first < args.count;
       first += int64_t{gridDim.x} * blockDim.y) {
    const int64_t index = first + threadIdx.y;
    const bool present = index < args.count;
    const int64_t vectors = present ? args.width / kWide : 0;
    const auto begin = [&](const Rows<T>& of) {
      return of.data + (present ? group_offset(index, args.groups, args.width, of.stride) : 0);
    };
    const T *const x = begin(args.x), *const dy = begin(args.dy);
    const float rstd = present ? args.rstd[index] : 0.0f;
    float mean = 0;
    if constexpr (kCentered) mean = present ? args.mean[index] : 0.0f;

    Vector<T, kWide> held_x[kSlots], held_dy[kSlots];
    if constexpr (kHeld > 0)
      for_vectors<kHeld>(vectors, [&](int slot, int64_t i) {
        held_x[slot] = load_vector<T, kWide>(x + i * kWide);
        held_dy[slot] = load_vector<T, kWide>(dy + i * kWide);
      });
    const auto x_vector = [&](int slot, int64_t i) {
      if constexpr (kHeld > 0) return held_x[slot];
      return load_vector<T, kWide>(x + i * kWide);
    };
    const auto dy_vector = [&](int slot, int64_t i) {
      if constexpr (kHeld > 0) return held_dy[slot];
      return load_vector<T, kWide>(dy + i * kWide);
    };

    float g_sum = 0, gh_sum = 0;
    for_vectors<kHeld>(vectors, [&](int slot, int64_t i) {
      const Vector<T, kWide> x_i = x_vector(slot, i), dy_i = dy_vector(slot, i);
      const auto weight = load_vector<W, kWide>(args.weight + i * kWide);
#pragma unroll
      for (int e = 0; e < kWide; ++e) {
        const float h = (to_float(x_i.at[e]) - mean) * rstd, d = to_float(dy_i.at[e]);
        const float g = d * to_float(weight.at[e]);
        gh_sum += g * h;
        if constexpr (kCentered) g_sum += g;
        if constexpr (kHeld > 0) {
          dweight[slot][e] += d * h;
          if constexpr (kCentered) dbias[slot][e] += d;
        }
      }
    });
    const float gh_mean = team_sum(gh_sum) * inverse_width;
    float g_mean = 0;
    if constexpr (kCentered) g_mean = team_sum(g_sum) * inverse_width;

    const T* const add = args.add.data ? begin(args.add) : nullptr;
    T* const dx = begin(args.dx);
    for_vectors<kHeld>(vectors, [&](int slot, int64_t i) {
      const Vector<T, kWide> x_i = x_vector(slot, i), dy_i = dy_vector(slot, i);
      const auto weight = load_vector<W, kWide>(args.weight + i * kWide);
      Vector<T, kWide> add_i, result;
      if (add) add_i = load_vector<T, kWide>(add + i * kWide);
#pragma unroll
      for (int e = 0; e < kWide; ++e) {
        const float h = (to_float(x_i.at[e]) - mean) * rstd;
        float d = (to_float(dy_i.at[e]) * to_float(weight.at[e]) - h * gh_mean - g_mean) * rstd;
        if (add) d += to_float(add_i.at[e]);
        result.at[e] = from_float<T>(d);
      }
      store_vector(dx + i * kWide, result);
    });
  }

  if constexpr (kHeld > 0) {
    if (!args.partials) return;
    const int64_t vectors = args.width / kWide;
    const auto leave = [&](const float(&sums)[kSlots][kWide], float* partials) {
      float* const total = blockDim.y > 1 ? block_sums : partials;
      for (unsigned team = 0; team < blockDim.y; ++team) {
        if (threadIdx.y == team)
          for_vectors<kHeld>(vectors, [&](int slot, int64_t i) {
#pragma unroll
            for (int e = 0; e < kWide; ++e) {
              float* const at = total + i * kWide + e;
              *at = team == 0 ? sums[slot][e] : *at + sums[slot][e];
            }
          });
        __syncthreads();
      }
      if (blockDim.y == 1) return;
      for (int64_t c = threadIdx.x + int64_t{blockDim.x} * threadIdx.y; c < args.width;
           c += blockDim.x * blockDim.y)
        partials[c] = block_sums[c];
      __syncthreads();
    };
    constexpr int kSums = kCentered ? 2 : 1;
    float* const partials = args.partials + int64_t{blockIdx.x} * kSums * args.width;
    leave(dweight, partials);
    if constexpr (kCentered) leave(dbias, partials + args.width);
  }
}

// Partial sums of the weight gradients: block (x, y) sums groups y, y + gridDim.y, ... in its columns.
template <bool kCentered, typename T, typename W>
__global__ void norm_weight_kernel(const NormBackward<T, W> args) {
  const int64_t column = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (column >= args.width) return;
  float dweight = 0, dbias = 0;
#pragma unroll 4
  for (int64_t index = blockIdx.y; index < args.count; index += gridDim.y) {
    const float d =
        to_float(args.dy.data[group_offset(index, args.groups, args.width, args.dy.stride) + column]);
    float h = to_float(args.x.data[group_offset(index, args.groups, args.width, args.x.stride) + column]);
    if constexpr (kCentered) h -= args.mean[index];
    dweight += d * (h * args.rstd[index]);
    dbias += d;
  }
  constexpr int kSums = kCentered ? 2 : 1;
  float* const partials = args.partials + int64_t{blockIdx.y} * kSums * args.width + column;
  partials[0] = dweight;
  if constexpr (kCentered) partials[args.width] = dbias;
}

inline constexpr int kCombineColumns = 32, kCombineRows = 8;

// out[c] (+)= sum over rows of partials[row * stride + c]. Block (32, 8): thread (c, r) adds rows r, r + 8,
// ... and the eight sums are added in order.
__global__ inline void norm_combine_kernel(const float* partials, int64_t rows, int64_t stride, int64_t width,
                                           float* out, bool accumulate) {
  STRATA_SHARED(float, sums, [kCombineRows][kCombineColumns]);
  const int64_t column = int64_t{blockIdx.x} * kCombineColumns + threadIdx.x;
  float sum = 0;
  if (column < width) {
#pragma unroll 8
    for (int64_t row = threadIdx.y; row < rows; row += kCombineRows) sum += partials[row * stride + column];
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= width) return;
  float total = accumulate ? out[column] : 0.0f;
  for (int r = 0; r < kCombineRows; ++r) total += sums[r][threadIdx.x];
  out[column] = total;
}

}  // namespace strata::cuda
