// SPDX-License-Identifier: Apache-2.0
// One plain loop, which the compiler vectorises for each instruction set and each state format. It streams
// every array once, in place and with regular stores, so it runs at memory speed (launch/bench/adam.h
// measures how near).
#include "optim/cpu/kernels/adamw_kernels.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

template <typename State>
void update(const State& state_in, const float* grad, int64_t begin, int64_t end,
            const AdamwCoefficients& c_in) {
  const State state = state_in;  // copies of our own: no store below can change them
  const AdamwCoefficients c = c_in;
#pragma GCC ivdep
  for (int64_t i = begin; i < end; ++i) state.store(i, adamw_step(state.load(i), grad[i], c));
}

}  // namespace

const AdamwKernels adamw_kernels{
    .fp32 = update<Fp32State>, .master = update<MasterState>, .split = update<SplitState>};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
