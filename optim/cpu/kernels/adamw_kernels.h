// SPDX-License-Identifier: Apache-2.0
// The inner loops of AdamW on the CPU, one per state format and instruction set. All sets give the same bits.
#pragma once

#include <cstdint>

#include "core/ops/cpu/kernels/isa_namespace.h"
#include "optim/state_fp32.h"
#include "optim/state_master.h"
#include "optim/state_split.h"
#include "optim/state_split8.h"
#include "optim/state_sr8.h"

namespace strata::cpu {

// Updates elements [begin, end): one fused pass over gradient, master, moments and weight. The arrays do not
// overlap. Of a format in blocks, `begin` is where one begins.
template <typename State>
using AdamwLoop = void (*)(const State& state, const float* grad, int64_t begin, int64_t end,
                           const AdamwCoefficients& coefficients);

struct AdamwKernels {
  AdamwLoop<Fp32State> fp32;
  AdamwLoop<MasterState> master;
  AdamwLoop<SplitState> split;
  AdamwLoop<Split8State> split8;
  AdamwLoop<Sr8State> sr8;
};
STRATA_DECLARE_PER_ISA(const AdamwKernels adamw_kernels);

}  // namespace strata::cpu
