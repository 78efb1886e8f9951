// SPDX-License-Identifier: Apache-2.0
#include "core/ops/elementwise.h"

#include <cmath>

#include "core/ops/op_table.h"
#include "core/ops/operands.h"

namespace strata {

void copy(Stream& stream, const Tensor& from, const Tensor& to) {
  const Operands operands("copy", stream);
  check(from && (from.rank() == 1 || from.rank() == 2), "[copy] from: expected rank 1 or 2, got {}",
        from ? to_string(from.shape()) : "nothing");
  operands.rows("from", from, from.shape(), kFloats);
  operands.rows("to", to, from.shape(), kFloats);
  op_table(stream.device().kind).copy(stream, from, to);
}

void stochastic_round(Stream& stream, const Tensor& from, const Tensor& to, const RandomKey& key,
                      uint64_t first_index) {
  const Operands operands("stochastic_round", stream);
  operands.dense("from", from, from.shape(), {DType::f32});
  operands.dense("to", to, from.shape(), {DType::bf16});
  op_table(stream.device().kind).stochastic_round(stream, from, to, key, first_index);
}

void fill(Stream& stream, const Tensor& x, float value) {
  Operands("fill", stream).dense("x", x, x.shape(), kFloats);
  op_table(stream.device().kind).fill(stream, x, value);
}

void add(Stream& stream, const Tensor& a, const Tensor& b, const Tensor& out) {
  const Operands operands("add", stream);
  operands.dense("a", a, a.shape(), kFloats);
  const bool to_rows = a && b && a.rank() == 2 && b.rank() == 1;
  operands.dense("b", b, to_rows ? Shape{a.dim(1)} : a.shape(), {a.dtype()});
  operands.dense("out", out, a.shape(), {a.dtype()});
  op_table(stream.device().kind).add(stream, a, b, out);
}

void scale(Stream& stream, const Tensor& x, float s) {
  Operands("scale", stream).dense("x", x, x.shape(), {DType::f32});
  op_table(stream.device().kind).scale(stream, x, s);
}

void fill_normal(Stream& stream, const Tensor& x, const RandomKey& key, uint64_t first_index, float std) {
  Operands("fill_normal", stream).dense("x", x, x.shape(), {DType::f32});
  check(std::isfinite(std) && std >= 0, "[fill_normal] std: expected a finite number of at least 0, got {}",
        std);
  op_table(stream.device().kind).fill_normal(stream, x, key, first_index, std);
}

}  // namespace strata
