// SPDX-License-Identifier: Apache-2.0
// In place of cuda/ in a build without CUDA.
#include "core/base/check.h"
#include "optim/cuda/adamw_cuda.h"
#include "optim/cuda/muon_cuda.h"
#include "optim/state_fp32.h"
#include "optim/state_master.h"
#include "optim/state_split.h"
#include "optim/state_split8.h"
#include "optim/state_sr8.h"

namespace strata::cuda {
namespace {

[[noreturn]] void fail() { fail_contract("[optim] this build has no update for cuda"); }

}  // namespace

template <typename State>
void adamw_update(Stream&, const State&, const float*, int64_t, const AdamwCoefficients&) {
  fail();
}
template <typename State>
void initialize_state(Stream&, const State&, const float*, int64_t) {
  fail();
}
template <typename State>
void export_state(Stream&, const State&, float*, int64_t) {
  fail();
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

template <typename State>
void muon_direction(Stream&, const MuonMatrix<State>&, const MuonMomentum&, float*, double*) {
  fail();
}
template <typename State>
void muon_step(Stream&, const MuonMatrix<State>&, const float*, float, float) {
  fail();
}
void muon_blend(Stream&, float, float*, float, const float*, int64_t) { fail(); }

#define STRATA_INSTANTIATE(State)                                                                        \
  template void muon_direction(Stream&, const MuonMatrix<State>&, const MuonMomentum&, float*, double*); \
  template void muon_step(Stream&, const MuonMatrix<State>&, const float*, float, float)
STRATA_INSTANTIATE(Fp32State);
STRATA_INSTANTIATE(MasterState);
#undef STRATA_INSTANTIATE

}  // namespace strata::cuda
