// SPDX-License-Identifier: Apache-2.0
#include "core/ops/preference.h"

#include "core/ops/elementwise.h"
#include "core/ops/op_table.h"
#include "core/ops/operands.h"

namespace strata {

void preference_loss(Stream& stream, const PreferenceLoss& args) {
  const Operands operands("preference_loss", stream);
  operands.present("nll", args.nll, 1);
  operands.present("losses", args.losses, 1);
  const int64_t tokens = args.nll.numel(), pairs = args.losses.numel();
  operands.dense("nll", args.nll, {tokens}, {DType::f32});
  operands.dense("begin", args.begin, {3 * pairs}, {DType::i32});
  operands.dense("reference", args.reference, {2 * pairs}, {DType::f32});
  operands.dense("losses", args.losses, {pairs}, {DType::f32});
  if (args.weight) {
    operands.dense("weight", args.weight, {tokens}, {DType::f32});
    fill(stream, args.weight, 0);
  }
  op_table(stream.device().kind).preference_loss(stream, args);
}

}  // namespace strata
