// SPDX-License-Identifier: Apache-2.0
// Checks of operands, for every device.
#include "core/ops/quantize_part.h"

#include "core/ops/op_table.h"
#include "core/ops/operands.h"

namespace strata {
namespace {

Shape check_part(const Operands& operands, const MatrixPart& part) {
  operands.present("x", part.x, 1);
  operands.dense("x", part.x, part.x.shape(), kFloats);
  check(part.shape == ScaleShape::tensor || part.shape == ScaleShape::block,
        "[quantize_part] factors that lie along rows have no transpose");
  check(part.begin >= 0 && part.rows > 0 && part.k > 0, "[quantize_part] from {} of [{}, {}]", part.begin,
        part.rows, part.k);
  return scales_shape(part.shape, part.rows, part.k);
}

}  // namespace

void part_magnitudes(Stream& stream, const MatrixPart& part, const Tensor& amax) {
  const Operands operands("part_magnitudes", stream);
  operands.dense("amax", amax, check_part(operands, part), {DType::f32});
  op_table(stream.device().kind).part_magnitudes(stream, part, amax);
}

void quantize_part(Stream& stream, const QuantizePart& args) {
  const Operands operands("quantize_part", stream);
  const Shape scales = check_part(operands, args.part);
  operands.dense("amax", args.amax, scales, {DType::f32});
  operands.dense("scales", args.scales, scales, {DType::f32});
  operands.dense("codes", args.codes, args.part.x.shape(), {DType::f8e4m3, DType::f8e5m2});
  op_table(stream.device().kind).quantize_part(stream, args);
}

}  // namespace strata
