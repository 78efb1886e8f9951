// SPDX-License-Identifier: Apache-2.0
#include "core/ops/decode_blocks.h"

#include <array>
#include <cstring>

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/parallel.h"
#include "core/tensor/bf16.h"

namespace strata::cpu {

void decode_blocks(Stream& stream, const DecodeBlocks& args) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, args] {
    constexpr int64_t kPiece = 256;  // blocks
    const int64_t bytes = block_bytes(args.format);
    for_pieces(cpu.pool(), args.out.numel() / kBlockElements, kPiece, [&](Range range) {
      const std::byte* const from = args.blocks.raw() + range.begin * bytes;
      const int64_t first = range.begin * kBlockElements;
      const int64_t blocks = range.end - range.begin;
      if (args.out.dtype() == DType::f32)
        return strata::decode_blocks(args.format, from, blocks * kBlockElements,
                                     args.out.data<float>() + first);
      bf16* const out = args.out.data<bf16>() + first;
      std::array<float, kBlockElements> values;
      for (int64_t b = 0; b < blocks; ++b) {
        strata::decode_blocks(args.format, from + b * bytes, kBlockElements, values.data());
        for (int64_t i = 0; i < kBlockElements; ++i)
          out[b * kBlockElements + i] = to_bf16(values[static_cast<size_t>(i)]);
      }
    });
  });
}

}  // namespace strata::cpu
