// SPDX-License-Identifier: Apache-2.0
#include "core/ops/activation.h"

#include "core/ops/op_table.h"
#include "core/ops/operands.h"

namespace strata {
namespace {

void check_gate_up(const Operands& operands, std::string_view op, const Tensor& gate_up) {
  operands.present("gate_up", gate_up, 2);
  check(gate_up.dim(1) % 2 == 0, "[{}] gate_up: expected an even number of columns, got {}", op,
        gate_up.shape());
  operands.rows("gate_up", gate_up, gate_up.shape(), kFloats);
}

}  // namespace

void swiglu_forward(Stream& stream, const SwigluForward& args) {
  const Operands operands("swiglu_forward", stream);
  check_gate_up(operands, "swiglu_forward", args.gate_up);
  operands.rows("y", args.y, {args.gate_up.dim(0), args.gate_up.dim(1) / 2}, {args.gate_up.dtype()});
  operands.amax(args.amax);
  op_table(stream.device().kind).swiglu_forward(stream, args);
}

void swiglu_backward(Stream& stream, const SwigluBackward& args) {
  const Operands operands("swiglu_backward", stream);
  check_gate_up(operands, "swiglu_backward", args.gate_up);
  operands.rows("dy", args.dy, {args.gate_up.dim(0), args.gate_up.dim(1) / 2}, {args.gate_up.dtype()});
  operands.rows("dgate_up", args.dgate_up, args.gate_up.shape(), {args.gate_up.dtype()});
  operands.amax(args.amax);
  op_table(stream.device().kind).swiglu_backward(stream, args);
}

void gelu_forward(Stream& stream, const GeluForward& args) {
  const Operands operands("gelu_forward", stream);
  operands.present("x", args.x, 2);
  operands.rows("x", args.x, args.x.shape(), kFloats);
  operands.rows("y", args.y, args.x.shape(), {args.x.dtype()});
  operands.amax(args.amax);
  op_table(stream.device().kind).gelu_forward(stream, args);
}

void gelu_backward(Stream& stream, const GeluBackward& args) {
  const Operands operands("gelu_backward", stream);
  operands.present("x", args.x, 2);
  operands.rows("x", args.x, args.x.shape(), kFloats);
  operands.rows("dy", args.dy, args.x.shape(), {args.x.dtype()});
  operands.rows("dx", args.dx, args.x.shape(), {args.x.dtype()});
  operands.amax(args.amax);
  op_table(stream.device().kind).gelu_backward(stream, args);
}

}  // namespace strata
