// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "optim/cuda/kernels/muon.cuh"
#include "optim/cuda/muon_cuda.h"
#include "optim/state_fp32.h"
#include "optim/state_master.h"

namespace strata::cuda {
namespace {

constexpr int64_t kMostMuonBlocks = 132 * 8;  // that an H100 runs at a time

Grid muon_grid(int64_t blocks) {
  return {dim3(static_cast<unsigned>(std::clamp<int64_t>(blocks, 1, kMostMuonBlocks))), dim3(kMuonThreads)};
}
Grid muon_grid_over(int64_t elements) { return muon_grid(div_up(elements, int64_t{kMuonThreads})); }

}  // namespace

template <typename State>
void muon_direction(Stream& stream, const MuonMatrix<State>& m, const MuonMomentum& momentum, float* x,
                    double* squares) {
  CudaStream& cuda = cuda_stream(stream);
  launch(cuda, muon_direction_kernel<State>, muon_grid(m.rows), m, momentum, x, squares);
  launch(cuda, muon_norm_kernel, muon_grid(1), squares, m.rows);
  launch(cuda, muon_scale_kernel, muon_grid_over(m.rows * m.columns), x, squares + m.rows,
         m.rows * m.columns);
}

template <typename State>
void muon_step(Stream& stream, const MuonMatrix<State>& m, const float* x, float keep, float step) {
  launch(cuda_stream(stream), muon_step_kernel<State>, muon_grid(m.rows), m, x, keep, step);
}

void muon_blend(Stream& stream, float left, float* out, float right, const float* in, int64_t n) {
  launch(cuda_stream(stream), muon_blend_kernel, muon_grid_over(n), left, out, right, in, n);
}

#define STRATA_INSTANTIATE(State)                                                                        \
  template void muon_direction(Stream&, const MuonMatrix<State>&, const MuonMomentum&, float*, double*); \
  template void muon_step(Stream&, const MuonMatrix<State>&, const float*, float, float)
STRATA_INSTANTIATE(Fp32State);
STRATA_INSTANTIATE(MasterState);
#undef STRATA_INSTANTIATE

}  // namespace strata::cuda
