// SPDX-License-Identifier: Apache-2.0
// The CUDA device's passes over a state format; the twins of cpu/adamw_cpu.h, with the same bits. All arrays have n
// elements, lie on the stream's device, do not overlap, and stay untouched by others until an event recorded after
// the call is done. In a build without CUDA (no_cuda.cpp) each is a ContractError: no stream can be of that device.
#pragma once

#include <cstdint>

#include "core/device/stream.h"
#include "optim/adamw_scalar.h"

namespace strata::cuda {

// One step of AdamW over n elements.
template <typename State>
void adamw_update(Stream& stream, const State& state, const float* grad, int64_t n,
                  const AdamwCoefficients& coefficients);

// values -> weight and master; moments become zero.
template <typename State>
void initialize_state(Stream& stream, const State& state, const float* values, int64_t n);

// The f32 values the rule steps from -> values.
template <typename State>
void export_state(Stream& stream, const State& state, float* values, int64_t n);

}  // namespace strata::cuda
