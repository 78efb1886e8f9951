// SPDX-License-Identifier: Apache-2.0
#include "core/ops/dropout.h"

#include "core/ops/op_table.h"
#include "core/ops/operands.h"

namespace strata {

void dropout(Stream& stream, const Dropout& args) {
  const Operands operands("dropout", stream);
  operands.present("x", args.x, 2);
  operands.rows("x", args.x, args.x.shape(), kFloats);
  if (args.add) operands.rows("add", args.add, args.x.shape(), {args.x.dtype()});
  operands.rows("out", args.out, args.x.shape(), {args.x.dtype()});
  check(args.rate >= 0 && args.rate <= 0.999f, "[dropout] rate: expected 0 to 0.999, got {}", args.rate);
  op_table(stream.device().kind).dropout(stream, args);
}

}  // namespace strata
