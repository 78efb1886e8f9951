// SPDX-License-Identifier: Apache-2.0
#include "core/ops/decode_blocks.h"

#include "core/ops/op_table.h"
#include "core/ops/operands.h"

namespace strata {

void decode_blocks(Stream& stream, const DecodeBlocks& args) {
  const Operands operands("decode_blocks", stream);
  check(static_cast<bool>(args.out), "[decode_blocks] out is absent");
  operands.dense("out", args.out, args.out.shape(), kFloats);
  operands.dense("blocks", args.blocks, {encoded_bytes(args.format, args.out.numel())}, {DType::u8});
  op_table(stream.device().kind).decode_blocks(stream, args);
}

}  // namespace strata
