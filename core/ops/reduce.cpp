// SPDX-License-Identifier: Apache-2.0
#include "core/ops/reduce.h"

#include "core/ops/op_table.h"
#include "core/ops/operands.h"

namespace strata {

void column_sum(Stream& stream, const ColumnSum& args) {
  const Operands operands("column_sum", stream);
  operands.present("x", args.x, 2);
  operands.rows("x", args.x, args.x.shape(), kFloats);
  operands.dense("out", args.out, {args.x.dim(1)}, {DType::f32});
  op_table(stream.device().kind).column_sum(stream, args);
}

void sum_of_squares(Stream& stream, const Tensor& x, BinnedSum* sum) {
  const Operands operands("sum_of_squares", stream);
  operands.dense("x", x, x.shape(), kFloats);
  check(sum != nullptr, "[sum_of_squares] sum is null");
  op_table(stream.device().kind).sum_of_squares(stream, x, sum);
}

}  // namespace strata
