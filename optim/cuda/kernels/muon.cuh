// SPDX-License-Identifier: Apache-2.0
// The element-wise passes of Muon on the GPU; its matrix products, fifteen a step, take nearly all of the
// time. A block has a row. x of a matrix with more rows than columns is its transpose, and written in
// columns: slow, and still little beside the products.
#pragma once

#include "core/device/cuda/kernel.cuh"
#include "optim/muon_math.h"
#include "optim/muon_matrix.h"

namespace strata::cuda {

inline constexpr int kMuonThreads = 256;

// The sum over the block, in a fixed order; valid in thread 0.
__device__ inline double sum_of_block(double value) {
  STRATA_SHARED(double, of_warps, [kMuonThreads / 32]);
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, offset);
  __syncthreads();  // who reads the last call's is done
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0;
  for (const double of_warp : of_warps) sum += of_warp;
  return sum;
}

// Momentum, the direction into x, and the sum of each row's squares.
template <typename State>
__global__ void muon_direction_kernel(MuonMatrix<State> m, MuonMomentum momentum, float* x, double* squares) {
  for (int64_t row = blockIdx.x; row < m.rows; row += gridDim.x) {
    double sum = 0;
    for (int64_t column = threadIdx.x; column < m.columns; column += kMuonThreads) {
      const float direction = m.direct(row * m.columns + column, momentum);
      x[m.place(row, column)] = direction;
      sum += static_cast<double>(direction) * static_cast<double>(direction);
    }
    const double total = sum_of_block(sum);
    if (threadIdx.x == 0) squares[row] = total;
  }
}

// squares[rows] = 1 / (norm + eps). One block.
__global__ inline void muon_norm_kernel(double* squares, int64_t rows) {
  double sum = 0;
  for (int64_t row = threadIdx.x; row < rows; row += kMuonThreads) sum += squares[row];
  const double total = sum_of_block(sum);
  if (threadIdx.x == 0) squares[rows] = 1 / (sqrt(total) + muon::kEps);
}

__global__ inline void muon_scale_kernel(float* x, const double* inverse, int64_t n) {
  const auto factor = static_cast<float>(*inverse);
  for (int64_t i = int64_t{blockIdx.x} * kMuonThreads + threadIdx.x; i < n;
       i += int64_t{gridDim.x} * kMuonThreads)
    x[i] *= factor;
}

__global__ inline void muon_blend_kernel(float left, float* out, float right, const float* in, int64_t n) {
  for (int64_t i = int64_t{blockIdx.x} * kMuonThreads + threadIdx.x; i < n;
       i += int64_t{gridDim.x} * kMuonThreads)
    out[i] = left * out[i] + right * in[i];
}

template <typename State>
__global__ void muon_step_kernel(MuonMatrix<State> m, const float* x, float keep, float step) {
  for (int64_t row = blockIdx.x; row < m.rows; row += gridDim.x)
    for (int64_t column = threadIdx.x; column < m.columns; column += kMuonThreads) {
      m.step(row * m.columns + column, keep, step * x[m.place(row, column)]);
    }
}

}  // namespace strata::cuda
