// SPDX-License-Identifier: Apache-2.0
#include "core/ops/rope.h"

#include "core/ops/op_table.h"
#include "core/ops/operands.h"

namespace strata {

void rope(Stream& stream, const Rope& args) {
  const Operands operands("rope", stream);
  operands.present("x", args.x, 2);
  operands.present("cos", args.cos, 2);
  const int64_t head_dim = 2 * args.cos.dim(1);
  check(head_dim > 0 && args.x.dim(1) % head_dim == 0,
        "[rope] x: expected rows of heads of {} elements (twice the columns of cos), got {}", head_dim,
        args.x.shape());
  operands.rows("x", args.x, args.x.shape(), kFloats);
  operands.dense("positions", args.positions, {args.x.dim(0)}, {DType::i32});
  operands.dense("cos", args.cos, args.cos.shape(), {DType::f32});
  operands.dense("sin", args.sin, args.cos.shape(), {DType::f32});
  operands.amax(args.amax);
  op_table(stream.device().kind).rope(stream, args);
}

}  // namespace strata
