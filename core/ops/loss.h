// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy on one chunk of logits, in two halves so that ranks holding parts of the vocabulary
// can combine their maxima and sums in between. The caller goes through the tokens in chunks: the whole
// logits matrix never exists.
#pragma once

#include "core/device/stream.h"
#include "core/tensor/tensor.h"

namespace strata {

// For every row: max = max of its logits, sum = sum of exp(logit - max), target_logit = the logit of its
// target (0 when the target is ignored or lies outside [first_token, first_token + vocab)).
struct SoftmaxStats {
  Tensor logits;      // [rows, padded], f32 or bf16, unit stride in dim 1
  Tensor targets;     // i32 [rows], global token ids, -1: ignored
  int64_t vocab = 0;  // real columns; columns from `vocab` on are padding and take no part. 0: max is -inf
  int64_t first_token = 0;        // token id of column 0
  Tensor max, sum, target_logit;  // f32 [rows]
};
void softmax_stats(Stream& stream, const SoftmaxStats& args);

// States sums of exponentials taken against the maxima `from` against the maxima `to` instead, which are at
// least as large: sum *= exp(from - to). f32 [rows] each.
void rescale_sums(Stream& stream, const Tensor& from, const Tensor& to, const Tensor& sum);

// nll = max + log(sum) - target_logit (0 for ignored rows); with `gradient`, logits become
// scale * weight * (softmax - onehot(target)), 0 in padding columns and ignored rows.
struct CrossEntropy {
  Tensor logits, targets;
  int64_t vocab = 0;
  int64_t first_token = 0;
  Tensor max, sum, target_logit;
  Tensor nll;          // f32 [rows]
  Tensor weight = {};  // f32 [rows] of the gradient; absent: ones
  float scale = 1;     // usually 1 / number of targets of the whole step
  bool gradient = true;
};
void cross_entropy(Stream& stream, const CrossEntropy& args);

}  // namespace strata
