// SPDX-License-Identifier: Apache-2.0
// AdamW on the GPU: the shared scalar formula (optim/adamw_scalar.h) over spans of a state format.
//
// A thread takes kAdamwPieces pieces of four consecutive elements of every array (16 bytes of f32, 8 of 16-bit
// ones), a block's width apart, has all their loads in flight, lets the state format's own accessors work on the
// registers, and stores: one read and one write of each array. Bound by memory: 28, 30 or 20 bytes an element, for
// some 60 instructions (a quotient and a square root). Elements at the end, and arrays that are not aligned, go one
// by one.
// The same bits as on a CPU: this is compiled without contraction (-fmad=false) and with exact division and square
// root (optim/CMakeLists.txt).
#pragma once

#include "core/device/cuda/kernel.cuh"
#include "optim/adamw_scalar.h"
#include "optim/state_fp32.h"
#include "optim/state_master.h"
#include "optim/state_split.h"
#include "optim/state_split8.h"
#include "optim/state_sr8.h"

namespace strata::cuda {

inline constexpr int kAdamwThreads = 256;
inline constexpr int kAdamwElements = 4;  // of a piece
inline constexpr int kAdamwPieces = 2;

// A piece of an array, in registers.
template <typename T>
using Piece = Vector<T, kAdamwElements>;

template <typename T>
__device__ Piece<T> piece_of(const T* array, int64_t i) {
  return load_vector<T, kAdamwElements>(array + i);
}

// The pieces of each state format, and the format as it looks to its accessors when they lie in registers.
template <typename State>
struct Pieces;

template <>
struct Pieces<Fp32State> {
  Piece<float> weight, moment1, moment2;

  __device__ void load(const Fp32State& from, int64_t i) {
    weight = piece_of(from.weight, i);
    moment1 = piece_of(from.moment1, i);
    moment2 = piece_of(from.moment2, i);
  }
  __device__ Fp32State state() { return {weight.at, moment1.at, moment2.at}; }
  __device__ void store(const Fp32State& to, int64_t i) const {
    store_vector(to.weight + i, weight);
    store_vector(to.moment1 + i, moment1);
    store_vector(to.moment2 + i, moment2);
  }
};

template <>
struct Pieces<MasterState> {
  Piece<bf16> weight;  // written, never read
  Piece<float> master, moment1, moment2;

  __device__ void load(const MasterState& from, int64_t i) {
    master = piece_of(from.master, i);
    moment1 = piece_of(from.moment1, i);
    moment2 = piece_of(from.moment2, i);
  }
  __device__ MasterState state() { return {weight.at, master.at, moment1.at, moment2.at}; }
  __device__ void store(const MasterState& to, int64_t i) const {
    store_vector(to.weight + i, weight);
    store_vector(to.master + i, master);
    store_vector(to.moment1 + i, moment1);
    store_vector(to.moment2 + i, moment2);
  }
};

template <>
struct Pieces<SplitState> {
  Piece<bf16> weight;
  Piece<int16_t> master_low;
  Piece<bf16> moment1, moment2;

  __device__ void load(const SplitState& from, int64_t i) {
    weight = piece_of(from.weight, i);
    master_low = piece_of(from.master_low, i);
    moment1 = piece_of(from.moment1, i);
    moment2 = piece_of(from.moment2, i);
  }
  __device__ SplitState state() { return {weight.at, master_low.at, moment1.at, moment2.at}; }
  __device__ void store(const SplitState& to, int64_t i) const {
    store_vector(to.weight + i, weight);
    store_vector(to.master_low + i, master_low);
    store_vector(to.moment1 + i, moment1);
    store_vector(to.moment2 + i, moment2);
  }
};

// Elements [0, whole) in pieces, whole being a multiple of kAdamwElements; then [whole, n) one by one.
template <typename State>
__global__ void __launch_bounds__(kAdamwThreads)
    adamw_kernel(const State state, const float* grad, int64_t whole, int64_t n, const AdamwCoefficients c) {
  constexpr int64_t kBlock = kAdamwThreads * kAdamwPieces;  // pieces of a block at a time
  for (int64_t first = blockIdx.x * kBlock + threadIdx.x; first * kAdamwElements < whole;
       first += gridDim.x * kBlock) {
    Pieces<State> pieces[kAdamwPieces];
    Piece<float> gradients[kAdamwPieces];
#pragma unroll
    for (int p = 0; p < kAdamwPieces; ++p) {
      const int64_t i = (first + p * kAdamwThreads) * kAdamwElements;
      if (i >= whole) continue;
      gradients[p] = piece_of(grad, i);
      pieces[p].load(state, i);
    }
#pragma unroll
    for (int p = 0; p < kAdamwPieces; ++p) {
      const int64_t i = (first + p * kAdamwThreads) * kAdamwElements;
      if (i >= whole) continue;
      const State held = pieces[p].state();
#pragma unroll
      for (int e = 0; e < kAdamwElements; ++e)
        held.store(e, adamw_step(held.load(e), gradients[p].at[e], c));
      pieces[p].store(state, i);
    }
  }
  for (int64_t i = whole + int64_t{blockIdx.x} * kAdamwThreads + threadIdx.x; i < n;
       i += int64_t{gridDim.x} * kAdamwThreads)
    state.store(i, adamw_step(state.load(i), grad[i], c));
}

// Formats in blocks: a warp takes a block of 128 elements, a lane the four that one Philox block serves, each access of
// a warp 32 neighbours. The block's new exponents come of one reduction over the warp; nothing is read again for them.
// Bound by memory: 16 or 12 bytes an element, for some 40 instructions and a quarter of a Philox block.
template <typename State>
__global__ void __launch_bounds__(kAdamwThreads)
    adamw_blocks_kernel(const State state, const float* grad, int64_t n, const AdamwCoefficients c) {
  constexpr int kWarps = kAdamwThreads / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  static_assert(State::kBlock == 4 * 32 && moment8::kGroups == 32);
  for (int64_t b = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32; b * State::kBlock < n;
       b += int64_t{gridDim.x} * kWarps) {
    const PhiloxBlock random = random_block(c.key, c.first_index / 4 + static_cast<uint64_t>(b * 32 + lane));
    const uint8_t top1 = state.moments.top1[b], top2 = state.moments.top2[b];
    AdamwElement stepped[4];
    uint32_t largest1 = 0, largest2 = 0;
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const int64_t i = b * State::kBlock + moment8::element_of(lane, w);
      if (i >= n) continue;
      stepped[w] = adamw_step({state.value(i), moment8::decode1(state.moments.code1[i], top1),
                               moment8::decode2(state.moments.code2[i], top2)},
                              grad[i], c);
      state.keep(i, stepped[w].value, random[w]);
      const uint32_t one = moment8::finite_magnitude(stepped[w].moment1),
                     two = moment8::finite_magnitude(stepped[w].moment2);
      largest1 = one > largest1 ? one : largest1;
      largest2 = two > largest2 ? two : largest2;
    }
    for (int offset = 16; offset > 0; offset /= 2) {
      const uint32_t one = __shfl_xor_sync(0xFFFFFFFFu, largest1, offset),
                     two = __shfl_xor_sync(0xFFFFFFFFu, largest2, offset);
      largest1 = one > largest1 ? one : largest1;
      largest2 = two > largest2 ? two : largest2;
    }
    const uint8_t new1 = moment8::top1(largest1), new2 = moment8::top2(largest2);
    __syncwarp();  // every lane has read the old powers
    if (lane == 0) {
      state.moments.top1[b] = new1;
      state.moments.top2[b] = new2;
    }
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const int64_t i = b * State::kBlock + moment8::element_of(lane, w);
      if (i >= n) continue;
      state.moments.code1[i] = moment8::encode1(stepped[w].moment1, new1, moment8::bits1(random[w]));
      state.moments.code2[i] = moment8::encode2(stepped[w].moment2, new2, moment8::bits2(random[w]));
    }
  }
}

// For set-up and checkpoints: one element a thread.
template <typename State>
__global__ void initialize_state_kernel(const State state, const float* values, int64_t n) {
  for (int64_t i = int64_t{blockIdx.x} * kAdamwThreads + threadIdx.x; i < n;
       i += int64_t{gridDim.x} * kAdamwThreads) {
    if constexpr (requires { State::kBlock; }) {
      state.begin(i, canonical_nan(values[i]));
      state.moments.code1[i] = state.moments.code2[i] = 0;
      if (i % State::kBlock == 0) state.moments.top1[i / State::kBlock] = state.moments.top2[i / State::kBlock] = 0;
    } else {
      state.store(i, {.value = canonical_nan(values[i])});
    }
  }
}

template <typename State>
__global__ void export_state_kernel(const State state, float* values, int64_t n) {
  for (int64_t i = int64_t{blockIdx.x} * kAdamwThreads + threadIdx.x; i < n;
       i += int64_t{gridDim.x} * kAdamwThreads)
    values[i] = state.value(i);
}

}  // namespace strata::cuda
