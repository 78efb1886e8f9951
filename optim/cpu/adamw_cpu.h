// SPDX-License-Identifier: Apache-2.0
// The CPU's loops over a state format, spread over the stream's workers. All arrays have n elements, do not
// overlap, and stay untouched by others until an event recorded after the call is done.
#pragma once

#include <cstdint>

#include "core/device/cpu/cpu_stream.h"
#include "optim/adamw_scalar.h"

namespace strata::cpu {

// One step of AdamW over n elements. Elements do not depend on each other: the bits depend neither on the
// number of threads nor on the instruction set.
template <typename State>
void adamw_update(CpuStream& stream, const State& state, const float* grad, int64_t n,
                  const AdamwCoefficients& coefficients);

// values -> weight and master; moments become zero.
template <typename State>
void initialize_state(CpuStream& stream, const State& state, const float* values, int64_t n);

// The f32 values the rule steps from -> values.
template <typename State>
void export_state(CpuStream& stream, const State& state, float* values, int64_t n);

}  // namespace strata::cpu
