// SPDX-License-Identifier: Apache-2.0
// SwiGLU and GELU (tanh form), forward and backward, element by element.
//
// The grid is (pieces of columns, rows); a thread takes kVectors vectors of 16 bytes of one row, a block's
// width apart, and has all their loads in flight before it computes. One read of every operand, one write:
// bound by memory (some 20 instructions and two special functions an element). An output may be an input: a
// thread reads the elements it writes, and no others, before. Rows that are not aligned go element by element
// (kWide 1).
#pragma once

#include "core/ops/cuda/kernels/rows.cuh"

namespace strata::cuda {

inline constexpr int kActivationThreads = 128;
inline constexpr int kActivationVectors = 2;

// 1 / (1 + exp(-x)); 0 and 1 far out, NaN for NaN.
__device__ inline float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }

// y = silu(gate) * up.
struct Swiglu {
  __device__ static float forward(float gate, float up) { return gate * sigmoid(gate) * up; }
  struct Gradient {
    float gate, up;
  };
  // dgate = dy up s (1 + gate (1 - s)), dup = dy gate s.
  __device__ static Gradient backward(float gate, float up, float dy) {
    const float s = sigmoid(gate);
    return {dy * up * s * (1.0f + gate * (1.0f - s)), dy * gate * s};
  }
};

// x / 2 (1 + tanh(u)) is x s(2u), which has no cancellation for negative x.
struct Gelu {
  static constexpr float kC = 1.5957691216057308f, kCubic = 0.044715f;  // 2 sqrt(2 / pi)
  __device__ static float forward(float x) { return x * sigmoid(kC * x * (1.0f + kCubic * x * x)); }
  __device__ static float backward(float x, float dy) {
    const float cubic = kCubic * x * x;
    const float s = sigmoid(kC * x * (1.0f + cubic)), slope = kC * (1.0f + 3.0f * cubic);
    return dy * (s + x * slope * s * (1.0f - s));
  }
};

// body(slot, i) for the thread's vectors of its row.
template <typename Body>
__device__ void for_piece(int64_t vectors, const Body& body) {
  const int64_t first = int64_t{blockIdx.x} * (kActivationThreads * kActivationVectors) + threadIdx.x;
#pragma unroll
  for (int slot = 0; slot < kActivationVectors; ++slot) {
    const int64_t i = first + slot * kActivationThreads;
    if (i < vectors) body(slot, i);
  }
}

template <typename T, int kWide>
__global__ void swiglu_forward_kernel(Rows<const T> gate_up, Rows<T> y, int64_t rows, int64_t width,
                                      uint32_t* to_amax) {
  Amax amax(to_amax);
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const T *const gate = gate_up.row(row), *const up = gate + width;
    Vector<T, kWide> g[kActivationVectors], u[kActivationVectors];
    for_piece(width / kWide, [&](int slot, int64_t i) {
      g[slot] = load_vector<T, kWide>(gate + i * kWide);
      u[slot] = load_vector<T, kWide>(up + i * kWide);
    });
    for_piece(width / kWide, [&](int slot, int64_t i) {
      Vector<T, kWide> result;
#pragma unroll
      for (int e = 0; e < kWide; ++e) {
        result.at[e] = from_float<T>(Swiglu::forward(to_float(g[slot].at[e]), to_float(u[slot].at[e])));
        amax.take(to_float(result.at[e]));
      }
      store_vector(y.row(row) + i * kWide, result);
    });
  }
  amax.put();
}

template <typename T, int kWide>
__global__ void swiglu_backward_kernel(Rows<const T> gate_up, Rows<const T> dy, Rows<T> dgate_up,
                                       int64_t rows, int64_t width, uint32_t* to_amax) {
  Amax amax(to_amax);
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const T *const gate = gate_up.row(row), *const up = gate + width;
    Vector<T, kWide> g[kActivationVectors], u[kActivationVectors], d[kActivationVectors];
    for_piece(width / kWide, [&](int slot, int64_t i) {
      g[slot] = load_vector<T, kWide>(gate + i * kWide);
      u[slot] = load_vector<T, kWide>(up + i * kWide);
      d[slot] = load_vector<T, kWide>(dy.row(row) + i * kWide);
    });
    for_piece(width / kWide, [&](int slot, int64_t i) {
      Vector<T, kWide> dgate, dup;
#pragma unroll
      for (int e = 0; e < kWide; ++e) {
        const auto gradient =
            Swiglu::backward(to_float(g[slot].at[e]), to_float(u[slot].at[e]), to_float(d[slot].at[e]));
        dgate.at[e] = from_float<T>(gradient.gate);
        dup.at[e] = from_float<T>(gradient.up);
        amax.take(to_float(dgate.at[e]));
        amax.take(to_float(dup.at[e]));
      }
      store_vector(dgate_up.row(row) + i * kWide, dgate);
      store_vector(dgate_up.row(row) + width + i * kWide, dup);
    });
  }
  amax.put();
}

template <typename T, int kWide>
__global__ void gelu_forward_kernel(Rows<const T> x, Rows<T> y, int64_t rows, int64_t width,
                                    uint32_t* to_amax) {
  Amax amax(to_amax);
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    Vector<T, kWide> v[kActivationVectors];
    for_piece(width / kWide,
              [&](int slot, int64_t i) { v[slot] = load_vector<T, kWide>(x.row(row) + i * kWide); });
    for_piece(width / kWide, [&](int slot, int64_t i) {
      Vector<T, kWide> result;
#pragma unroll
      for (int e = 0; e < kWide; ++e) {
        result.at[e] = from_float<T>(Gelu::forward(to_float(v[slot].at[e])));
        amax.take(to_float(result.at[e]));
      }
      store_vector(y.row(row) + i * kWide, result);
    });
  }
  amax.put();
}

template <typename T, int kWide>
__global__ void gelu_backward_kernel(Rows<const T> x, Rows<const T> dy, Rows<T> dx, int64_t rows,
                                     int64_t width, uint32_t* to_amax) {
  Amax amax(to_amax);
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    Vector<T, kWide> v[kActivationVectors], d[kActivationVectors];
    for_piece(width / kWide, [&](int slot, int64_t i) {
      v[slot] = load_vector<T, kWide>(x.row(row) + i * kWide);
      d[slot] = load_vector<T, kWide>(dy.row(row) + i * kWide);
    });
    for_piece(width / kWide, [&](int slot, int64_t i) {
      Vector<T, kWide> result;
#pragma unroll
      for (int e = 0; e < kWide; ++e) {
        result.at[e] = from_float<T>(Gelu::backward(to_float(v[slot].at[e]), to_float(d[slot].at[e])));
        amax.take(to_float(result.at[e]));
      }
      store_vector(dx.row(row) + i * kWide, result);
    });
  }
  amax.put();
}

}  // namespace strata::cuda
