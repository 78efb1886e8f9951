// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/kernels/decode_blocks.cuh"

#include <algorithm>

#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/decode_blocks.h"

namespace strata::cuda {

void decode_blocks(Stream& stream, const DecodeBlocks& args) {
  const int64_t count = args.out.numel() / kBlockElements;
  if (count == 0) return;
  constexpr int64_t kMostBlocks = 1 << 16;
  const int64_t blocks = std::min(div_up(count, int64_t{kDecodeThreads / kDecodeLanes}), kMostBlocks);
  const Grid grid{dim3(narrow<unsigned>(blocks)), dim3(kDecodeThreads)};
  with_type(args.out.dtype(), [&]<typename T>(Type<T>) {
    const uint8_t* const from = args.blocks.data<uint8_t>();
    if (args.format == WeightFormat::nf4)
      launch(cuda_stream(stream), decode_blocks_kernel<Nf4Blocks, T>, grid, from, args.out.data<T>(), count);
    else
      launch(cuda_stream(stream), decode_blocks_kernel<Int8Blocks, T>, grid, from, args.out.data<T>(), count);
  });
}

}  // namespace strata::cuda
