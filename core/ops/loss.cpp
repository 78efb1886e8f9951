// SPDX-License-Identifier: Apache-2.0
#include "core/ops/loss.h"

#include "core/ops/op_table.h"
#include "core/ops/operands.h"

namespace strata {
namespace {

template <typename Args>
void check_rows(const Operands& operands, std::string_view op, const Args& args) {
  operands.present("logits", args.logits, 2);
  const int64_t rows = args.logits.dim(0);
  operands.rows("logits", args.logits, args.logits.shape(), kFloats);
  check(args.vocab >= 0 && args.vocab <= args.logits.dim(1),
        "[{}] vocab {} is outside [0, {}], the columns of logits", op, args.vocab, args.logits.dim(1));
  check(args.first_token >= 0, "[{}] first_token {} is negative", op, args.first_token);
  operands.dense("targets", args.targets, {rows}, {DType::i32});
  operands.dense("max", args.max, {rows}, {DType::f32});
  operands.dense("sum", args.sum, {rows}, {DType::f32});
  operands.dense("target_logit", args.target_logit, {rows}, {DType::f32});
}

}  // namespace

void softmax_stats(Stream& stream, const SoftmaxStats& args) {
  check_rows(Operands("softmax_stats", stream), "softmax_stats", args);
  op_table(stream.device().kind).softmax_stats(stream, args);
}

void rescale_sums(Stream& stream, const Tensor& from, const Tensor& to, const Tensor& sum) {
  const Operands operands("rescale_sums", stream);
  operands.dense("sum", sum, sum.shape(), {DType::f32});
  operands.dense("from", from, sum.shape(), {DType::f32});
  operands.dense("to", to, sum.shape(), {DType::f32});
  op_table(stream.device().kind).rescale_sums(stream, from, to, sum);
}

void cross_entropy(Stream& stream, const CrossEntropy& args) {
  const Operands operands("cross_entropy", stream);
  check_rows(operands, "cross_entropy", args);
  operands.dense("nll", args.nll, {args.logits.dim(0)}, {DType::f32});
  if (args.weight) operands.dense("weight", args.weight, {args.logits.dim(0)}, {DType::f32});
  op_table(stream.device().kind).cross_entropy(stream, args);
}

}  // namespace strata
