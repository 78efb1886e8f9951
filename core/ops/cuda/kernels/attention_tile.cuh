// SPDX-License-Identifier: Apache-2.0
// What the attention kernels share: tiles in shared memory, and the two products over them.
//
// A block of 256 threads is a 16 x 16 square (ty, tx). It works on a tile of kEdge rows of its own (queries,
// or keys in the gradient of keys) and meets the other side kEdge at a time. Tiles lie in shared memory as
// f32 [kEdge, pitch]; thread (ty, tx) has own rows ty * kPer + i and, of products of rows, others tx + 16 j;
// of sums of rows, columns 4 tx + 64 g + e. So a row of the square's weights is written and read by the same
// half warp.
#pragma once

#include "core/ops/cuda/kernels/rows.cuh"

namespace strata::cuda {

inline constexpr int kAttentionThreads = 256;
inline constexpr int kSide = 16;  // of the square of threads

struct Square {
  int tx = static_cast<int>(threadIdx.x) % kSide, ty = static_cast<int>(threadIdx.x) / kSide;
};

// Floats of one row of a tile of `columns`: whole vectors of four, and one more so that rows start in other
// banks.
__host__ __device__ inline int pitch_of(int columns) { return (columns + 3) / 4 * 4 + 4; }
// Of a row of weights.
template <int kEdge>
inline constexpr int kWeightPitch = kEdge + 4;

// Columns [0, columns) of `rows` rows at `from` as f32; zero up to kEdge rows and whole vectors. `wide`: rows
// are whole vectors of four elements on their boundary.
template <int kEdge, typename T>
__device__ void load_tile(const T* from, int64_t stride, int rows, int columns, bool wide, float* tile) {
  const Square at;
  const int pitch = pitch_of(columns);
  for (int r = at.ty; r < kEdge; r += kSide) {
    const T* const row = from + r * stride;
    for (int c = 4 * at.tx; c < columns; c += 4 * kSide) {
      Vector<float, 4> x{};
      if (r < rows) {
        if (wide) {
          const auto v = load_vector<T, 4>(row + c);
#pragma unroll
          for (int e = 0; e < 4; ++e) x.at[e] = to_float(v.at[e]);
        } else {
#pragma unroll
          for (int e = 0; e < 4; ++e)
            if (c + e < columns) x.at[e] = to_float(row[c + e]);
        }
      }
      store_vector(tile + r * pitch + c, x);
    }
  }
}

// product[i][j] = own row ty * kPer + i . other row tx + 16 j, both of `columns`.
template <int kPer>
__device__ void row_products(const float* own, const float* other, int columns,
                             float (&product)[kPer][kPer]) {
  const Square at;
  const int pitch = pitch_of(columns);
  own += at.ty * kPer * pitch;
  other += at.tx * pitch;
#pragma unroll
  for (int i = 0; i < kPer; ++i)
#pragma unroll
    for (int j = 0; j < kPer; ++j) product[i][j] = 0;
#pragma unroll 2
  for (int c = 0; c < columns; c += 4) {
    Vector<float, 4> a[kPer], b[kPer];
#pragma unroll
    for (int i = 0; i < kPer; ++i) {
      a[i] = load_vector<float, 4>(own + i * pitch + c);
      b[i] = load_vector<float, 4>(other + kSide * i * pitch + c);
    }
#pragma unroll
    for (int i = 0; i < kPer; ++i)
#pragma unroll
      for (int j = 0; j < kPer; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) product[i][j] += a[i].at[e] * b[j].at[e];
  }
}

// sum[i][4 g + e] += over other rows r: weights[ty * kPer + i][r] * other[r][4 tx + 64 g + e].
template <int kPer, int kWidth>
__device__ void add_weighted_rows(const float* weights, const float* other, int columns,
                                  float (&sum)[kPer][kWidth / kSide]) {
  constexpr int kEdge = kPer * kSide;
  const Square at;
  const int pitch = pitch_of(columns);
  weights += at.ty * kPer * kWeightPitch<kEdge>;
#pragma unroll 1
  for (int first = 0; first < kEdge; first += 4) {
    Vector<float, 4> w[kPer];
#pragma unroll
    for (int i = 0; i < kPer; ++i) w[i] = load_vector<float, 4>(weights + i * kWeightPitch<kEdge> + first);
#pragma unroll
    for (int r = 0; r < 4; ++r)
#pragma unroll
      for (int g = 0; g < kWidth / 64; ++g) {
        const int column = 4 * at.tx + 64 * g;
        if (column >= columns) continue;
        const auto x = load_vector<float, 4>(other + (first + r) * pitch + column);
#pragma unroll
        for (int i = 0; i < kPer; ++i)
#pragma unroll
          for (int e = 0; e < 4; ++e) sum[i][4 * g + e] += w[i].at[r] * x.at[e];
      }
  }
}

// A matrix of results: T, or f32.
template <typename T>
struct Results {
  void* data = nullptr;
  int64_t stride = 0;
  bool is_float = false;

  // factor[i] * sum[i][...] into rows row + ty * kPer + i below `rows`.
  template <int kPer, int kColumns>
  __device__ void store(int64_t row, int rows, int64_t column, int columns, const float (&factor)[kPer],
                        const float (&sum)[kPer][kColumns]) const {
    const Square at;
#pragma unroll
    for (int i = 0; i < kPer; ++i) {
      if (at.ty * kPer + i >= rows) continue;
      const int64_t begin = (row + at.ty * kPer + i) * stride + column;
#pragma unroll
      for (int g = 0; g < kColumns / 4; ++g)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int c = 4 * at.tx + 64 * g + e;
          if (c >= columns) continue;
          const float value = factor[i] * sum[i][4 * g + e];
          if (is_float)
            static_cast<float*>(data)[begin + c] = value;
          else
            static_cast<T*>(data)[begin + c] = from_float<T>(value);
        }
    }
  }
};

// Over the 16 threads that share their own rows: half a warp.
__device__ inline float half_warp_sum(float x) {
  for (int offset = kSide / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
  return x;
}
__device__ inline float half_warp_max(float x) {
  for (int offset = kSide / 2; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, offset));
  return x;
}

}  // namespace strata::cuda
