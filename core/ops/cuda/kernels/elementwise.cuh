// SPDX-License-Identifier: Apache-2.0
// Copies with conversion, fills, sums of two, scaling: one read of every operand and one write, in vectors of
// eight elements (16 or 32 bytes) where rows are aligned for it, else one by one. The grid is (pieces of
// columns, rows), a row being the whole of a contiguous tensor. Bound by memory.
#pragma once

#include "core/ops/cuda/kernels/rows.cuh"

namespace strata::cuda {

inline constexpr int kElementwiseThreads = 256;
inline constexpr int kElementwiseVectors = 2;  // of a thread, a block's width apart

// Moves kWide elements of T in accesses of at most 16 bytes.
template <int kWide, typename T>
struct Elements {
  static constexpr int kEach = kWide * sizeof(T) <= 16 ? kWide : 16 / static_cast<int>(sizeof(T));
  Vector<T, kEach> parts[kWide / kEach];

  __device__ void load(const T* from) {
#pragma unroll
    for (int part = 0; part < kWide / kEach; ++part) parts[part] = load_vector<T, kEach>(from + part * kEach);
  }
  __device__ void store(T* to) const {
#pragma unroll
    for (int part = 0; part < kWide / kEach; ++part) store_vector(to + part * kEach, parts[part]);
  }
  __device__ T& operator[](int i) { return parts[i / kEach].at[i % kEach]; }
};

// out[row][i] = body(row, the kWide elements at i): body fills an Elements<kWide, Out>.
template <int kWide, typename Out, typename Body>
__device__ void for_elements(Rows<Out> out, int64_t rows, int64_t width, const Body& body) {
  const int64_t first =
      (int64_t{blockIdx.x} * kElementwiseThreads * kElementwiseVectors + threadIdx.x) * kWide;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    Elements<kWide, Out> results[kElementwiseVectors];
#pragma unroll
    for (int slot = 0; slot < kElementwiseVectors; ++slot) {
      const int64_t i = first + int64_t{slot} * kElementwiseThreads * kWide;
      if (i < width) body(row, i, results[slot]);
    }
#pragma unroll
    for (int slot = 0; slot < kElementwiseVectors; ++slot) {
      const int64_t i = first + int64_t{slot} * kElementwiseThreads * kWide;
      if (i < width) results[slot].store(out.row(row) + i);
    }
  }
}

template <int kWide, typename From, typename To>
__global__ void copy_kernel(Rows<const From> from, Rows<To> to, int64_t rows, int64_t width) {
  for_elements<kWide>(to, rows, width, [&](int64_t row, int64_t i, Elements<kWide, To>& result) {
    Elements<kWide, From> source;
    source.load(from.row(row) + i);
#pragma unroll
    for (int e = 0; e < kWide; ++e) {
      if constexpr (std::is_same_v<From, To>)
        result[e] = source[e];  // the bits, NaN payloads too
      else
        result[e] = from_float<To>(to_float(source[e]));
    }
  });
}

template <int kWide, typename T>
__global__ void fill_kernel(Rows<T> x, float value, int64_t width) {
  for_elements<kWide>(x, 1, width, [&](int64_t, int64_t, Elements<kWide, T>& result) {
#pragma unroll
    for (int e = 0; e < kWide; ++e) result[e] = from_float<T>(value);
  });
}

// b has `a`'s rows, or (b.stride 0) one row that is added to all.
template <int kWide, typename T>
__global__ void add_kernel(Rows<const T> a, Rows<const T> b, Rows<T> out, int64_t rows, int64_t width) {
  for_elements<kWide>(out, rows, width, [&](int64_t row, int64_t i, Elements<kWide, T>& result) {
    Elements<kWide, T> x, y;
    x.load(a.row(row) + i);
    y.load(b.row(row) + i);
#pragma unroll
    for (int e = 0; e < kWide; ++e) result[e] = from_float<T>(to_float(x[e]) + to_float(y[e]));
  });
}

template <int kWide>
__global__ void scale_kernel(Rows<float> x, float s, int64_t width) {
  for_elements<kWide>(x, 1, width, [&](int64_t row, int64_t i, Elements<kWide, float>& result) {
    Elements<kWide, float> source;
    source.load(x.row(row) + i);
#pragma unroll
    for (int e = 0; e < kWide; ++e) result[e] = s * source[e];
  });
}

}  // namespace strata::cuda
