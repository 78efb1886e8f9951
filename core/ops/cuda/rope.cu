// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/kernels/rope.cuh"

#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/rope.h"

namespace strata::cuda {

void rope(Stream& stream, const Rope& args) {
  const int64_t half = args.cos.dim(1);
  if (args.x.numel() == 0) return;
  with_type(args.x.dtype(), [&]<typename T>(Type<T>) {
    const RopeRows<T> rows{.x = rows_of<T>(args.x),
                           .positions = args.positions.data<int32_t>(),
                           .cos = args.cos.data<float>(),
                           .sin = args.sin.data<float>(),
                           .tokens = args.x.dim(0),
                           .heads = args.x.dim(1) / (2 * half),
                           .half = half,
                           .num_positions = args.cos.dim(0),
                           .direction = args.inverse ? -1.0f : 1.0f,
                           .amax = amax_of(args.amax)};
    constexpr int kWide = kVectorWidth<T>;
    const bool wide = is_aligned(args.x) && half % kWide == 0;
    const int64_t threads = rows.tokens * div_up(rows.heads, kRopeHeads) * (wide ? half / kWide : half);
    const Grid grid{dim3(narrow<unsigned>(div_up(threads, kRopeThreads))), dim3(kRopeThreads)};
    if (wide)
      launch(cuda_stream(stream), rope_kernel<T, kWide>, grid, rows);
    else
      launch(cuda_stream(stream), rope_kernel<T, 1>, grid, rows);
  });
}

}  // namespace strata::cuda
