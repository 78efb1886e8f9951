// SPDX-License-Identifier: Apache-2.0
// The attention library of a build without cuDNN: it takes nothing, so all attention goes to our own kernels.
#include "core/base/error.h"
#include "core/ops/cuda/sdpa.h"

namespace strata::cuda {

bool sdpa_may_support(int64_t, int64_t) { return false; }
bool sdpa_forward_supported(CudaStream&, const SdpaShape&, int64_t) { return false; }
bool sdpa_backward_supported(CudaStream&, const SdpaShape&, int64_t) { return false; }
void sdpa_forward(CudaStream&, const SdpaCall&) {
  throw ContractError("[sdpa] this build has no attention library");
}
void sdpa_backward(CudaStream&, const SdpaCall&) {
  throw ContractError("[sdpa] this build has no attention library");
}

}  // namespace strata::cuda
