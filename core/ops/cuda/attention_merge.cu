// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/kernels/attention_merge.cuh"

#include "core/ops/attention.h"
#include "core/ops/cuda/cuda_ops.h"

namespace strata::cuda {

void attention_merge(Stream& stream, const AttentionMerge& args) {
  const int64_t tokens = args.out.dim(0), heads = args.lse.dim(0);
  if (args.out.numel() == 0) return;
  const int64_t head_dim = args.out.dim(1) / heads;
  const bool wide = is_aligned(args.out) && is_aligned(args.part) && head_dim % 4 == 0;
  const Grid grid{dim3(narrow<unsigned>(div_up(tokens * heads, kMergeThreads / 32))), dim3(kMergeThreads)};
  launch(cuda_stream(stream), wide ? attention_merge_kernel<4> : attention_merge_kernel<1>, grid,
         args.out.data<float>(), args.lse.data<float>(), args.part.data<float>(), args.part_lse.data<float>(),
         tokens, heads, head_dim);
}

}  // namespace strata::cuda
