// SPDX-License-Identifier: Apache-2.0
#include "core/ops/norm.h"

#include "core/ops/op_table.h"
#include "core/ops/operands.h"

namespace strata {
namespace {

// Checks x and weight; returns the shape of the statistics, [rows * groups].
Shape check_input(const Operands& operands, std::string_view op, const Tensor& x, const Tensor& weight) {
  operands.present("x", x, 2);
  operands.present("weight", weight, 1);
  const int64_t width = weight.numel();
  check(width > 0 && x.dim(1) % width == 0, "[{}] x: expected rows of groups of {} elements (weight), got {}",
        op, width, x.shape());
  operands.rows("x", x, x.shape(), kFloats);
  operands.dense("weight", weight, {width}, kFloats);
  return {x.dim(0) * (x.dim(1) / width)};
}

void check_gradients(const Operands& operands, const Tensor& x, const Tensor& dy, const Tensor& dx,
                     const Tensor& add) {
  operands.rows("dy", dy, x.shape(), {x.dtype()});
  operands.rows("dx", dx, x.shape(), {x.dtype()});
  if (add) operands.rows("add", add, x.shape(), {x.dtype()});
}

}  // namespace

void rms_norm_forward(Stream& stream, const RmsNormForward& args) {
  const Operands operands("rms_norm_forward", stream);
  const Shape stats = check_input(operands, "rms_norm_forward", args.x, args.weight);
  operands.rows("y", args.y, args.x.shape(), {args.x.dtype()});
  if (args.rstd) operands.dense("rstd", args.rstd, stats, {DType::f32});
  operands.amax(args.amax);
  op_table(stream.device().kind).rms_norm_forward(stream, args);
}

void rms_norm_backward(Stream& stream, const RmsNormBackward& args) {
  const Operands operands("rms_norm_backward", stream);
  const Shape stats = check_input(operands, "rms_norm_backward", args.x, args.weight);
  operands.dense("rstd", args.rstd, stats, {DType::f32});
  check_gradients(operands, args.x, args.dy, args.dx, args.add);
  if (args.dweight) operands.dense("dweight", args.dweight, args.weight.shape(), {DType::f32});
  op_table(stream.device().kind).rms_norm_backward(stream, args);
}

void layer_norm_forward(Stream& stream, const LayerNormForward& args) {
  const Operands operands("layer_norm_forward", stream);
  const Shape stats = check_input(operands, "layer_norm_forward", args.x, args.weight);
  operands.dense("bias", args.bias, args.weight.shape(), {args.weight.dtype()});
  operands.rows("y", args.y, args.x.shape(), {args.x.dtype()});
  if (args.mean) operands.dense("mean", args.mean, stats, {DType::f32});
  if (args.rstd) operands.dense("rstd", args.rstd, stats, {DType::f32});
  operands.amax(args.amax);
  op_table(stream.device().kind).layer_norm_forward(stream, args);
}

void layer_norm_backward(Stream& stream, const LayerNormBackward& args) {
  const Operands operands("layer_norm_backward", stream);
  const Shape stats = check_input(operands, "layer_norm_backward", args.x, args.weight);
  operands.dense("mean", args.mean, stats, {DType::f32});
  operands.dense("rstd", args.rstd, stats, {DType::f32});
  check_gradients(operands, args.x, args.dy, args.dx, args.add);
  check(static_cast<bool>(args.dweight) == static_cast<bool>(args.dbias),
        "[layer_norm_backward] dweight and dbias: expected both or neither");
  if (args.dweight) {
    operands.dense("dweight", args.dweight, args.weight.shape(), {DType::f32});
    operands.dense("dbias", args.dbias, args.weight.shape(), {DType::f32});
  }
  op_table(stream.device().kind).layer_norm_backward(stream, args);
}

}  // namespace strata
