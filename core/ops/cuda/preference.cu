// SPDX-License-Identifier: Apache-2.0
#include "core/ops/preference.h"

#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/cuda/kernels/preference.cuh"

namespace strata::cuda {

void preference_loss(Stream& stream, const PreferenceLoss& args) {
  if (args.losses.numel() == 0) return;
  launch(cuda_stream(stream), preference_kernel, {dim3(narrow<unsigned>(args.losses.numel())), dim3(32)},
         args.spec, args.nll.data<const float>(), args.begin.data<const int32_t>(),
         args.reference.data<const float>(), args.losses.data<float>(),
         args.weight ? args.weight.data<float>() : nullptr);
}

}  // namespace strata::cuda
