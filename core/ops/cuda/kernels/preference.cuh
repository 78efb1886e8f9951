// SPDX-License-Identifier: Apache-2.0
// The loss of a pair of responses: a warp has a pair and reads the losses of its tokens once, in double, each
// lane every 32nd. A few thousand tokens in all: what it takes is the launch.
#pragma once

#include "core/device/cuda/kernel.cuh"
#include "core/ops/preference.h"

namespace strata::cuda {

// Of the warp, the same in all lanes and in every run.
__device__ inline double sum_of_warp(double value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, offset);
  return value;
}

__global__ inline void preference_kernel(PreferenceSpec spec, const float* nll, const int32_t* begins,
                                         const float* reference, float* losses, float* weight) {
  const int64_t pair = blockIdx.x;
  const int lane = static_cast<int>(threadIdx.x);
  const int32_t* const begin = begins + 3 * pair;
  double advantage = 0;  // of the chosen one, in nats
  for (int which = 0; which < 2; ++which) {
    double sum = 0;
    for (int32_t t = begin[which] + lane; t < begin[which + 1]; t += 32) sum += static_cast<double>(nll[t]);
    const double gain = -sum_of_warp(sum) - static_cast<double>(reference[2 * pair + which]);
    advantage += which == 0 ? gain : -gain;
  }
  const double beta = static_cast<double>(spec.beta);
  const PreferenceTerm term = preference_term(spec, beta * advantage);
  if (lane == 0) losses[pair] = static_cast<float>(term.loss);
  if (weight == nullptr) return;
  // h falls by beta for each nat that the chosen response's cross-entropy grows.
  const auto chosen = static_cast<float>(-beta * term.slope);
  for (int32_t t = begin[0] + lane; t < begin[2]; t += 32) weight[t] = t < begin[1] ? chosen : -chosen;
}

}  // namespace strata::cuda
