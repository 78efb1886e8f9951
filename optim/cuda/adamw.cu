// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "optim/cuda/adamw_cuda.h"
#include "optim/cuda/kernels/adamw.cuh"

namespace strata::cuda {
namespace {

template <typename... Pointers>
bool are_aligned(const Pointers*... pointers) {
  return ((std::bit_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}
bool is_aligned(const Fp32State& s) { return are_aligned(s.weight, s.moment1, s.moment2); }
bool is_aligned(const MasterState& s) { return are_aligned(s.weight, s.master, s.moment1, s.moment2); }
bool is_aligned(const SplitState& s) { return are_aligned(s.weight, s.master_low, s.moment1, s.moment2); }

// A block for each kAdamwThreads pieces of work; the kernels stride over what a grid cannot hold.
Grid grid_of(int64_t threads) {
  constexpr int64_t kMostBlocks = 1 << 30;
  return {dim3(static_cast<unsigned>(std::min(kMostBlocks, div_up(threads, kAdamwThreads)))), dim3(kAdamwThreads)};
}

}  // namespace

template <typename State>
void adamw_update(Stream& stream, const State& state, const float* grad, int64_t n,
                  const AdamwCoefficients& coefficients) {
  if (n == 0) return;
  if constexpr (requires { State::kBlock; }) {
    launch(cuda_stream(stream), adamw_blocks_kernel<State>, grid_of(div_up(n, State::kBlock) * 32), state, grad, n,
           coefficients);
  } else {
  const int64_t whole = is_aligned(state) && are_aligned(grad) ? n / kAdamwElements * kAdamwElements : 0;
  launch(cuda_stream(stream), adamw_kernel<State>, grid_of(whole > 0 ? div_up(whole, kAdamwElements * kAdamwPieces) : n), state, grad,
         whole, n, coefficients);
  }
}

template <typename State>
void initialize_state(Stream& stream, const State& state, const float* values, int64_t n) {
  if (n > 0) launch(cuda_stream(stream), initialize_state_kernel<State>, grid_of(n), state, values, n);
}

template <typename State>
void export_state(Stream& stream, const State& state, float* values, int64_t n) {
  if (n > 0) launch(cuda_stream(stream), export_state_kernel<State>, grid_of(n), state, values, n);
}

#define STRATA_INSTANTIATE(State)                                                                     \
  template void adamw_update(Stream&, const State&, const float*, int64_t, const AdamwCoefficients&); \
  template void initialize_state(Stream&, const State&, const float*, int64_t);                       \
  template void export_state(Stream&, const State&, float*, int64_t)
STRATA_INSTANTIATE(Fp32State);
STRATA_INSTANTIATE(MasterState);
STRATA_INSTANTIATE(SplitState);
STRATA_INSTANTIATE(Split8State);
STRATA_INSTANTIATE(Sr8State);
#undef STRATA_INSTANTIATE

}  // namespace strata::cuda
